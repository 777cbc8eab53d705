//! Operators see when each client was heard of, and whether its silence is as it should be.

use serde_json::{Value, json};
use testkit::client::{TestClient, now};
use testkit::fleet::TestFleet;

use crate::real_git::{VERSION_2, basic, send, text};
use crate::support::manifest;

const ADVERTISEMENT: &str = "info/refs?service=git-upload-pack";

/// What an operator sees of the contact with a client.
fn contact(fleet: &TestFleet, id: &str) -> Value {
    fleet.operator().get(&format!("/clients/{id}"))["contact"].clone()
}

/// What a client says that is silent for `quiet` seconds, and has this much to tell.
fn downtime(quiet: u64) -> String {
    let next = now() + quiet;
    format!("next={next}, by={}, quiet=downtime, revision=1, undelivered=2", next + 60)
}

/// The first client of a fleet, which asks to be let in, and its id.
fn waiting(fleet: &TestFleet, name: &str) -> (TestClient, String) {
    let mut client = fleet.stranger(name);
    client.onboard().expect(403);
    let clients = fleet.operator().get("/clients");
    let id = text(&clients["items"][0], "id").to_owned();
    (client, id)
}

/// A time, as an operator sees it.
fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).expect("this century");
    jiff::Timestamp::from_second(seconds).expect("this century").to_string()
}

#[test]
fn silence_as_agreed_is_told_from_silence_in_trouble() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let next = now() + 3600;
    let said = format!("next={next}, by={}, quiet=downtime, revision=1, undelivered=2", next + 60);
    press.announce(&said).expect(200);
    let mut seen = contact(&fleet, press.id());
    let last: jiff::Timestamp =
        text(&seen, "lastContact").parse().expect("a time is RFC 3339 in UTC");
    let age = now().abs_diff(last.as_second().try_into().expect("after 1970"));
    assert!(age <= 60, "{age} seconds");
    let fields = seen.as_object_mut().expect("an object");
    fields.remove("lastContact");
    let expected = json!({
        "standing": "expected",
        "nextContact": rfc3339(next),
        "expectedBy": rfc3339(next + 60),
        "quiet": "downtime",
        "revisionRunning": 1,
        "undelivered": 2,
    });
    assert_eq!(seen, expected);

    fleet.make_overdue(&press);
    let mut overdue = contact(&fleet, press.id());
    let times = ["expectedBy", "lastContact"].map(|it| text(&overdue, it).to_owned());
    assert!(times[0] >= times[1] && times[0] < rfc3339(next), "{times:?}");
    let listed = fleet.operator().get("/clients")["items"][0]["contact"].clone();
    assert_eq!(listed, overdue);
    for time in ["expectedBy", "lastContact"] {
        overdue.as_object_mut().expect("an object").remove(time);
    }
    assert_eq!(overdue, json!({"standing": "overdue", "undelivered": 0}));

    press.announce(&downtime(3600)).expect(200);
    assert_eq!(contact(&fleet, press.id())["standing"], "expected");
}

#[test]
fn of_a_client_that_says_nothing_only_its_last_contact_is_known() {
    let fleet = TestFleet::start();
    let (mut press, id) = waiting(&fleet, "press-7");
    assert_eq!(contact(&fleet, &id), json!({"standing": "never"}));
    fleet.operator().approve(&id);
    press.onboard().expect(201);
    press.report_capabilities().expect(201);
    let seen = contact(&fleet, &id);
    assert_eq!(seen, json!({"standing": "unknown", "lastContact": text(&seen, "lastContact")}));
}

