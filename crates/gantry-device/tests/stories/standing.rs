//! Before a client is let in, and after it no longer is.

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::{programs, wait};

use crate::support::{PRESS, Plant};

fn last_error(press: &TestDevice) -> Option<String> {
    press.status()?["lastError"].as_str().map(str::to_owned)
}

// margo(SP-15, SP-61, C-1)
#[test]
fn a_client_waits_until_an_operator_has_compared_its_fingerprint() {
    let fleet = TestFleet::start();
    let press = TestDevice::start(&fleet, PRESS);
    let listed = wait::until("the client to wait", || {
        let client = programs::run(&mut fleet.gantry(&["client", "show", PRESS, "-o", "json"]));
        client.status.success().then(|| String::from_utf8_lossy(&client.stdout).into_owned())
    });
    let fingerprint = programs::stdout_of(&mut press.command(&["fingerprint"]));
    assert!(listed.contains(fingerprint.trim()), "{fingerprint} is not in {listed}");
    wait::until("the client to say that it waits", || {
        last_error(&press).filter(|it| it.contains("approve"))
    });
    assert_eq!(press.status().expect("it is written")["standing"], "waiting");

    programs::stdout_of(&mut fleet.gantry(&["client", "approve", PRESS]));
    wait::until("the client to be onboarded", || {
        press.status().filter(|it| it["standing"] == "onboarded" && it["revision"] == 1)
    });
}

#[test]
fn a_revoked_client_keeps_its_workloads_running_and_says_why_it_hears_nothing() {
    let plant = Plant::start("");
    plant.install("Hello");
    plant.gantry(&["client", "revoke", PRESS]);
    wait::until("the client to be refused", || {
        last_error(&plant.press).filter(|it| it.contains("not accepted"))
    });
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
    // margo(RT-2): no tight loop, and one line in the log for one cause.
    let refusals = plant.press.log().matches("not accepted").count();
    assert_eq!(refusals, 1, "{}", plant.press.log());
}

#[test]
fn after_a_restart_the_client_is_who_it_was() {
    let plant = &mut Plant::start("");
    let before = plant.client()["id"].clone();
    assert_eq!(plant.press.stop(), Some(0));
    plant.press.start_program();
    plant.install("Hello");
    let status = plant.press.status().expect("the client has written it");
    assert_eq!(status["clientId"], before);
}
