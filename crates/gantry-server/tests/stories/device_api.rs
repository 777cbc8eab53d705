//! What holds for every endpoint of the device API, whatever it does (contract §11, §16.1, §16.2).

use serde_json::json;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;

const JSON: (&str, &str) = ("content-type", "application/json");
const DEPLOYMENT: &str = "00000000-0000-4000-8000-000000000001";
const LARGEST_BODY: usize = 1 << 20;

/// Method and path, below the client's own, of each endpoint that a client has for itself.
fn endpoints() -> Vec<(&'static str, String)> {
    let digest = format!("sha256:{}", "0".repeat(64));
    [
        ("POST", "/capabilities".to_owned()),
        ("PUT", "/capabilities".to_owned()),
        ("POST", "/capabilities/press-7".to_owned()),
        ("PUT", "/capabilities/press-7".to_owned()),
        ("DELETE", "/capabilities/press-7".to_owned()),
        ("GET", "/deployments".to_owned()),
        ("GET", format!("/deployments/{DEPLOYMENT}/{digest}")),
        ("GET", format!("/bundles/{digest}")),
        ("POST", format!("/deployments/{DEPLOYMENT}/status")),
        ("GET", format!("/packages/{digest}")),
        ("GET", "/repository".to_owned()),
    ]
    .into()
}

/// Asks every endpoint of the client with this id for what it has.
fn ask_all(client: &TestClient, id: &str, check: impl Fn(&str, Answer)) {
    for (method, below) in endpoints() {
        let path = format!("/api/v1/clients/{id}{below}");
        let body = ["POST", "PUT"].contains(&method);
        let body = body.then(|| client.capabilities().to_string().into_bytes());
        let request = client.signed(method, &path, body, &[JSON]);
        check(&path, client.send(&request));
    }
}

// margo(§16.2, §16.4): 401, both older members, and the end of the session.
#[test]
fn whoever_has_not_signed_is_refused_everywhere() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    for (method, below) in endpoints() {
        let body = ["POST", "PUT"].contains(&method).then(|| b"{}".to_vec());
        let request = press.signed(method, &press.path(&below), body, &[JSON]);
        let bare = request.with("signature", None).with("signature-input", None);
        let answer = press.send(&bare).expect_problem(401, "about:blank", "ignature");
        assert_eq!(answer.json()["error"], "Invalid signature", "{method} {below}");
        assert!(answer.json()["message"].is_string(), "{method} {below}");
        assert_eq!(answer.header("connection"), Some("close"), "{method} {below}");
        assert_eq!(answer.header("retry-after"), None, "{method} {below}");
    }
}

// margo(§16.1, §16.2, §16.4, A-7, T-13): 403, and Retry-After only while waiting.
#[test]
fn whoever_is_not_let_in_is_refused_everywhere() {
    let fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    let id = fleet.operator().get("/clients")["items"][0]["id"].clone();
    let id = id.as_str().expect("an id is text");
    let decide = |verdict: &str| {
        let path = format!("/clients/{id}/{verdict}");
        fleet.operator().send("POST", &path, Some(&json!({}))).expect(200);
    };
    ask_all(&press, id, |path, answer| {
        let answer = answer.expect_problem(403, "#not-authorized", "approve");
        let seconds = answer.header("retry-after").and_then(|it| it.parse::<u32>().ok());
        assert!(seconds.is_some_and(|it| it >= 1), "{path}");
    });
    for verdict in ["reject", "revoke"] {
        decide(verdict);
        ask_all(&press, id, |path, answer| {
            let answer = answer.expect_problem(403, "#not-authorized", "not accepted");
            assert_eq!(answer.json()["error"], "Client rejected", "{path}");
            assert_eq!(answer.header("retry-after"), None, "{path}");
        });
    }
}

// margo(E-4, §16.2): 413, 415 and 400 before the body means anything.
#[test]
fn a_body_is_json_of_a_bounded_size_with_its_digest() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let onboarding = ("POST", "/api/v1/onboarding".to_owned());
    let own = endpoints().into_iter().filter(|(method, _)| ["POST", "PUT"].contains(method));
    let own = own.map(|(method, below)| (method, press.path(&below)));
    for (method, path) in own.chain([onboarding]) {
        let large = Some(vec![b' '; LARGEST_BODY + 1]);
        let answer = press.send(&press.signed(method, &path, large, &[JSON]));
        let answer = answer.expect_problem(413, "about:blank", "1048576");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");

        let body = || Some(b"{}".to_vec());
        let other = press.signed(method, &path, body(), &[("content-type", "text/plain")]);
        press.send(&other).expect_problem(415, "about:blank", "application/json");
        let nothing = press.signed(method, &path, body(), &[]);
        press.send(&nothing).expect_problem(415, "about:blank", "application/json");

        let request = press.signed(method, &path, body(), &[JSON]);
        let without = request.clone().with("content-digest", None);
        press.send(&without).expect_problem(400, "#invalid-request", "igest");
        let wrong = request.with("content-digest", Some("sha-256=:AAAA:"));
        press.send(&wrong).expect_problem(400, "#invalid-request", "igest");
    }
    // What stands behind the media type does not matter.
    let with_charset = [("content-type", "Application/JSON; charset=utf-8")];
    let body = Some(press.capabilities().to_string().into_bytes());
    let path = press.path("/capabilities");
    press.send(&press.signed("PUT", &path, body, &with_charset)).expect(201);
}

// margo(§11.1, §11.3, ER-1).
#[test]
fn a_problem_says_what_can_be_done_about_it() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let json = |method: &str, below: &str, body: &str| {
        let path = press.path(below);
        let body = (!body.is_empty()).then(|| body.as_bytes().to_vec());
        press.send(&press.signed(method, &path, body, &[JSON]))
    };
    let answers = [
        (400, "Bad Request", json("PUT", "/capabilities", "{")),
        (401, "Unauthorized", fleet.http().send("GET", &press.path("/deployments"), &[], None)),
        (404, "Not Found", json("DELETE", "/capabilities/press-8", "")),
        (405, "Method Not Allowed", json("PATCH", "/deployments", "")),
        (406, "Not Acceptable", press.get(&press.path("/deployments"), &[("accept", "text/html")])),
        (422, "Unprocessable Entity", json("PUT", "/capabilities", "{\"properties\": {}}")),
    ];
    for (status, title, answer) in answers {
        let answer = answer.expect_problem(status, "", "");
        let problem = answer.json();
        assert_eq!(problem["title"], title);
        assert_eq!(problem["retryable"], false, "{problem}");
        assert_eq!(problem["backoffStrategy"], "none", "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
        let instance = problem["instance"].as_str().expect("the path of the request");
        assert!(instance.starts_with(&press.path("/")), "{problem}");
        assert_eq!(answer.header("retry-after"), None, "{problem}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{problem}");
    }
}
