//! What happens to workloads behind the client's back, and work that fails: noticed in time, mended within
//! bounds, and told without repetition.

use super::*;
use device_providers::code;

const START: &str = "2026-06-01T12:00:00Z";
const EVERY_5_S: &str = "[workloads]\ninspect_every = \"5s\"\n";

/// A client that has installed a workload; it looks for changes every hour.
fn with_workload(more: &str) -> Bench {
    let bench = Bench::at(START, "1h", &format!("jitter_percent = 0\n{more}"));
    bench.server.offer_a_workload();
    bench.run_for(10 * MINUTE);
    assert_eq!(state(&bench), "installed");
    bench
}

fn state(bench: &Bench) -> String {
    bench.live.status().expect("told").deployments[0].state.clone()
}

/// The states that were told since there had been so many.
fn told_since(bench: &Bench, before: usize) -> Vec<String> {
    bench.states().split_off(before)
}

fn set(flag: &std::sync::atomic::AtomicBool, to: bool) {
    flag.store(to, Ordering::Relaxed);
}

#[test]
fn what_is_stopped_is_noticed_within_the_configured_time_told_with_its_reason_and_repaired() {
    let bench = with_workload(EVERY_5_S);
    let before = bench.states().len();
    let provider = Arc::clone(&bench.provider);
    let died = 10 * MINUTE + 17;
    bench.clock.after(died, move |_| set(&provider.degraded, true));
    bench.run_for(MINUTE);
    assert_eq!(told_since(&bench, before), ["failed", "installing", "installed"]);
    let (at, failed) = bench.reports()[before].clone();
    assert!((0..=5_000).contains(&(at - died * 1000)), "{at}");
    for error in [&failed["status"]["error"], &failed["components"][0]["error"]] {
        assert_eq!(error["code"], code::SERVICE_EXITED, "{failed}");
        assert_eq!(error["message"], "it has ended", "{failed}");
    }
}

#[test]
fn what_is_gone_is_told_as_missing_and_made_anew() {
    let bench = with_workload(EVERY_5_S);
    let before = bench.states().len();
    set(&bench.provider.absent, true);
    bench.run_for(MINUTE);
    assert_eq!(told_since(&bench, before), ["failed", "installing", "installed"]);
    assert_eq!(bench.reports()[before].1["status"]["error"]["code"], "workload-missing");
}

#[test]
fn how_often_workloads_are_looked_at_is_taken_over_while_the_client_runs() {
    let bench = with_workload("[workloads]\ninspect_every = \"1d\"\n");
    set(&bench.provider.degraded, true);
    bench.run_for(2 * HOUR);
    assert_eq!(state(&bench), "installed", "nobody has looked yet");
    bench.configure("1h", EVERY_5_S);
    bench.wake(Wake::Reload);
    let before = bench.states().len();
    bench.run_for(10);
    assert_eq!(told_since(&bench, before), ["failed", "installing", "installed"]);
}

#[test]
fn repairs_that_do_not_last_become_rare_are_told_with_their_number_and_outlive_restarts() {
    let bench = with_workload(EVERY_5_S);
    let installs = || bench.provider.installs.lock().expect("not poisoned").len();
    bench.provider.lifetime.store(30_000, Ordering::Relaxed);
    let before = bench.states().len();
    bench.run_for(DAY);
    let in_a_day = installs() - 1;
    assert!((25..40).contains(&in_a_day), "{in_a_day}");
    let told = told_since(&bench, before);
    assert!(told.len() <= 3 * (in_a_day + 1), "each change is told once: {}", told.len());
    let (_, last) = bench
        .reports()
        .into_iter()
        .rfind(|(_, it)| it["status"]["state"] == "failed")
        .expect("it failed");
    let message = last["status"]["error"]["message"].as_str().expect("a message").to_owned();
    let number = format!("repaired {} times within 2", in_a_day - 1);
    let number_now = format!("repaired {in_a_day} times within 2");
    assert!(message.contains(&number) || message.contains(&number_now), "{in_a_day}: {message}");
    let shown = bench.live.status().expect("told").deployments[0].repairs.clone();
    assert_eq!(shown.expect("it is shown").count as usize, in_a_day);

    let before = installs();
    for _ in 0..5 {
        bench.reboot();
        bench.run_for(10 * MINUTE);
    }
    assert!(installs() - before <= 1, "a restart does not make it start afresh");

    // Once it has run well for an hour, all is forgotten.
    bench.provider.lifetime.store(0, Ordering::Relaxed);
    bench.run_for(3 * HOUR);
    assert_eq!(state(&bench), "installed");
    assert_eq!(bench.live.status().expect("told").deployments[0].repairs, None);
    let before = bench.states().len();
    set(&bench.provider.degraded, true);
    bench.run_for(10);
    assert_eq!(told_since(&bench, before), ["failed", "installing", "installed"]);
}

#[test]
fn a_clock_that_jumps_does_not_end_the_repairs() {
    for jump in ["1970-01-01T00:00:00Z", "2025-06-01T12:00:00Z", "2036-01-01T00:00:00Z"] {
        let bench = with_workload(EVERY_5_S);
        bench.provider.lifetime.store(30_000, Ordering::Relaxed);
        bench.run_for(6 * HOUR);
        bench.clock.set_wall(ms(jump));
        bench.provider.lifetime.store(0, Ordering::Relaxed);
        bench.run_for(2 * HOUR);
        assert_eq!(state(&bench), "installed", "{jump}");
        bench.clock.set_wall(ms(jump) - 1_000_000);
        bench.reboot();
        set(&bench.provider.degraded, true);
        bench.run_for(2 * HOUR);
        assert_eq!(state(&bench), "installed", "{jump}");
    }
}