#[test]
fn what_cannot_be_read_or_believed_is_passed_over_and_fails_no_request() {
    let fleet = TestFleet::start_with("[log]\nlevel = \"gantry_server=debug\"\n");
    let press = fleet.accepted_client("press-7");
    let soon = now() + 600;
    let bad = [
        String::new(),
        "next".to_owned(),
        format!("next={soon}, by={soon},"),
        format!("next={soon}, by={}, undelivered=0", soon - 1),
        format!("next={}, by={soon}, undelivered=0", now() - 3600),
        format!("next={0}, by={0}, undelivered=0", now() + 400 * 24 * 60 * 60),
        format!("next={soon}, by=999999999999999, undelivered=0"),
        format!("next={soon}, by={soon}, undelivered=0, x=\"{}\"", "x".repeat(10_000)),
    ];
    for said in &bad {
        press.announce(said).expect(200);
        assert_eq!(contact(&fleet, press.id())["standing"], "unknown", "{said}");
    }
    assert!(fleet.log().contains("the header gantry-contact is passed over"), "{}", fleet.log());

    press.announce(&downtime(3600)).expect(200);
    let before = contact(&fleet, press.id());
    press.announce("nonsense=").expect(200);
    assert_eq!(contact(&fleet, press.id())["expectedBy"], before["expectedBy"]);
}

#[test]
fn nobody_else_speaks_for_a_client() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let lathe = fleet.accepted_client("lathe-2");
    let said = downtime(3600);
    let announcement = ("gantry-contact", said.as_str());
    let path = press.path("/deployments");
    lathe.get(&path, &[announcement]).expect(401);
    fleet.http().send("GET", &path, &[announcement], None).expect(401);

    let of_lathe = basic(lathe.id(), text(&crate::real_git::repository(&lathe), "token"));
    let opened = format!("/clients/{}/repository", press.id());
    let opened = fleet.operator().send("POST", &opened, None).expect(200).json();
    let of_operator = basic(press.id(), text(&opened, "token"));
    let of_nobody = basic(press.id(), "wrong");
    let git = format!("/git/{}.git/{ADVERTISEMENT}", press.id());
    for (authorization, status) in [(of_lathe, 404), (of_operator, 200), (of_nobody, 401)] {
        let headers = [VERSION_2, ("authorization", authorization.as_str()), announcement];
        fleet.http().send("GET", &git, &headers, None).expect(status);
    }
    assert_eq!(contact(&fleet, press.id())["standing"], "unknown");
}

#[test]
fn a_poll_with_git_is_a_contact_of_the_client_and_of_no_operator() {
    let fleet = TestFleet::start();
    let (_, id) = waiting(&fleet, "lathe-2");
    fleet.operator().approve(&id);
    let opened = fleet.operator().send("POST", &format!("/clients/{id}/repository"), None);
    let authorization = basic(&id, text(&opened.expect(200).json(), "token"));
    let headers = [VERSION_2, ("authorization", authorization.as_str())];
    fleet.http().send("GET", &format!("/git/{id}.git/{ADVERTISEMENT}"), &headers, None).expect(200);
    assert_eq!(contact(&fleet, &id), json!({"standing": "never"}));

    let press = fleet.accepted_client("press-7");
    let said = downtime(3600);
    let headers = [VERSION_2, ("gantry-contact", said.as_str())];
    send(&fleet, &press, "GET", ADVERTISEMENT, &headers, None).expect(200);
    assert_eq!(contact(&fleet, press.id())["quiet"], "downtime");
}

#[test]
fn nothing_is_expected_of_a_revoked_client_and_nothing_it_says_counts() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    press.announce(&downtime(3600)).expect(200);
    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({}))).expect(200);
    let before = contact(&fleet, press.id());
    assert_eq!(before["standing"], "unknown");
    assert_eq!((&before["undelivered"], &before["nextContact"]), (&json!(2), &Value::Null));

    let next = now() + 60;
    press.announce(&format!("next={next}, by={next}, undelivered=9")).expect(403);
    assert_eq!(contact(&fleet, press.id()), before);
}

#[test]
fn a_server_that_is_told_to_stop_writes_down_which_clients_were_heard_of() {
    let mut fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let silent = fleet.accepted_client("lathe-2");
    press.announce(&downtime(3600)).expect(200);
    let of = |fleet: &TestFleet| [&press, &silent].map(|it: &TestClient| contact(fleet, it.id()));
    let before = of(&fleet);
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    assert_eq!(of(&fleet), before);

    // What was said stays said when the client calls without a word.
    manifest(&press);
    let after = contact(&fleet, press.id());
    assert_eq!(after["expectedBy"], before[0]["expectedBy"]);
    assert_eq!((&after["standing"], &after["undelivered"]), (&json!("expected"), &json!(2)));
}
