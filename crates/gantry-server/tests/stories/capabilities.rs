//! What a client reports of its devices (contract §5, §16.1, §16.3, §16.4).

use serde_json::{Value, json};
use testkit::fleet::TestFleet;

use crate::support::add_web;

// margo(SP-3, SP-4, SP-9, SP-56, X-02, C-4): with and without device id.
#[test]
fn capabilities_are_accepted_with_every_method_and_path_of_the_profile() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let document = press.capabilities();

    press.post(&press.path("/capabilities"), &document).expect(201);
    press.put(&press.path("/capabilities"), &document).expect(201);
    press.post(&press.path("/capabilities/press-7"), &document).expect(201);
    press.put(&press.path("/capabilities/press-7"), &document).expect(201);

    let client = fleet.operator().get(&format!("/clients/{}", press.id()));
    let devices = client["devices"].as_array().expect("a list of devices");
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0]["id"], "press-7");
    assert_eq!(devices[0]["capabilities"], document, "kept as reported");
}

// margo(C-5): path and body are about one device.
#[test]
fn the_device_of_the_path_is_the_device_of_the_body() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    press.put(&press.path("/capabilities/press-8"), &press.capabilities()).expect_problem(
        422,
        "#semantic-error",
        "press-8",
    );
}

// margo(DC-2, DC-3, DC-5, SP-3, SP-55, PD-3)
#[test]
fn every_fault_of_a_document_is_named_at_once() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut document = press.capabilities();
    document["properties"]["id"] = json!("press 7");
    document["properties"]["roles"] = json!(["King"]);
    document["properties"]["resources"]["memory"] = json!("8 parsecs");

    let answer = press.put(&press.path("/capabilities"), &document);
    let problem = answer.expect_problem(422, "#semantic-error", "").json();
    let errors = problem["errors"].as_array().expect("every fault is listed");
    for field in ["id", "roles", "memory"] {
        let named = |it: &Value| it["field"].as_str().is_some_and(|it| it.contains(field));
        assert!(errors.iter().any(named), "{field} is missing in {problem}");
    }
    let client = fleet.operator().get(&format!("/clients/{}", press.id()));
    assert_eq!(client["devices"][0]["capabilities"], press.capabilities(), "nothing changed");
}

// margo(SP-4, C-8)
#[test]
fn a_device_can_be_taken_back_once() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/capabilities/press-7");

    press.send(&press.signed("DELETE", &path, None, &[])).expect(204);
    press.send(&press.signed("DELETE", &path, None, &[])).expect_problem(
        404,
        "#device-not-found",
        "",
    );
}

// margo(DC-5, E-4, SP-3)
#[test]
fn what_is_not_json_is_malformed() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/capabilities");
    let json = ("content-type", "application/json");

    for body in ["{", "[]", "7", ""] {
        let request = press.signed("PUT", &path, Some(body.as_bytes().to_vec()), &[json]);
        press.send(&request).expect_problem(400, "#invalid-request", "");
    }
    let request =
        press.signed("PUT", &path, Some(b"{}".to_vec()), &[("content-type", "text/plain")]);
    press.send(&request).expect_problem(415, "about:blank", "application/json");
}

// margo(C-6, C-7, A-5, E-1, E-2, GW-1, GW-2, GW-4, GW-6): a gateway comes before what stands behind it.
#[test]
fn a_child_is_reported_after_its_gateway() {
    let fleet = TestFleet::start();
    let gateway = fleet.accepted_client("gw-quay");
    let document = |id: &str| {
        let mut document = gateway.capabilities();
        document["properties"]["id"] = json!(id);
        document
    };
    let report = |path: &str, id: &str| gateway.put(&gateway.path(path), &document(id));
    for path in ["/capabilities", "/capabilities/gw-lock/box-02"] {
        let refused = report(path, "gw-lock/box-02");
        refused.expect_problem(404, "#gateway-not-found", "`gw-lock`");
    }
    report("/capabilities/gw-quay/box-02", "gw-quay/box-02").expect(201);
    report("/capabilities/gw-quay%2Fbox-03", "gw-quay/box-03").expect(201);
    report("/capabilities/gw-quay/shed/box-04", "gw-quay/shed/box-04").expect(201);

    let client = fleet.operator().get(&format!("/clients/{}", gateway.id()));
    let devices = client["devices"].as_array().expect("a list of devices").iter();
    let ids: Vec<&str> = devices.filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, ["gw-quay", "gw-quay/box-02", "gw-quay/box-03", "gw-quay/shed/box-04"]);
    let child = gateway.path("/capabilities/gw-quay/box-02");
    gateway.send(&gateway.signed("DELETE", &child, None, &[])).expect(204);

    // What another client has is another device.
    let press = fleet.accepted_client("press-7");
    let mut foreign = press.capabilities();
    foreign["properties"]["id"] = json!("gw-quay/box-02");
    press.put(&press.path("/capabilities"), &foreign).expect_problem(
        404,
        "#gateway-not-found",
        "`gw-quay`",
    );
}

