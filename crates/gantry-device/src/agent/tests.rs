//! The whole client, with a real fleet manager's answers over real HTTPS, on a clock that a test moves: a
//! year passes in seconds.

mod bench;
mod desired_states;
mod offers;
mod server;
mod upkeep;

use std::sync::atomic::Ordering;

use super::*;
use crate::schedule::Hours;

use self::bench::{Bench, ms};
use self::server::Moment;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const NIGHTS: &str = "time_zone = \"Europe/Berlin\"\n\
    [[polling.period]]\ndays = [\"mon-fri\"]\nfrom = \"22:00\"\nto = \"05:00\"\n\
    [[downtime]]\nreason = \"maintenance\"\ndays = [\"wed\"]\nfrom = \"23:00\"\nto = \"01:00\"\n\
    [[downtime]]\nreason = \"holidays\"\nstart = \"2026-12-24T18:00\"\nend = \"2027-01-04T06:00\"\n";

fn look(moments: &[Moment]) -> Vec<i64> {
    moments.iter().filter(|it| it.path.ends_with("/deployments")).map(|it| it.at).collect()
}

fn hours(bench: &Bench) -> Hours {
    bench.config().hours
}

// margo(PO-2, PO-3, PO-4)
#[test]
fn in_a_whole_year_the_client_never_leaves_its_owners_hours_and_misses_none_of_them() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1h", NIGHTS);
    bench.run_for(366 * DAY);
    let (asked, hours) = (bench.requests(), hours(&bench));
    for moment in &asked {
        assert_eq!(hours.closed_at(moment.at, Purpose::Talk), None, "{moment:?}");
    }
    let looks = look(&asked);
    for at in &looks {
        assert_eq!(hours.closed_at(*at, Purpose::Look), None, "{at}");
    }
    // Each of the nights, less the holidays, has one every hour.
    assert!((1500..2000).contains(&looks.len()), "{}", looks.len());
    let rate = bench.config().polling;
    let expected = crate::schedule::forecast::contacts(ms("2026-06-01T12:00:00Z"), rate, hours);
    let end = ms("2026-06-01T12:00:00Z") + 366 * 24 * 3_600_000;
    let nights: Vec<i64> = expected
        .take_while(|it| it.at.at() < end)
        .filter(|it| matches!(it.because, Because::Closed(_)))
        .map(|it| it.at.at())
        .collect();
    for night in nights {
        let first = looks.iter().find(|it| **it >= night).expect("it looks each night");
        assert!(first - night <= 6 * 60_000, "within the jitter of an hour: {night} {first}");
    }
}

#[test]
fn every_request_tells_when_the_next_contact_comes_and_why_it_is_late() {
    let without_jitter = format!("jitter_percent = 0\n{NIGHTS}");
    let bench = Bench::at("2026-06-01T12:00:00Z", "1h", &without_jitter);
    bench.run_for(3 * DAY);
    let looks: Vec<_> =
        bench.requests().into_iter().filter(|it| it.path.ends_with("/deployments")).collect();
    let mut late = 0;
    for pair in looks.windows(2) {
        let [now, next] = pair else { panic!("windows of two") };
        let told = |key: &str| now.told(key);
        let number = |key| told(key).expect("it is told").parse::<i64>().expect("a number");
        let came = next.at / 1000;
        assert!(number("by") >= came, "{now:?} {next:?}");
        assert!((number("next") - came).abs() <= 1, "{now:?} {next:?}");
        let why = match came - now.at / 1000 {
            0..=3_601 => None,
            // On Wednesday from 23:00 to 01:00.
            3_602..=11_000 => Some("downtime"),
            _ => Some("polling-period"),
        };
        assert_eq!(told("quiet").as_deref(), why, "{now:?}");
        late += usize::from(why.is_some());
        assert_eq!(told("undelivered").as_deref(), Some("0"));
    }
    assert!(late >= 3, "{looks:?}");
}

#[test]
fn whatever_the_jitter_no_client_is_overdue_because_it_became_quiet() {
    for _ in 0..10 {
        // It begins while a contact may have come already or may yet come.
        let bench = Bench::at(
            "2026-06-01T12:00:00Z",
            "1m",
            "jitter_percent = 50\n[[downtime]]\nstart = \"2026-06-01T12:10:00Z\"\n\
             end = \"2026-06-01T15:00:00Z\"\n",
        );
        bench.run_for(HOUR);
        let last = bench.requests().pop().expect("it asked");
        assert_eq!(last.told("quiet").as_deref(), Some("downtime"), "{last:?}");
        let next: i64 = last.told("next").expect("told").parse().expect("a number");
        assert_eq!(next, ms("2026-06-01T15:00:00Z") / 1000);
    }
}

