//! A client proves that it holds the key of its certificate, waits, and is let in or not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::fleet::TestFleet;

const PATH: &str = "/api/v1/onboarding";
const JSON: (&str, &str) = ("content-type", "application/json");

// margo(§16.4): 403 with Retry-After only while waiting; onboarding again gives the same clientId.
#[test]
fn an_unknown_certificate_waits_until_an_operator_lets_it_in() {
    let fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");

    let waiting = press.onboard().expect_problem(403, "#not-authorized", "approv");
    let seconds = waiting.header("retry-after").expect("a waiting client is told when to return");
    assert!(seconds.parse::<u32>().expect("Retry-After is in seconds") >= 1);
    press.onboard().expect(403);

    let clients = fleet.operator().get("/clients");
    let clients = clients["items"].as_array().expect("a list of clients");
    assert_eq!(clients.len(), 1, "the same certificate is one client: {clients:?}");
    assert_eq!(clients[0]["standing"], "waiting");
    assert_eq!(clients[0]["name"], "press-7");

    let id = clients[0]["id"].as_str().expect("an id is text");
    fleet.operator().approve(id);
    let accepted = press.onboard().expect(201);
    assert_eq!(accepted.header("content-type"), Some("application/json"));
    assert_eq!(accepted.json(), json!({"clientId": id}));
    press.onboard().expect(201);
    assert_eq!(press.id(), id);
}

#[test]
fn a_rejected_client_is_told_so_and_not_to_come_back() {
    let fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    let id = fleet.operator().get("/clients")["items"][0]["id"].clone();
    let id = id.as_str().expect("an id is text");
    fleet.operator().send("POST", &format!("/clients/{id}/reject"), Some(&json!({}))).expect(200);

    let rejected = press.onboard().expect(403);
    assert_eq!(rejected.header("retry-after"), None);
    // margo(§16.1): the older member that clients of the signed profile look for.
    assert_eq!(rejected.json()["error"], "Client rejected");
}

// margo(§16.2, T-13): 403 from the next request on.
#[test]
fn a_revoked_client_is_refused_at_once_everywhere() {
    let fleet = TestFleet::start();
    let mut press = fleet.accepted_client("press-7");
    press.get(&press.path("/deployments"), &[]).expect(200);

    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({"reason": "stolen"}))).expect(200);

    press.get(&press.path("/deployments"), &[]).expect_problem(403, "#not-authorized", "");
    press.get(&press.path("/repository"), &[]).expect(403);
    press.report_capabilities().expect(403);
    let refused = press.onboard().expect(403);
    assert_eq!(refused.header("retry-after"), None);
    fleet
        .operator()
        .send("POST", &format!("/clients/{}/approve", press.id()), Some(&json!({})))
        .expect(409);
}

// margo(§16.2): proof of possession.
#[test]
fn a_certificate_without_its_key_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let thief = fleet.stranger("thief");

    let stolen = press.onboarding_request().to_string().into_bytes();
    let request = thief.signed("POST", PATH, Some(stolen), &[JSON]);
    let answer = thief.send(&request).expect(401);
    assert_eq!(answer.json()["error"], "Invalid signature");
    assert!(answer.json()["message"].is_string());

    assert_eq!(fleet.operator().get("/clients")["items"], json!([]));
}

// margo(§16.4): base64 of DER and of PEM.
#[test]
fn a_certificate_may_come_as_pem() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(press.certificate_der())
    );
    let mut body = press.onboarding_request();
    body["certificate"] = STANDARD.encode(pem).into();

    let body = body.to_string().into_bytes();
    press.send(&press.signed("POST", PATH, Some(body), &[JSON])).expect(403);
    assert_eq!(fleet.operator().get("/clients")["items"][0]["name"], "press-7");
}

// margo(§16.1): 400.
#[test]
fn a_body_without_a_certificate_is_refused_in_the_old_words_and_the_new() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    for certificate in [json!("%%%"), json!(STANDARD.encode("no certificate")), json!(7)] {
        let mut body = press.onboarding_request();
        body["certificate"] = certificate;
        let body = body.to_string().into_bytes();
        let answer = press.send(&press.signed("POST", PATH, Some(body), &[JSON]));
        let answer = answer.expect_problem(400, "#invalid-request", "certificate");
        assert_eq!(answer.json()["error"], "Invalid certificate");
    }
    assert_eq!(fleet.operator().get("/clients")["items"], json!([]));
}

// margo(§16.1, CERT1): PEM root certificate, base64 without line breaks.
#[test]
fn the_root_certificate_can_be_fetched() {
    let fleet = TestFleet::start();
    let answer = fleet.http().send("GET", "/api/v1/onboarding/certificate", &[], None).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let encoded = answer.json()["certificate"].as_str().expect("the field is text").to_owned();
    let pem = STANDARD.decode(encoded).expect("base64 without line breaks");
    assert_eq!(pem, std::fs::read(fleet.ca()).expect("the CA file can be read"));
}

#[test]
fn an_open_fleet_lets_everybody_in_and_says_so_in_its_log() {
    let fleet = TestFleet::start_with("[onboarding]\npolicy = \"open\"\n");
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(201);
    press.report_capabilities().expect(201);
    assert!(fleet.log().contains("open"), "{}", fleet.log());
}
