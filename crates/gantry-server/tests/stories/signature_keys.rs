//! With which keys clients may sign (contract §16.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::keys;

const JSON: (&str, &str) = ("content-type", "application/json");

// margo(SP-22, SP-23, SP-25): a client picks one of the algorithms.
#[test]
fn a_client_signs_with_a_key_of_any_kind() {
    let fleet = TestFleet::start();
    for key in [keys::P256, keys::P384, keys::RSA, keys::ED25519] {
        let mut client = TestClient::with_key(fleet.http(), &key);
        fleet.accept(&mut client);
        client.get(&client.path("/deployments"), &[]).expect(200);
        // Signed anew is no replay, also where signatures are not random.
        client.get(&client.path("/deployments"), &[]).expect(200);

        let request = client.signed("GET", &client.path("/deployments"), None, &[]);
        let mut other = fleet.stranger("other").signed("GET", &request.path, None, &[]);
        other = other.with("signature-input", Some(request.header("signature-input")));
        client.send(&other).expect(401);
        client.send(&request).expect(200);
    }
}

// margo(SP-2): 400 for a certificate that cannot be used, and why.
#[test]
fn a_weak_or_unknown_key_is_refused_at_onboarding() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    for (key, why) in keys::UNUSABLE.iter().zip(["1024 bits", "unsupported kind"]) {
        let mut body = press.onboarding_request();
        body["certificate"] = STANDARD.encode(key.certificate_der()).into();
        let body = body.to_string().into_bytes();
        let answer = press.send(&press.signed("POST", "/api/v1/onboarding", Some(body), &[JSON]));
        let answer = answer.expect_problem(400, "#invalid-request", why);
        assert_eq!(answer.json()["error"], "Invalid certificate");
    }
    assert_eq!(fleet.operator().get("/clients")["items"], json!([]));
}