#[test]
fn every_report_tells_how_many_are_left_when_it_has_been_heard() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    bench.server.offer_a_workload();
    bench.run_for(10 * MINUTE);
    let seen = bench.requests().len();
    bench.provider.degraded.store(true, Ordering::Relaxed);
    bench.server.hang_up.store(true, Ordering::Relaxed);
    bench.run_for(10 * MINUTE);
    bench.server.hang_up.store(false, Ordering::Relaxed);
    bench.run_for(10 * MINUTE);
    let left = |moments: &[Moment]| -> Vec<String> {
        let reports = moments.iter().filter(|it| it.path.ends_with("/status"));
        reports.filter_map(|it| it.told("undelivered")).collect()
    };
    let asked = bench.requests();
    assert_eq!(left(&asked[..seen]), ["0", "0", "0"], "each is told at once");
    let later = left(&asked[seen..]);
    let (last, others) = later.split_last().expect("the repair is told");
    // Whether a report is tried alone, before there is a second one, is up to chance.
    let are_right = others.iter().all(|it| ["0", "1", "2"].contains(&it.as_str()));
    assert!(last == "0" && others.contains(&"1".to_owned()) && are_right, "{later:?}");
    assert_eq!(asked.last().and_then(|it| it.told("undelivered")).as_deref(), Some("0"));
}

#[test]
fn a_jump_of_the_clock_neither_makes_the_client_hammer_nor_sleep() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    for (after, to) in [(1, "2036-01-01T00:00:00Z"), (2, "2021-01-01T00:00:00Z")] {
        bench.clock.after(after * HOUR, move |clock| clock.set_wall(ms(to)));
    }
    bench.run_for(3 * HOUR);
    let looks = bench.requests().into_iter().filter(|it| it.path.ends_with("/deployments"));
    let looks: Vec<u64> = looks.map(|it| it.monotonic).collect();
    for pair in looks.windows(2) {
        let pause = pair[1] - pair[0];
        assert!((54_000..=66_000).contains(&pause), "{pause}");
    }
    assert!(looks.len() > 160, "{}", looks.len());
}

#[test]
fn a_jump_of_the_clock_over_an_edge_is_noticed_within_moments() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", NIGHTS);
    bench.clock.after(HOUR, |clock| clock.set_wall(ms("2026-06-01T21:00:00Z")));
    bench.clock.after(2 * HOUR, |clock| clock.set_wall(ms("2026-06-02T09:00:00Z")));
    bench.run_for(4 * HOUR);
    let looks = bench.requests().into_iter().filter(|it| it.path.ends_with("/deployments"));
    let looks: Vec<u64> = looks.map(|it| it.monotonic / 1000).collect();
    assert!(looks[0] - HOUR <= 6 * MINUTE, "{looks:?}");
    assert!(*looks.last().expect("some") <= 2 * HOUR, "{looks:?}");
    assert!(looks.len() > 50);
}

#[test]
fn with_a_clock_that_is_wrong_the_owners_hours_go_first_but_not_for_ever() {
    let free = Bench::at("1970-01-01T00:00:10Z", "1m", "");
    free.run_for(HOUR);
    assert!(look(&free.requests()).len() > 50, "without limits a wrong clock does no harm");

    let limited = Bench::at("1970-01-01T00:00:10Z", "1m", NIGHTS);
    limited.clock.after(5 * DAY, |clock| clock.set_wall(ms("2026-06-01T12:00:00Z")));
    limited.run_for(5 * DAY + 11 * HOUR);
    let moments = limited.requests();
    let looks: Vec<u64> = moments
        .iter()
        .filter(|it| it.path.ends_with("/deployments"))
        .map(|it| it.monotonic / 1000)
        .collect();
    let days: Vec<u64> = looks.iter().map(|it| it / DAY).take(5).collect();
    assert_eq!(days, [1, 2, 3, 4, 5], "one contact a day, then the owner's hours: {looks:?}");
    assert!(looks.iter().filter(|it| **it >= 5 * DAY + 8 * HOUR).count() > 50);
}

