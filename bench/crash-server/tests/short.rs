//! A handful of kills on each database: what `make crash-server` does, in short.

use std::process::Command;

use serde_json::Value;
use testkit::programs;

const KILLS: u64 = 8;

#[test]
fn a_fleet_manager_that_is_killed_a_few_times_loses_nothing_with_sqlite() {
    assert_nothing_is_lost("sqlite");
}

#[test]
fn a_fleet_manager_that_is_killed_a_few_times_loses_nothing_with_postgres() {
    assert_nothing_is_lost("postgres");
}

fn assert_nothing_is_lost(database: &str) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bench-crash-server"));
    program.env("KILLS", KILLS.to_string()).env("DATABASE", database).env_remove("SEED");
    let told = programs::stdout_of(&mut program);
    let last = told.lines().last().expect("it prints its figures");
    let figures: Value = serde_json::from_str(last).expect("its last line is JSON");
    assert_eq!(figures["kills"], KILLS, "{told}");
    for lost in ["orders_lost", "half_revisions", "versions_back", "statuses_lost"] {
        assert_eq!(figures[lost], 0, "{lost}: {told}");
    }
    for done in ["orders", "statuses", "revisions"] {
        assert!(figures[done].as_u64() > Some(KILLS), "{done}: {told}");
    }
}
