//! Without a network: workloads run on and are repaired, and what happened is told later.

use testkit::wait;

use crate::support::{PRESS, Plant, docker};

// margo(W-1, CW-11, PO-1)
#[test]
fn without_a_server_the_accepted_state_is_made_true_again_after_a_reboot() {
    let plant = &mut Plant::start("");
    plant.install("Hello");
    plant.fleet.kill();
    plant.press.kill();
    for container in plant.containers() {
        docker(&["rm", "--force", &container]);
    }
    plant.press.start_program();
    wait::until("the workload to be made anew", || plant.greeting());

    plant.fleet.start_server();
    let status = wait::until("the device to be heard again", || {
        plant.press.status().filter(|it| it["undelivered"] == 0 && it["lastError"].is_null())
    });
    assert_eq!(status["revision"], 2);
    assert_eq!(plant.state(), "installed");
}

// margo(S-8, PO-1)
#[test]
fn what_happened_while_the_server_was_away_is_told_in_order() {
    let plant = &mut Plant::start("");
    plant.install("Hello");
    plant.press.stop();
    plant.fleet.kill();
    for container in plant.containers() {
        docker(&["rm", "--force", &container]);
    }
    plant.press.start_program();
    wait::until("the repair to be done and not yet told", || {
        let status = plant.press.status()?;
        let installed = status["deployments"][0]["state"] == "installed";
        (installed && status["undelivered"].as_u64() > Some(0)).then_some(())
    });
    plant.fleet.start_server();
    wait::until("the journal to be delivered", || {
        plant.press.status().filter(|it| it["undelivered"] == 0)
    });
    let deployment = plant.fleet.operator().get("/deployments");
    let id = deployment["items"][0]["id"].as_str().expect("a deployment has an id").to_owned();
    let events = plant.fleet.operator().get(&format!("/deployments/{id}/events"));
    let states: Vec<&str> = events["items"]
        .as_array()
        .expect("a list of events")
        .iter()
        .filter(|it| it["what"] == "reported")
        .filter_map(|it| it["state"].as_str())
        .collect();
    assert_eq!(
        states,
        ["pending", "installing", "installed", "failed", "installing", "installed"],
        "{events}"
    );
}

#[test]
fn a_change_and_its_undoing_that_a_device_slept_through_are_told_as_done() {
    let plant = &mut Plant::start("");
    plant.install("Hello");
    let before = plant.containers();
    plant.press.stop();
    plant.gantry(&["deployment", "update", &plant.name, "--set", "greeting=Moin"]);
    plant.revision_reached(3);
    let rollback = ["desired-state", "rollback", PRESS, "--to", "2", "--reason", "no", "--yes"];
    plant.gantry(&rollback);
    plant.revision_reached(4);
    plant.gantry(&["deployment", "remove", &plant.name]);
    plant.revision_reached(5);
    plant.gantry(&rollback);
    plant.revision_reached(6);
    assert_eq!(plant.state(), "ordered");

    plant.press.start_program();
    plant.state_reached("installed");
    assert_eq!(plant.containers(), before, "the workload was what it has to be all the time");
    assert_eq!(plant.press.status().expect("the client has written it")["revision"], 6);
}