// margo(C-21)
#[test]
fn a_device_that_hosts_nothing_is_kept_and_gets_no_workload() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let gateway = include_str!("../../../margo-contract/tests/fixtures/gateway-capabilities.json");
    let mut gateway: Value = serde_json::from_str(gateway).expect("a fixture is JSON");
    gateway["properties"]["id"] = json!("press-7");
    press.put(&press.path("/capabilities"), &gateway).expect(201);
    let order = json!({"applicationId": "com-example-web", "clientId": press.id()});
    let refused = fleet.operator().send("POST", "/deployments", Some(&order)).expect(422);
    assert!(refused.text().contains("the device does not run compose"), "{}", refused.text());
}

// margo(C-9, GW-6)
#[test]
fn with_a_gateway_goes_what_stands_behind_it() {
    let fleet = TestFleet::start();
    let gateway = fleet.accepted_client("gw-quay");
    let report = |id: &str| {
        let mut document = gateway.capabilities();
        document["properties"]["id"] = json!(id);
        gateway.put(&gateway.path("/capabilities"), &document)
    };
    for id in ["gw-quay-2", "gw-quay/box-02", "gw-quay/shed/box-03", "gw-quay-2/box-04"] {
        report(id).expect(201);
    }
    let take_back = |id: &str| {
        let path = gateway.path(&format!("/capabilities/{id}"));
        gateway.send(&gateway.signed("DELETE", &path, None, &[]))
    };
    let ids = || {
        let client = fleet.operator().get(&format!("/clients/{}", gateway.id()));
        let devices = client["devices"].as_array().expect("a list of devices").clone();
        devices.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    take_back("gw-quay").expect(204);
    assert_eq!(ids(), ["gw-quay-2", "gw-quay-2/box-04"]);
    report("gw-quay/box-02").expect_problem(404, "#gateway-not-found", "`gw-quay`");
    take_back("gw-quay-2/box-04").expect(204);
    assert_eq!(ids(), ["gw-quay-2"]);
    take_back("gw-quay").expect(404);
}

// margo(G-4, GW-3, SP-45, X-12, C-21)
#[test]
fn documents_of_both_generations_are_kept() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let newer = include_str!("../../../margo-contract/tests/fixtures/device-capabilities.json");
    let gateway = include_str!("../../../margo-contract/tests/fixtures/gateway-capabilities.json");
    let signed = include_str!(
        "../../../margo-contract/tests/fixtures/signed-profile/device-capabilities.json"
    );
    for text in [newer, gateway, signed] {
        let document: Value = serde_json::from_str(text).expect("a fixture is JSON");
        press.post(&press.path("/capabilities"), &document).expect(201);
        let client = fleet.operator().get(&format!("/clients/{}", press.id()));
        let devices = client["devices"].as_array().expect("a list of devices");
        assert!(devices.iter().any(|it| it["capabilities"] == document), "{text}");
    }
}

// margo(C-4, SP-56)
#[test]
fn what_a_client_said_of_a_device_is_kept_with_what_changed() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut document = press.capabilities();
    press.put(&press.path("/capabilities"), &document).expect(201);
    document["properties"]["resources"]["memory"] = json!("16Gi");
    document["labels"] = json!({"site": "north"});
    press.put(&press.path("/capabilities"), &document).expect(201);
    let path = press.path("/capabilities/press-7");
    press.send(&press.signed("DELETE", &path, None, &[])).expect(204);
    press.report_capabilities().expect(201);

    let path = format!("/clients/{}/capabilities", press.id());
    let kept = fleet.operator().get(&path);
    let kept = kept["items"].as_array().expect("a list of reports");
    assert_eq!(kept.len(), 4, "what is said again is no news: {kept:?}");
    assert_eq!(kept[0]["changes"], json!([]));
    assert_eq!(kept[1].get("capabilities"), None, "taken back");
    assert_eq!(kept[2]["capabilities"], document);
    let changes = json!([
        {"field": "properties.resources.memory", "before": "8Gi", "after": "16Gi"},
        {"field": "labels", "after": {"site": "north"}},
    ]);
    assert_eq!(kept[2]["changes"], changes);
    assert_eq!(kept[3]["capabilities"], press.capabilities());
    assert!(kept.iter().all(|it| it["deviceId"] == "press-7" && it["at"].is_string()));

    let of =
        |device: &str| fleet.operator().get(&format!("{path}?device={device}"))["items"].clone();
    assert_eq!(of("press-7").as_array().map(Vec::len), Some(4));
    assert_eq!(of("press-8"), json!([]));
}

#[test]
fn the_history_of_a_device_is_bounded() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut document = press.capabilities();
    for turn in 0..60 {
        document["labels"] = json!({"turn": turn});
        press.put(&press.path("/capabilities"), &document).expect(201);
    }
    let kept = fleet.operator().get(&format!("/clients/{}/capabilities", press.id()));
    let kept = kept["items"].as_array().expect("a list of reports");
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[0]["changes"][0]["after"], 59);

    document["labels"] = json!({"long": "x".repeat(64 << 10)});
    let large = press.put(&press.path("/capabilities"), &document);
    large.expect_problem(413, "about:blank", "65536");
}
