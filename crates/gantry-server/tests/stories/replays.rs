//! The same signed request counts once (contract §16.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::client::{SignedRequest, TestClient};
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::{fleet_with_deployment, seen};

const JSON: (&str, &str) = ("content-type", "application/json");

#[track_caller]
fn is_replay(answer: Answer) {
    let answer = answer.expect(401);
    assert!(answer.text().contains("sent again"), "{}", answer.text());
    assert_eq!(answer.header("connection"), Some("close"));
}

/// The same ECDSA signature in DER, as OpenSSL writes it.
fn in_der(request: &SignedRequest) -> SignedRequest {
    let signature = request.header("signature");
    let encoded = signature.trim_start_matches("sig1=:").trim_end_matches(':');
    let raw = STANDARD.decode(encoded).expect("base64");
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|it| *it != 0).expect("no part of a signature is zero");
        let mut digits = bytes[start..].to_vec();
        if digits[0] >= 0x80 {
            digits.insert(0, 0);
        }
        [vec![2, u8::try_from(digits.len()).expect("it is short")], digits].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let der = [vec![0x30, u8::try_from(body.len()).expect("it is short")], body].concat();
    request.clone().with("signature", Some(&format!("sig1=:{}:", STANDARD.encode(der))))
}

/// The same with another label, which is not signed.
fn relabelled(request: &SignedRequest) -> SignedRequest {
    let relabel = |name| request.header(name).replacen("sig1=", "other=", 1);
    let (input, signature) = (relabel("signature-input"), relabel("signature"));
    request.clone().with("signature-input", Some(&input)).with("signature", Some(&signature))
}

fn poll(press: &TestClient) -> SignedRequest {
    press.signed("GET", &press.path("/deployments"), None, &[])
}

// margo(SP-39, SP-62)
#[test]
fn a_request_that_is_sent_again_is_a_replay() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = poll(&press);
    press.send(&request).expect(200);
    is_replay(press.send(&request));
}

// margo(SP-34, SP-39, SP-62): DER is a fallback on input, and no other request.
#[test]
fn another_encoding_or_label_makes_no_other_request() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = poll(&press);
    press.send(&in_der(&request)).expect(200);
    for again in [&request, &in_der(&request), &relabelled(&request)] {
        is_replay(press.send(again));
    }
    press.send(&relabelled(&poll(&press))).expect(200);
}

// margo(SP-39)
#[test]
fn onboarding_is_sent_once_too() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let body = press.onboarding_request().to_string().into_bytes();
    let request = press.signed("POST", "/api/v1/onboarding", Some(body), &[JSON]);
    press.send(&request).expect(403);
    is_replay(press.send(&request));
}

// margo(SP-39)
#[test]
fn what_changed_something_changes_nothing_again_after_a_restart() {
    let (mut fleet, press, deployment) = fleet_with_deployment();
    let installing = status(&press, &deployment, "installing");
    let capabilities = press.signed(
        "PUT",
        &press.path("/capabilities/press-7"),
        Some(press.capabilities().to_string().into_bytes()),
        &[JSON],
    );
    let delete = press.signed("DELETE", &press.path("/capabilities/press-7"), None, &[]);
    press.send(&installing).expect(201);
    press.send(&delete).expect(204);
    press.send(&capabilities).expect(201);
    press.send(&status(&press, &deployment, "installed")).expect(200);

    fleet.kill();
    fleet.start_server();
    for request in [&installing, &in_der(&installing), &delete, &capabilities] {
        is_replay(press.send(request));
    }
    assert_eq!(seen(&fleet, &deployment), "installed");
    let client = fleet.operator().get(&format!("/clients/{}", press.id()));
    assert_eq!(client["devices"][0]["id"], "press-7");
    // Signed anew it counts.
    press.send(&status(&press, &deployment, "installed")).expect(200);
}

#[test]
fn a_request_that_a_dead_server_never_took_counts_at_the_next_one() {
    let (mut fleet, press, deployment) = fleet_with_deployment();
    let report = status(&press, &deployment, "installed");
    fleet.kill();
    assert!(press.try_send(&report).is_err(), "nobody listens");
    fleet.start_server();
    press.send(&report).expect(201);
    is_replay(press.send(&report));
}

fn status(press: &TestClient, deployment: &str, state: &str) -> SignedRequest {
    let status = serde_json::json!({
        "apiVersion": "deployment.margo.org/v1alpha1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": deployment,
        "status": {"state": state},
        "components": [{"name": "web", "state": state}],
    });
    let path = press.path(&format!("/deployments/{deployment}/status"));
    press.signed("POST", &path, Some(status.to_string().into_bytes()), &[JSON])
}
