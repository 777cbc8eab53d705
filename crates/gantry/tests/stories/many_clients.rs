//! One order for several clients: what can be ordered is, what cannot is told, and scripts learn of both.

use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, Waiting, assert_has, bad, cells, fleet_with_press, gantry, good, report, report_failure,
};

/// A client whose first, empty revision is there.
fn client(fleet: &TestFleet, name: &str) -> TestClient {
    let client = fleet.accepted_client(name);
    fleet.operator().revision_reached(client.id(), 1);
    client
}

/// The ids of the deployments on these clients.
fn deployments<const N: usize>(fleet: &TestFleet, clients: [&TestClient; N]) -> [String; N] {
    clients.map(|client| {
        let found = fleet.operator().get(&format!("/deployments?client={}", client.id()));
        found["items"][0]["id"].as_str().expect("there is one").to_owned()
    })
}

#[test]
fn an_application_goes_to_the_named_clients_or_to_all_that_are_let_in() {
    let (fleet, press) = fleet_with_press();
    let mill = client(&fleet, "mill-1");
    let saw = client(&fleet, "saw-1");
    fleet.stranger("waiting").onboard().expect(403);

    let to = ["deploy", HELLO, "--to", "press-7", "--to", "mill-1", "--to", press.id()];
    let told =
        good(&fleet, &[&to[..], &["--set", "greeting=Moin", "--reason", "the line"]].concat());
    assert_eq!(told, format!("Ordered {HELLO}@1.0.0 for 2 of 2 clients.\n"));
    for id in deployments(&fleet, [&press, &mill]) {
        let ordered = fleet.operator().get(&format!("/deployments/{id}"));
        assert_eq!(ordered["parameters"], json!({"greeting": "Moin"}));
    }
    fleet.operator().revision_reached(mill.id(), 2);
    assert_has(&good(&fleet, &["desired-state", "show", "mill-1"]), &["the line"]);

    let told = gantry(&fleet, &["deploy", HELLO, "--to-all"]).ends(5);
    assert_has(&told.stderr, &["2 of 3 orders were refused"]);
    assert_has(&told.stdout, &[&format!("Ordered {HELLO}@1.0.0 for 1 of 3 clients.\n")]);
    let rows = cells(&told.stdout);
    assert_eq!(rows[1], ["CLIENT", "NAME", "REFUSED"]);
    let mut refused: Vec<(&str, &str)> = rows[2..].iter().map(|row| (row[1], row[2])).collect();
    refused.sort_unstable();
    assert_eq!([refused[0].0, refused[1].0], ["mill-1", "press-7"]);
    assert_has(refused[0].1, &["the application is on this device already"]);
    deployments(&fleet, [&saw]);

    let told = gantry(&fleet, &["deploy", HELLO, "--to-all", "-o", "json"]).ends(5);
    let outcomes: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let statuses = outcomes["items"].as_array().expect("a list").iter();
    assert!(statuses.clone().all(|it| it["refusal"]["status"] == 409), "{outcomes}");
    assert_eq!(statuses.count(), 3);
}

#[test]
fn an_order_for_nobody_or_for_one_device_of_many_is_refused_before_anything_is_sent() {
    let (fleet, _press) = fleet_with_press();
    let deploy = |more: &[&'static str]| [&["deploy", HELLO][..], more].concat();
    bad(&fleet, &deploy(&[]), 2, &["--to"]);
    bad(&fleet, &deploy(&["--to-all", "--to", "press-7"]), 2, &["--to-all"]);
    bad(&fleet, &deploy(&["--to-all", "--device", "press-7"]), 2, &["--device"]);
    let two = ["--to", "press-7", "--to", "press-8", "--device", "press-7"];
    bad(&fleet, &deploy(&two), 2, &["--device"]);
    bad(&fleet, &deploy(&["--to", "press-7", "--to", "none"]), 4, &["none"]);
    bad(&fleet, &["deploy", "none", "--to-all"], 4, &["none"]);
    assert_eq!(fleet.operator().get("/deployments")["items"], json!([]));

    let fleet = TestFleet::start();
    bad(&fleet, &deploy(&["--to-all"]), 4, &["no client is let in"]);
}

#[test]
fn all_devices_can_be_waited_for_and_one_that_fails_is_told() {
    let (fleet, press) = fleet_with_press();
    let mill = client(&fleet, "mill-1");
    let mut waiting = Waiting::start(&fleet, &["deploy", HELLO, "--to-all", "--wait"]);
    waiting.says("for 2 of 2 clients");
    for client in [&press, &mill] {
        fleet.operator().revision_reached(client.id(), 2);
    }
    let [on_press, on_mill] = deployments(&fleet, [&press, &mill]);
    report(&press, &on_press, "installed");
    report_failure(&mill, &on_mill, "no such image");
    let told = waiting.ends(7);
    assert_has(&told.stdout, &["Installed on 1 of 2 devices.\n"]);
    assert_has(
        &told.stderr,
        &["mill-1: com-gantry-hello failed on the device: no such image (PULL)"],
    );
}
