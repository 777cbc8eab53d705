//! Which clients there are, which may talk, and how an operator names one.

use std::fs;

use serde_json::json;
use testkit::certificates::Authority;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;

use crate::support::{announcement, argument, assert_has, bad, cells, good};

/// A client that has asked to be let in, and its id.
fn waiting(fleet: &TestFleet, name: &str) -> (TestClient, String) {
    let mut client = fleet.stranger(name);
    client.onboard().expect(403);
    let clients = fleet.operator().get("/clients");
    let mut items = clients["items"].as_array().expect("a list of clients").iter();
    let of_name = items.find(|it| it["name"] == name).expect("who onboarded is listed");
    let id = of_name["id"].as_str().expect("an id is text").to_owned();
    (client, id)
}

#[test]
fn a_waiting_client_is_compared_and_let_in() {
    let fleet = TestFleet::start();
    let (mut press, id) = waiting(&fleet, "press-7");
    let heads = vec!["ID", "NAME", "STANDING", "DEVICES", "REVISION", "LAST CONTACT", "CONTACT"];
    let row = vec![id.as_str(), "press-7", "waiting", "-", "-", "-", "never"];
    assert_eq!(cells(&good(&fleet, &["client", "list"])), [heads, row]);

    let fingerprint = fleet.operator().get(&format!("/clients/{id}"))["certificateFingerprint"]
        .as_str()
        .expect("a fingerprint is text")
        .to_owned();
    let shown = good(&fleet, &["client", "show", "press-7"]);
    assert_has(&shown, &[&id, "Standing:     waiting\n", &fingerprint]);

    let approved = good(&fleet, &["client", "approve", "press-7", "--reason", "compared"]);
    assert_eq!(approved, format!("press-7 ({id}) is approved.\n"));
    press.onboard().expect(201);
    press.report_capabilities().expect(201);
    let shown = good(&fleet, &["client", "show", "press-7"]);
    let device = ["Device press-7, reported ", "\"serialNumber\": \"0007\""];
    assert_has(&shown, &["Standing:     approved\n", "Decided by:   admin\n"]);
    assert_has(&shown, &device);
    // Saying it twice is saying it once.
    good(&fleet, &["client", "approve", "press-7"]);
    bad(&fleet, &["client", "reject", "press-7"], 5, &["approved already", "revoke it"]);
}

#[test]
fn a_client_is_turned_away_and_shut_out() {
    let fleet = TestFleet::start();
    let (mut press, _) = waiting(&fleet, "press-7");
    assert_has(&good(&fleet, &["client", "reject", "press-7"]), &["is rejected."]);
    press.onboard().expect(403);
    // An operator may think better of it.
    good(&fleet, &["client", "approve", "press-7"]);
    press.onboard().expect(201);

    assert_has(&good(&fleet, &["client", "revoke", "press-7"]), &["is revoked."]);
    press.get(&press.path("/deployments"), &[]).expect(403);
    let again = ["client", "approve", "press-7"];
    bad(&fleet, &again, 5, &["revoked for good", "a new key"]);
}

#[test]
fn a_client_that_is_quiet_as_agreed_reads_differently_from_one_that_is_overdue() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let lathe = fleet.accepted_client("lathe-2");
    fleet.accepted_client("of-another-make");
    press.announce(&announcement(3600)).expect(200);
    fleet.make_overdue(&lathe);

    let shown = good(&fleet, &["client", "show", "press-7"]);
    let said = ["Contact:      quiet as agreed until ", "Z (downtime)\n", "Last contact: "];
    assert_has(&shown, &said);
    assert_has(&shown, &["Running:      revision 1\n", "Undelivered:  2 reports\n"]);

    let overdue = good(&fleet, &["client", "list", "--overdue"]);
    assert_has(&overdue, &["lathe-2", "overdue since "]);
    assert_eq!(overdue.lines().count(), 2, "{overdue}");
    let json = good(&fleet, &["client", "list", "--overdue", "-o", "json"]);
    assert_has(&json, &["lathe-2", "\"standing\": \"overdue\""]);
    assert!(!json.contains("press-7"), "{json}");
    let all = good(&fleet, &["client", "list"]);
    assert_has(&all, &["quiet as agreed until ", "overdue since ", "unknown\n"]);
}

