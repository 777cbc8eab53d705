//! A client whose owner has put a key and a certificate in place (contract §16.2).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::keys::{self, Key};
use testkit::{programs, wait};

/// A configured client with this pair in its state directory.
fn device_with(fleet: &TestFleet, key: &Key) -> TestDevice {
    let device = TestDevice::prepare(fleet, key.name, "");
    let state = device.state_dir();
    fs::create_dir_all(&state)
        .and_then(|()| fs::set_permissions(&state, fs::Permissions::from_mode(0o700)))
        .and_then(|()| fs::write(state.join("client.key"), key.pem))
        .and_then(|()| fs::write(state.join("client.der"), key.certificate))
        .expect("the state directory can be written");
    device
}

// margo(SP-22, SP-23): a client picks the algorithm that goes with its key; all that it says holds.
#[test]
fn a_client_speaks_with_the_key_of_its_owner_whatever_kind_it_is() {
    let fleet = TestFleet::start();
    for key in keys::ALL {
        let mut device = device_with(&fleet, &key);
        device.start_program();
        let fingerprint = programs::stdout_of(&mut device.command(&["fingerprint"]));
        let shown = || {
            let clients = fleet.operator().get("/clients");
            let mut clients = clients["items"].as_array().expect("a list of clients").clone();
            clients.retain(|it| it["certificateFingerprint"] == fingerprint.trim());
            clients.pop()
        };
        // Two forms of a key have one certificate, and so are one client.
        let waiting = wait::until("the client to be known", shown);
        let id = waiting["id"].as_str().expect("an id is text");
        fleet.operator().approve(id);
        wait::until("the client to have reported its device and fetched its desired state", || {
            device.status().filter(|it| it["standing"] == "onboarded" && it["revision"] == 1)?;
            let client = fleet.operator().get(&format!("/clients/{id}"));
            let devices = client["devices"].as_array().expect("a list of devices").clone();
            devices.iter().any(|it| it["id"] == key.name).then_some(())
        });
        let log = device.log();
        assert!(!log.contains("answers 401"), "every signature holds: {log}");
        device.end();
    }
}

#[test]
fn a_client_with_a_key_that_cannot_be_used_says_why() {
    let fleet = TestFleet::start();
    for key in keys::UNUSABLE {
        let device = device_with(&fleet, &key);
        let output = programs::run(&mut device.command(&["run"]));
        assert_eq!(output.status.code(), Some(1), "{}", key.name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("RSA with 2048 to 4096 bits"), "{said}");
    }
}
