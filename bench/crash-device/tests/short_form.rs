//! One life with a handful of kills: what `make crash-device` does, in short.

use std::process::Command;

use serde_json::{Value, json};
use testkit::programs;

#[test]
fn a_client_that_is_killed_a_few_times_in_its_life_loses_nothing_and_does_nothing_twice() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bench-crash-device"));
    let told = programs::stdout_of(program.env("KILLS", "12"));
    let last = told.lines().last().expect("it prints its figures");
    let figures: Value = serde_json::from_str(last).expect("its last line is JSON");
    let expected = json!({
        "kills": 12, "unconverged": 0, "doubled": 0, "volumes_lost": 0, "reports_lost": 0,
    });
    assert_eq!(figures, expected, "{told}");
}