#[test]
fn a_client_answers_to_its_id_to_the_beginning_of_it_and_to_its_names() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let id = press.id();
    for name in [id, &id.to_uppercase(), &id[..8], &id[..4], "press-7"] {
        assert_has(&good(&fleet, &["client", "show", name]), &[id]);
    }
    let unknown = "00000000-0000-4000-8000-000000000001";
    for name in [&id[..3], "press", "nobody", unknown, ""] {
        let needles = [&format!("`{name}`"), "4 characters or more", "`gantry client list`"];
        bad(&fleet, &["client", "show", name], 4, &needles);
    }
    for verb in ["approve", "reject", "revoke"] {
        bad(&fleet, &["client", verb, "nobody"], 4, &["nobody"]);
    }
}

#[test]
fn a_name_of_several_clients_decides_nothing_and_lists_them() {
    let fleet = TestFleet::start();
    // Both say that they are press-7; only one of them is.
    let (_, first) = waiting(&fleet, "press-7");
    fleet.stranger("press-7").onboard().expect(403);
    let clients = fleet.operator().get("/clients");
    let mut items = clients["items"].as_array().expect("a list of clients").iter();
    let second = items.find(|it| it["id"] != first.as_str()).expect("there is another one");
    let second = second["id"].as_str().expect("an id is text");

    let needles = ["`press-7` can mean several", "give the id of one client", &first, second];
    bad(&fleet, &["client", "approve", "press-7"], 5, &needles);
    assert_eq!(good(&fleet, &["client", "list"]).matches("waiting").count(), 2);

    good(&fleet, &["client", "reject", &first]);
    // What is turned away is meant no more where another one has its name.
    assert_has(&good(&fleet, &["client", "show", "press-7"]), &[second]);
}

#[test]
fn a_client_is_registered_before_it_calls_and_renewed_with_another_key() {
    let fleet = TestFleet::start();
    let (mut press, mut renewed) = (fleet.stranger("press-7"), fleet.stranger("press-7"));
    let file = fleet.dir().join("press.pem");
    fs::write(&file, press.certificate_pem()).expect("the test's folder can be written");
    let register = ["client", "register", argument(&file), "--reason", "from the yard"];
    assert_has(&good(&fleet, &register), &["press-7 (", "is let in as soon as it calls."]);
    bad(&fleet, &register, 5, &["key of this certificate"]);
    press.onboard().expect(201);

    fs::write(&file, renewed.certificate_pem()).expect("the test's folder can be written");
    let told = good(&fleet, &["client", "renew", "press-7", argument(&file)]);
    assert_has(&told, &["press-7 (", "is known by sha256:"]);
    assert_has(&good(&fleet, &["client", "show", "press-7"]), &["Comes next:   sha256:"]);
    renewed.onboard().expect(201);
    assert_eq!(renewed.id(), press.id());
    let shown = good(&fleet, &["client", "show", "press-7"]);
    assert!(!shown.contains("Comes next") && shown.contains("Expires:"), "{shown}");

    fs::write(&file, "nonsense").expect("the test's folder can be written");
    bad(&fleet, &register, 6, &["certificate", "PEM"]);
}

#[test]
fn an_authority_is_trusted_listed_and_distrusted() {
    let fleet = TestFleet::start();
    let plant = Authority::new();
    let file = fleet.dir().join("plant.pem");
    fs::write(&file, plant.pem()).expect("the test's folder can be written");
    let told = good(&fleet, &["trust", "add", argument(&file), "--reason", "our plant"]);
    assert_has(&told, &["(sha256:", "vouches for clients now."]);
    let listed = good(&fleet, &["trust", "list"]);
    let listed = cells(&listed);
    assert_eq!(listed[0], ["FINGERPRINT", "NAME", "EXPIRES", "ADDED BY"]);
    assert_eq!(listed[1][3], "admin");
    let told = good(&fleet, &["trust", "remove", listed[1][0]]);
    assert_has(&told, &["vouches for nobody any more."]);
    bad(&fleet, &["trust", "remove", listed[1][0]], 4, &["no such authority"]);
}

#[test]
fn what_a_client_says_of_its_device_is_shown_with_what_changed() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut document = press.capabilities();
    document["properties"]["resources"]["memory"] = json!("16Gi");
    press.put(&press.path("/capabilities"), &document).expect(201);

    let shown = good(&fleet, &["client", "capabilities", "press-7"]);
    assert_has(&shown, &["Device press-7, reported ", "\"memory\": \"16Gi\""]);
    let history = good(&fleet, &["client", "capabilities", "press-7", "--history"]);
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[0].ends_with(" press-7 changed"), "{history}");
    assert_eq!(lines[1], "  properties.resources.memory: \"8Gi\" -> \"16Gi\"");
    assert!(lines[2].ends_with(" press-7 was reported for the first time"), "{history}");
    let none = ["client", "capabilities", "press-7", "--history", "--device", "other"];
    assert_eq!(good(&fleet, &none), "");
}
