//! What the engine offers, as the fleet manager hears of it.

use super::*;
use device_providers::code;

const START: &str = "2026-06-01T12:00:00Z";

fn silent(bench: &Bench, silent: bool) {
    bench.provider.silent.store(silent, Ordering::Relaxed);
}

// margo(C-1, C-2, SP-45, SP-51)
#[test]
fn what_the_engine_offers_is_reported_once_and_a_short_outage_changes_nothing() {
    let bench = Bench::at(START, "1m", "");
    bench.run_for(HOUR);
    let told = bench.capabilities();
    assert_eq!(told.len(), 1, "{told:?}");
    let paths: Vec<String> = bench.requests().into_iter().map(|it| it.path).collect();
    let first = ["/api/v1/onboarding", "/api/v1/clients/c1/capabilities"];
    assert_eq!(paths[..2], first, "before it asks for anything");
    assert_eq!(told[0]["labels"]["gantry.io/compose"], "2.26.1");
    assert_eq!(told[0]["labels"]["gantry.io/compose-engine"], "20.10.24");
    assert_eq!(told[0]["properties"]["resources"]["cpu"]["architectures"][0], "arm64");
    assert_eq!(told[0]["properties"]["roles"][0], "Standalone Device");
    for _ in 0..20 {
        silent(&bench, true);
        bench.run_for(12 * MINUTE);
        silent(&bench, false);
        bench.run_for(5 * MINUTE);
    }
    silent(&bench, true);
    bench.reboot();
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.capabilities().len(), 1, "not even when it starts later than the client");
}

// margo(C-2)
#[test]
fn an_engine_that_is_away_for_long_is_reported_and_so_is_its_return() {
    let bench = Bench::at(START, "1m", "");
    bench.run_for(HOUR);
    silent(&bench, true);
    bench.run_for(DAY);
    silent(&bench, false);
    bench.run_for(HOUR);
    let labels: Vec<_> =
        bench.capabilities().iter().map(|it| it["labels"]["gantry.io/compose"].clone()).collect();
    assert_eq!(labels, ["2.26.1", "unavailable", "2.26.1"]);
}

#[test]
fn a_device_whose_engine_is_away_at_the_start_gets_in_and_what_is_ordered_waits_for_the_engine() {
    let bench = Bench::at(START, "1m", "");
    silent(&bench, true);
    bench.server.offer_a_workload();
    bench.run_for(DAY);
    let told = bench.capabilities();
    assert_eq!(told[0]["properties"]["roles"][0], "Standalone Device", "{told:?}");
    assert_eq!(bench.states(), ["pending", "installing", "failed"]);
    let (_, failed) = bench.reports().pop().expect("it was told");
    assert_eq!(failed["status"]["error"]["code"], code::ENGINE_UNAVAILABLE, "not ineligible");
    silent(&bench, false);
    bench.run_for(90);
    assert_eq!(bench.states(), ["pending", "installing", "failed", "installed"], "within moments");
}
