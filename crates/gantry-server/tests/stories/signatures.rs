//! What of a signed request is checked, and how each fault is answered (contract §16.2).

use testkit::client::now;
use testkit::fleet::TestFleet;

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_request_without_a_signature_is_refused_and_the_connection_closed() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let bare = press
        .signed("GET", &press.path("/deployments"), None, &[])
        .with("signature", None)
        .with("signature-input", None);

    let answer = press.send(&bare).expect(401);
    // margo(§16.2, §16.4): the two older members, and the end of the session.
    assert_eq!(answer.json()["error"], "Invalid signature");
    assert!(answer.json()["message"].is_string());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let lathe = fleet.accepted_client("lathe-2");

    let forged = lathe.signed("GET", &press.path("/deployments"), None, &[]);
    let of_stranger = lathe.send(&forged).expect(401);
    let unknown = "/api/v1/clients/00000000-0000-4000-8000-000000000000/deployments";
    let of_nobody = lathe.send(&lathe.signed("GET", unknown, None, &[])).expect(401);
    // margo(A-8): whether a client exists is not to be found out.
    let without_path = |it: &testkit::http::Answer| {
        let mut problem = it.json();
        problem["instance"].take();
        problem
    };
    assert_eq!(without_path(&of_stranger), without_path(&of_nobody));
}

#[test]
fn a_signature_holds_for_its_method_and_target_only() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");

    let mut request = press.signed("GET", &press.path("/deployments"), None, &[]);
    request.path = press.path("/repository");
    press.send(&request).expect(401);

    let body = press.capabilities().to_string().into_bytes();
    let mut request = press.signed("POST", &press.path("/capabilities"), Some(body), &[JSON]);
    request.method = "PUT".to_owned();
    press.send(&request).expect(401);
}

// margo(§16.2): 400 for a missing or wrong digest.
#[test]
fn a_body_that_is_not_what_was_signed_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let body = press.capabilities().to_string().into_bytes();
    let path = press.path("/capabilities");

    let mut changed = press.signed("PUT", &path, Some(body.clone()), &[JSON]);
    let text = String::from_utf8(body.clone()).expect("JSON is text").replace("0007", "0008");
    changed.body = Some(text.into_bytes());
    press.send(&changed).expect_problem(400, "#invalid-request", "igest");

    let missing = press.signed("PUT", &path, Some(body), &[JSON]).with("content-digest", None);
    press.send(&missing).expect_problem(400, "#invalid-request", "Content-Digest");

    let client = fleet.operator().get(&format!("/clients/{}", press.id()));
    assert!(client.to_string().contains("0007"), "nothing changed: {client}");
}

// margo(§16.2): 300 s back, 60 s forward.
#[test]
fn a_signature_holds_for_a_short_time_only() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    let at = |created| press.send(&press.signed_at("GET", &path, None, &[], created));

    at(now() - 290).expect(200);
    at(now() + 50).expect(200);
    assert_eq!(at(now() - 310).expect(401).json()["error"], "Invalid signature");
    assert_eq!(at(now() + 90).expect(401).json()["error"], "Invalid signature");
}

// margo(§16.4): byte for byte the same inside the window.
#[test]
fn a_request_that_is_sent_again_is_a_replay() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = press.signed("GET", &press.path("/deployments"), None, &[]);

    press.send(&request).expect(200);
    let replayed = press.send(&request).expect(401);
    assert!(replayed.text().contains("again"), "{}", replayed.text());
}