#[test]
fn what_recovers_by_itself_is_installed_again_without_a_repair() {
    let bench = with_workload(EVERY_5_S);
    set(&bench.provider.degraded, true);
    bench.run_for(MINUTE);
    let installs = || bench.provider.installs.lock().expect("not poisoned").len();
    let (before, installed) = (bench.states().len(), installs());
    // The second time it is left alone at first, and the engine brings it back meanwhile.
    set(&bench.provider.degraded, true);
    let provider = Arc::clone(&bench.provider);
    bench.clock.after(11 * MINUTE + 8, move |_| set(&provider.degraded, false));
    bench.run_for(MINUTE);
    assert_eq!(told_since(&bench, before), ["failed", "installed"]);
    assert_eq!(installs(), installed);
}

#[test]
fn an_engine_that_is_away_shortly_is_no_failure_and_one_that_stays_away_is_told_once() {
    let bench = with_workload(EVERY_5_S);
    let (before, files) = (bench.states().len(), bench.files());
    set(&bench.provider.silent, true);
    bench.run_for(2 * MINUTE);
    set(&bench.provider.silent, false);
    bench.run_for(10 * MINUTE);
    assert_eq!((bench.states().len(), bench.files()), (before, files), "nothing is told");

    set(&bench.provider.silent, true);
    bench.run_for(DAY);
    assert_eq!(told_since(&bench, before), ["failed"]);
    let (_, failed) = bench.reports()[before].clone();
    assert_eq!(failed["status"]["error"]["code"], code::ENGINE_UNAVAILABLE);
    let files = bench.files();
    bench.run_for(DAY);
    assert_eq!(bench.files(), files, "nor is anything written");
    set(&bench.provider.silent, false);
    bench.run_for(MINUTE);
    assert_eq!(told_since(&bench, before), ["failed", "installed"]);
    assert_eq!(bench.provider.installs.lock().expect("not poisoned").len(), 1, "all was well");
}

#[test]
fn an_engine_that_comes_back_without_the_workload_has_it_repaired() {
    let bench = with_workload(EVERY_5_S);
    let before = bench.states().len();
    set(&bench.provider.silent, true);
    bench.run_for(HOUR);
    set(&bench.provider.degraded, true);
    set(&bench.provider.silent, false);
    bench.run_for(MINUTE);
    assert_eq!(told_since(&bench, before), ["failed", "failed", "installing", "installed"]);
}

#[test]
fn work_that_fails_each_time_is_tried_with_growing_pauses_and_told_once() {
    for (code, per_day) in [(code::START_FAILED, 130..170), (code::NOT_ALLOWED, 25..45)] {
        let bench = Bench::at(START, "1h", EVERY_5_S);
        *bench.provider.refuses.lock().expect("not poisoned") = Some((code, false));
        bench.server.offer_a_workload();
        bench.run_for(DAY);
        let installs = || bench.provider.installs.lock().expect("not poisoned").len();
        assert!(per_day.contains(&installs()), "{code}: {}", installs());
        assert_eq!(bench.states(), ["pending", "installing", "failed"], "{code}");

        // The pause outlives restarts, and a reload ends it.
        let before = installs();
        for _ in 0..4 {
            bench.reboot();
            bench.run_for(MINUTE);
        }
        assert!(installs() - before <= 1, "{code}");
        *bench.provider.refuses.lock().expect("not poisoned") = None;
        bench.wake(Wake::Reload);
        bench.run_for(10);
        assert_eq!(bench.states(), ["pending", "installing", "failed", "installed"], "{code}");
    }
}

#[test]
fn a_failure_that_is_put_differently_each_time_is_told_now_and_then() {
    let bench = Bench::at(START, "1h", EVERY_5_S);
    *bench.provider.refuses.lock().expect("not poisoned") = Some((code::START_FAILED, true));
    bench.server.offer_a_workload();
    bench.run_for(3 * DAY);
    let told = told_since(&bench, 2);
    assert!((5..=10).contains(&told.len()) && told.iter().all(|it| it == "failed"), "{told:?}");
    *bench.provider.refuses.lock().expect("not poisoned") = Some((code::PORT_TAKEN, false));
    bench.run_for(HOUR);
    let (_, last) = bench.reports().pop().expect("it was told");
    assert_eq!(last["status"]["error"]["code"], code::PORT_TAKEN, "another cause is news");
}

#[test]
fn a_removal_that_fails_each_time_is_told_once_and_tried_until_it_succeeds() {
    let bench = with_workload(EVERY_5_S);
    let before = bench.states().len();
    *bench.provider.refuses.lock().expect("not poisoned") = Some((code::REMOVE_FAILED, false));
    bench.server.withdraw_the_workload(3);
    bench.run_for(DAY);
    assert_eq!(told_since(&bench, before), ["removing", "failed"]);
    let removals = bench.provider.removals.load(Ordering::Relaxed);
    assert!((100..170).contains(&removals), "{removals}");
    *bench.provider.refuses.lock().expect("not poisoned") = None;
    bench.run_for(HOUR);
    assert_eq!(told_since(&bench, before), ["removing", "failed", "removed"]);
}

#[test]
fn a_year_in_which_nothing_happens_writes_nothing() {
    let bench = with_workload("");
    let before = bench.files();
    let looks = bench.provider.looks.load(Ordering::Relaxed);
    bench.run_for(365 * DAY);
    let looks = bench.provider.looks.load(Ordering::Relaxed) - looks;
    assert!(looks >= 365 * 24 * 60 - 1, "{looks}");
    assert_eq!(bench.files(), before);
}