// margo(PO-2, RT-3)
#[test]
fn a_request_that_fails_because_downtime_begins_is_no_error() {
    for (source, last) in [("http", "/deployments"), ("git", "/repository")] {
        let bench = Bench::with_source(source, "2026-06-01T12:00:00Z", "1m", "");
        let gate = Arc::clone(&bench.gate);
        let until = ms("2026-06-01T18:00:00Z");
        bench.server.on_request(move |server, path| {
            if path.ends_with(last) && !server.hang_up.swap(true, Ordering::Relaxed) {
                let _ = gate.start_downtime(until, "press moved");
            }
        });
        bench.run_for(5 * HOUR);
        let asked = bench.requests();
        assert!(asked.last().is_some_and(|it| it.path.ends_with(last)), "the last: {asked:?}");
        assert!(asked.iter().all(|it| it.at < ms("2026-06-01T12:01:00Z")), "{asked:?}");
        let status = bench.live.status().expect("it is told");
        assert_eq!((status.last_error, bench.warnings()), (None, String::new()));
        assert!(status.quiet.is_some_and(|it| it.contains("press moved")));

        bench.server.on_request(|_, _| {});
        bench.server.hang_up.store(false, Ordering::Relaxed);
        bench.run_for(2 * HOUR);
        let later = &bench.requests()[asked.len()..];
        assert!((0..120_000).contains(&(later[0].at - until)), "no back-off is left: {later:?}");
        assert!(look(later).len() > 50);
    }
}

// margo(PO-2)
#[test]
fn in_downtime_no_package_is_fetched_and_what_runs_is_repaired_all_the_same() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    bench.server.offer_a_workload();
    bench.run_for(10 * MINUTE);
    bench.gate.start_downtime(ms("2026-06-01T18:00:00Z"), "audit").expect("it can be started");
    let before = bench.requests().len();
    bench.provider.degraded.store(true, Ordering::Relaxed);
    bench.run_for(HOUR);
    assert!(!bench.provider.degraded.load(Ordering::Relaxed), "it was installed again");
    let status = bench.live.status().expect("told");
    assert!(status.undelivered > 0 && status.deployments[0].state == "installed");
    assert_eq!(bench.requests().len(), before);
    bench.gate.stop_downtimes().expect("they can be stopped");
    bench.wake(Wake::Look);
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.live.status().expect("told").undelivered, 0);
}

// margo(PO-1, S-8, CW-10)
#[test]
fn after_a_year_without_contact_the_newest_state_comes_in_one_step_and_every_report_in_order() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1h", "");
    bench.server.offer_a_workload();
    bench.run_for(2 * HOUR);
    assert_eq!(bench.live.status().expect("told").undelivered, 0);

    bench.server.hang_up.store(true, Ordering::Relaxed);
    let months = 12;
    for month in 0..months {
        // The power comes back, the workload has died, the client repairs it, and the power fails.
        bench.reboot();
        bench.provider.degraded.store(true, Ordering::Relaxed);
        bench.run_for(6 * HOUR);
        assert!(!bench.provider.degraded.load(Ordering::Relaxed), "it is repaired");
        bench.clock.pass(365 * DAY / months - 6 * HOUR);
        bench.server.withdraw_the_workload(3 + month);
    }
    let status = bench.live.status().expect("told");
    assert_eq!((status.revision, status.deployments[0].state.as_str()), (Some(2), "installed"));

    let seen = bench.requests().len();
    bench.server.hang_up.store(false, Ordering::Relaxed);
    bench.run_for(2 * HOUR);
    let status = bench.live.status().expect("told");
    assert_eq!((status.revision, status.undelivered), (Some(2 + months), 0));
    assert!(status.deployments.is_empty());
    let asked = bench.requests();
    let (reports, others): (Vec<_>, Vec<_>) =
        asked[seen..].iter().partition(|it| it.path.ends_with("/status"));
    assert!(others.iter().all(|it| it.path.ends_with("/deployments")), "{others:?}");
    let told: Vec<String> = reports
        .iter()
        .map(|it| {
            let report: serde_json::Value = serde_json::from_str(&it.body).expect("JSON");
            report["status"]["state"].as_str().expect("a state").to_owned()
        })
        .collect();
    let repairs =
        ["failed", "installing", "installed"].repeat(usize::try_from(months).expect("few"));
    assert_eq!(told, [repairs, vec!["removing", "removed"]].concat());
}

