//! Killing either program at any time: the order is carried out all the same, once.

use std::thread;
use std::time::Duration;

use crate::support::Plant;

/// How long after an order the program is killed, in milliseconds: spread over its whole life.
const MOMENTS: [u64; 6] = [0, 150, 400, 900, 1_400, 2_000];

/// Lets time pass; the moments of kills are the one thing here that is not a condition.
fn pass(milliseconds: u64) {
    thread::park_timeout(Duration::from_millis(milliseconds));
}

fn order(plant: &Plant, greeting: &str) {
    let greeting = format!("greeting={greeting}");
    plant.gantry(&["deployment", "update", &plant.name, "--set", &greeting]);
}

#[test]
fn a_device_that_is_killed_at_any_time_converges_and_installs_nothing_twice() {
    let plant = &mut Plant::start("");
    assert!(plant.deploy("start", &[]).status.success());
    for moment in MOMENTS {
        pass(moment);
        plant.press.kill();
        plant.press.start_program();
        order(plant, &format!("after-{moment}"));
    }
    plant.state_reached("installed");
    assert_eq!(plant.greeting().as_deref(), Some("after-2000"));
    assert_eq!(plant.containers().len(), 1);

    plant.gantry(&["deployment", "remove", &plant.name]);
    pass(1_100);
    plant.press.kill();
    plant.press.start_program();
    plant.state_reached("removed");
    assert!(plant.containers().is_empty());
}

#[test]
fn a_server_that_is_killed_at_any_time_loses_nothing_that_it_has_confirmed() {
    let plant = &mut Plant::start("");
    assert!(plant.deploy("start", &[]).status.success());
    for moment in MOMENTS {
        pass(moment);
        plant.fleet.kill();
        plant.fleet.start_server();
        order(plant, &format!("after-{moment}"));
    }
    plant.state_reached("installed");
    assert_eq!(plant.greeting().as_deref(), Some("after-2000"));

    plant.gantry(&["deployment", "remove", &plant.name]);
    plant.fleet.kill();
    plant.fleet.start_server();
    plant.state_reached("removed");
    assert!(plant.containers().is_empty());
}
