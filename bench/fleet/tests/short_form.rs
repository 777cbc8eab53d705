//! A small fleet through all that `make bench-fleet` does, in seconds.

use std::process::Command;

use serde_json::Value;
use testkit::programs;

const MEMBERS: [&str; 16] = [
    "clients",
    "database",
    "polls_per_s",
    "polls_per_s_most",
    "p50_ms",
    "p99_ms",
    "server_pss_bytes",
    "server_cores",
    "simulator_cores",
    "onboardings_per_s",
    "order_to_published_s",
    "order_to_installed_s",
    "return_5xx",
    "return_s",
    "database_bytes",
    "database_bytes_per_client",
];

#[test]
fn twenty_clients_come_in_poll_install_and_come_back() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bench-fleet"));
    program.env("CLIENTS", "20").env("ONBOARDING", "10").env("GIT_SHARE", "20");
    program.env("POLL_SECONDS", "1").env("WINDOW_SECONDS", "3").env_remove("DATABASE");
    let told = programs::stdout_of(&mut program);
    let last = told.lines().last().expect("it prints its figures");
    let figures: Value = serde_json::from_str(last).expect("its last line is JSON");
    let mut names: Vec<&String> = figures.as_object().expect("an object").keys().collect();
    let mut expected = MEMBERS;
    names.sort();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(figures["clients"], 20);
    assert_eq!(figures["return_5xx"], 0, "{told}");
    for name in MEMBERS.into_iter().filter(|it| !matches!(*it, "database" | "return_5xx")) {
        assert!(figures[name].as_f64().is_some_and(|it| it > 0.0), "{name}: {last}");
    }
}
