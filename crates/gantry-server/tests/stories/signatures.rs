//! What of a signed request is checked, and how each fault is answered (contract §16.2).

use std::io::{Read as _, Write as _};

use testkit::client::{TestClient, now};
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::keys;

const JSON: (&str, &str) = ("content-type", "application/json");

// margo(SP-18, SP-26, SP-41, SP-59)
#[test]
fn a_request_without_a_signature_is_refused_and_the_connection_closed() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let bare = press
        .signed("GET", &press.path("/deployments"), None, &[])
        .with("signature", None)
        .with("signature-input", None);

    let answer = press.send(&bare).expect(401);
    assert_eq!(answer.json()["error"], "Invalid signature");
    assert!(answer.json()["message"].is_string());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("connection"), Some("close"));
}

// margo(X-33): `Signature` and `Signature-Input` only; the other names of old texts are no signature.
#[test]
fn a_signature_under_another_name_is_none() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = press.signed("GET", &press.path("/deployments"), None, &[]);
    for name in ["x-payload-signature", "x-body-signature"] {
        let mut renamed = request.clone().with("signature", None);
        renamed.headers.push((name.to_owned(), request.header("signature").to_owned()));
        let answer = press.send(&renamed).expect(401);
        assert!(answer.text().contains("Signature is missing"), "{}", answer.text());
    }
    press.send(&request).expect(200);
}

// margo(SP-18, SP-37, X-34): onboarding is signed, too.
#[test]
fn onboarding_without_a_signature_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let body = press.onboarding_request().to_string().into_bytes();
    let request = press.signed("POST", "/api/v1/onboarding", Some(body), &[JSON]);
    let bare = request.clone().with("signature", None).with("signature-input", None);
    let answer = press.send(&bare).expect(401);
    assert_eq!(answer.json()["error"], "Invalid signature");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(fleet.operator().get("/clients")["items"], serde_json::json!([]));
    press.send(&request).expect(403);
}

// margo(A-1, SP-25, SP-58)
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

// margo(SP-20)
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

// margo(SP-19, SP-27)
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

// margo(SP-24, SP-40)
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

// margo(SP-24): the window is configurable.
#[test]
fn an_operator_may_set_how_long_a_signature_holds() {
    let fleet = TestFleet::start_with("[signatures]\nmax_age = 600\nmax_skew = 0\n");
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    let at = |created| press.send(&press.signed_at("GET", &path, None, &[], created));
    at(now() - 500).expect(200);
    at(now() - 610).expect(401);
    at(now() + 30).expect(401);
}

// margo(SP-36)
#[test]
fn the_target_is_at_the_public_origin_whatever_the_host_says() {
    let fleet = TestFleet::start();
    let mut press = TestClient::with_key(fleet.http(), &keys::P256);
    fleet.accept(&mut press);
    let path = press.path("/deployments");
    for host in ["localhost", "fleet.example", "127.0.0.1:1"] {
        press.send(&press.signed("GET", &path, None, &[("host", host)])).expect(200);
        let elsewhere = Http::new(&format!("https://{host}"), &fleet.ca());
        let elsewhere = TestClient::with_key(elsewhere, &keys::P256);
        press.send(&elsewhere.signed("GET", &path, None, &[("host", host)])).expect(401);
    }
}

// margo(SP-31)
#[test]
fn a_request_has_one_signature() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = press.signed("GET", &press.path("/deployments"), None, &[]);
    let twice = |name: &str| {
        let value = request.header(name);
        format!("{value}, {}", value.replacen("sig1=", "sig2=", 1))
    };
    let (inputs, signatures) = (twice("signature-input"), twice("signature"));
    let several = request.clone().with("signature-input", Some(&inputs));
    let several = several.with("signature", Some(&signatures));
    let answer = press.send(&several).expect(401);
    assert!(answer.text().contains("more than one signature"), "{}", answer.text());
    let mut lines = request.clone();
    lines.headers.push(("signature-input".to_owned(), inputs));
    press.send(&lines).expect(401);
    press.send(&request).expect(200);
}

// margo(SP-19, SP-27): in whatever form it comes.
#[test]
fn a_digest_may_have_others_beside_it_and_may_not_contradict_them() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/capabilities");
    let body = press.capabilities().to_string().into_bytes();
    let good = press.signed("PUT", &path, Some(body), &[JSON]);
    let sha256 = good.header("content-digest").to_owned();
    for wrong in ["sha-512=:AAAA:", "sha-256=:AAAA:", "md5", "ü=1"] {
        let mut spoiled = good.clone();
        spoiled.headers.push(("content-digest".to_owned(), wrong.to_owned()));
        let answer = press.send(&spoiled);
        // Any known digest has to be right, and what is not known is passed over, but not signed.
        let status = if wrong == "md5" { 401 } else { 400 };
        answer.expect(status);
    }
    press
        .send(&good.clone().with("content-digest", Some(&sha256.replacen('s', "S", 1))))
        .expect(400);
    press.send(&good).expect(201);
}

// margo(SP-30): also the digest of the empty body.
#[test]
fn a_request_without_a_body_may_say_so() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    press.send(&press.signed("GET", &path, Some(Vec::new()), &[])).expect(200);
    let bare = press.signed("GET", &path, None, &[]);
    let wrong = format!("sha-256=:{}:", "A".repeat(43) + "=");
    press.send(&bare.with("content-digest", Some(&wrong))).expect(400);
}

#[test]
fn headers_that_are_folded_long_or_not_plain_text_are_refused() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let request = press.signed("GET", &press.path("/deployments"), None, &[]);
    let with_input = |input: &[u8]| {
        let mut head = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n", request.path).into_bytes();
        head.extend_from_slice(
            format!("signature: {}\r\n", request.header("signature")).as_bytes(),
        );
        head.extend_from_slice(b"signature-input: ");
        head.extend_from_slice(input);
        head.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
        let mut stream = fleet.http().connect();
        stream.write_all(&head).expect("the server listens");
        let mut answer = Vec::new();
        // A server that has read enough may end the connection in its own way.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    let input = request.header("signature-input");
    let folded = input.replacen(';', "\r\n ;", 1);
    assert_eq!(with_input(folded.as_bytes()), "HTTP/1.1 400 Bad Request");
    assert_eq!(with_input(&[input.as_bytes(), b"\xfc"].concat()), "HTTP/1.1 401 Unauthorized");
    let long = format!("{input};x=\"{}\"", "y".repeat(30 << 10));
    assert_eq!(with_input(long.as_bytes()), "HTTP/1.1 401 Unauthorized");
    assert_eq!(with_input(input.as_bytes()), "HTTP/1.1 200 OK");
}
