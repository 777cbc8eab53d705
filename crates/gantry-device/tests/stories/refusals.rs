//! What a device does not take, whoever offers it.

use std::process::Command;

use testkit::{programs, wait};

use crate::support::{PRESS, Plant};

/// Takes the fleet manager's signing keys away; it makes another one at its next start.
const FORGET_KEYS: &str = "import sqlite3, sys; fleet = sqlite3.connect(sys.argv[1]); \
    assert fleet.execute(\"DELETE FROM settings WHERE name = 'commit-signing-keys'\").rowcount == 1; \
    fleet.commit(); fleet.close()";

// margo(CW-3, G-0): with the trusted key the device would follow, see `restores`.
#[test]
fn a_fleet_manager_that_was_set_back_and_has_another_key_does_not_set_back_its_devices() {
    let plant = &mut Plant::start("");
    plant.install("Hello");
    let (data, backup) = (plant.fleet.dir().join("data"), plant.fleet.dir().join("backup"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        programs::stdout_of(Command::new("cp").arg("-r").arg(from).arg(to));
    };
    assert_eq!(plant.fleet.stop(), Some(0));
    copy(&data, &backup);
    plant.fleet.start_server();
    let update = ["--set", "greeting=Moin", "--wait", "--timeout", "60s"];
    plant.gantry(&[&["deployment", "update", &plant.name][..], &update].concat());

    assert_eq!(plant.fleet.stop(), Some(0));
    std::fs::remove_dir_all(&data).expect("the test's folder");
    copy(&backup, &data);
    programs::stdout_of(
        Command::new("python3").args(["-c", FORGET_KEYS]).arg(plant.fleet.database_file()),
    );
    plant.fleet.start_server();
    let told = wait::until("the refusal to be told", || {
        let client = plant.client();
        client["securityEvent"]["what"].as_str().map(str::to_owned)
    });
    assert!(told.contains("whom nobody who is trusted has introduced"), "{told}");
    // Nor what is published on top of the older history.
    let update = ["--set", "greeting=Servus"];
    plant.gantry(&[&["deployment", "update", &plant.name][..], &update].concat());
    let before = plant.press.status().expect("the client has written it");
    wait::until("another poll", || {
        plant.press.status().filter(|it| it["lastContact"] != before["lastContact"])
    });
    assert_eq!(plant.greeting().as_deref(), Some("Moin"));
    assert_eq!(plant.press.status().expect("written")["revision"], 3);
    let log = plant.press.log();
    let [_, since] = log.split("security_event=true").collect::<Vec<_>>()[..] else {
        panic!("told once: {log}");
    };
    assert!(!since.contains("using HTTP"), "what Git refuses does not come the other way: {log}");
    let shown = plant.gantry(&["client", "show", PRESS]);
    assert!(shown.contains("Refused:"), "{shown}");
}

#[test]
fn a_key_that_the_owner_does_not_name_signs_nothing_here() {
    let stranger = "[desired_state]\nsigners = [\"ssh-ed25519 \
                    AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\"]\n";
    let plant = Plant::start(stranger);
    let told = wait::until("the refusal to be told", || {
        plant.client()["securityEvent"]["what"].as_str().map(str::to_owned)
    });
    assert!(told.contains("whom nobody who is trusted has introduced"), "{told}");
    assert_eq!(plant.press.status().expect("written")["revision"], serde_json::Value::Null);
}

#[test]
fn a_replaced_key_is_followed() {
    let plant = Plant::start("[desired_state]\nrequire_signatures = true\n");
    plant.install("Hello");
    plant.fleet.operator().send("POST", "/signing-keys", None).expect(200);
    for greeting in ["one", "two", "three"] {
        let greeting_set = format!("greeting={greeting}");
        let update = ["--set", &greeting_set, "--wait", "--timeout", "60s"];
        plant.gantry(&[&["deployment", "update", &plant.name][..], &update].concat());
        assert_eq!(plant.greeting().as_deref(), Some(greeting));
    }
    assert!(plant.client()["securityEvent"].is_null());
}