#[test]
fn without_news_nothing_is_written() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    bench.server.offer_a_workload();
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.live.status().expect("told").deployments[0].state, "installed");
    let before = bench.files();
    assert!(before.len() > 4, "{before:?}");
    let contact = bench.live.status().expect("told").last_contact;
    bench.run_for(2 * HOUR);
    assert_ne!(bench.live.status().expect("told").last_contact, contact);
    assert_eq!(bench.files(), before);
    // Nor by contacts that fail.
    bench.server.hang_up.store(true, Ordering::Relaxed);
    bench.run_for(2 * HOUR);
    assert!(bench.live.status().expect("told").last_error.is_some());
    assert_eq!(bench.files(), before);
}

// margo(PO-3)
#[test]
fn outside_the_polling_period_reports_are_delivered_and_nothing_is_fetched() {
    let bench = Bench::at("2026-06-01T20:10:00Z", "10m", NIGHTS);
    bench.server.offer_a_workload();
    bench.run_for(HOUR);
    // It is five past nine in the morning, and the workload fails.
    bench.clock.after(HOUR, |clock| clock.set_wall(ms("2026-06-02T07:05:00Z")));
    bench.run_for(2 * HOUR);
    let seen = bench.requests().len();
    bench.provider.degraded.store(true, Ordering::Relaxed);
    bench.server.hang_up.store(true, Ordering::Relaxed);
    bench.run_for(30 * MINUTE);
    bench.server.hang_up.store(false, Ordering::Relaxed);
    bench.run_for(30 * MINUTE);
    let later = &bench.requests()[seen..];
    assert!(later.iter().all(|it| it.path.ends_with("/status")), "{later:?}");
    assert_eq!(bench.live.status().expect("told").undelivered, 0, "{later:?}");
    assert!(later.len() >= 2, "{later:?}");
}

#[test]
fn a_configuration_is_taken_over_while_the_client_runs_and_a_bad_one_is_not() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    bench.run_for(HOUR);
    let before = bench.requests().len();
    bench.configure("1m", "[[downtime]]\nreason = \"\"\n");
    bench.wake(Wake::Reload);
    bench.run_for(HOUR);
    let then = bench.requests().len();
    assert!(then > before + 50, "a bad one changes nothing");

    bench.configure("1m", "[[downtime]]\ndays = [\"mon\"]\n");
    bench.wake(Wake::Reload);
    bench.run_for(HOUR);
    let quiet = &bench.requests()[then..];
    assert!((1..=2).contains(&quiet.len()), "it is a Monday: {quiet:?}");
    let last_word = quiet.last().expect("one request");
    assert_eq!(last_word.told("quiet").as_deref(), Some("downtime"), "{last_word:?}");
    let next = last_word.told("next").map(|it| it.parse::<i64>().expect("a number"));
    let tuesday: jiff::Timestamp = "2026-06-02T00:00:00Z".parse().expect("a time");
    assert_eq!(next, Some(tuesday.as_second()));

    bench.configure("30m", "[device.labels]\nhall = \"north\"\n");
    bench.wake(Wake::Reload);
    bench.run_for(3 * HOUR);
    let later = &bench.requests()[then..];
    let capabilities: Vec<_> =
        later.iter().filter(|it| it.path.ends_with("/capabilities")).collect();
    assert_eq!(capabilities.len(), 1, "what the device is has changed: {later:?}");
    assert!(capabilities[0].body.contains("north"));
    assert!((5..=8).contains(&look(later).len()), "{later:?}");
}

#[test]
fn another_key_and_certificate_are_taken_over_before_a_contact() {
    let bench = Bench::at("2026-06-01T12:00:00Z", "1m", "");
    bench.run_for(10 * MINUTE);
    let former = bench.live.status().expect("told").certificate_fingerprint;
    let other = tempfile::tempdir().expect("a temporary directory can be made");
    let other = StateDir::open(other.path()).expect("nobody else has it");
    let identity = Identity::open_or_make(&other, "press-7").expect("a key can be made");
    let put = |name: &str| {
        let bytes = other.load_bytes(name).expect("readable").expect("it is there");
        bench.state.save_bytes(name, &bytes).expect("writable");
    };
    put("client.key");
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.live.status().expect("told").certificate_fingerprint, former);
    put("client.der");
    let before = bench.requests().len();
    bench.run_for(10 * MINUTE);
    let status = bench.live.status().expect("told");
    assert_eq!(status.certificate_fingerprint, identity.certificate.fingerprint());
    assert!(bench.requests()[before..].iter().any(|it| it.path.ends_with("/onboarding")));
}
