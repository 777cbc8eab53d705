//! What holds for every endpoint of the device API, whatever it does (contract §11, §16.1, §16.2).

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use testkit::client::{SignedRequest, TestClient};
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::{fleet_with_deployment, manifest, seen};

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
        ("POST", "/security-events".to_owned()),
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

// margo(SP-18, SP-26, SP-41, SP-59)
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

// margo(SP-28, SP-61, SP-3, SP-8, A-2, A-7, T-13)
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

// margo(E-4, SP-27): 413, 415 and 400 before the body means anything.
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
        let encoded = press.signed(method, &path, body(), &[JSON, ("content-encoding", "gzip")]);
        let answer = press.send(&encoded).expect_problem(415, "about:blank", "Content-Encoding");
        assert_eq!(answer.header("accept-encoding"), Some("identity"), "{path}");
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

// margo(PD-1, PD-2, RT-1, ER-1, X-06)
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

/// What one spoilt request is answered with.
struct Refusal {
    what: &'static str,
    request: SignedRequest,
    status: u16,
    /// The end of `type`.
    kind: &'static str,
    /// The older member `error`.
    error: &'static str,
}

// margo(ER-1, ER-2, ER-4, PD-1, X-05, X-07, SP-2, SP-3, SP-4, SP-5, SP-6, SP-7, SP-8, SP-41)
#[test]
fn each_refusal_has_its_status_its_type_and_the_older_members() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let put = |below: &str, body: &str| {
        press.signed("PUT", &press.path(below), Some(body.as_bytes().to_vec()), &[JSON])
    };
    let post = |path: &str, body: &str| {
        press.signed("POST", path, Some(body.as_bytes().to_vec()), &[JSON])
    };
    let get = |below: &str| press.signed("GET", &press.path(below), None, &[]);
    let status = press.path(&format!("/deployments/{deployment}/status"));
    let unknown = press.path(&format!("/deployments/{DEPLOYMENT}/status"));
    let good = json!({"deploymentId": DEPLOYMENT, "status": {"state": "pending"},
        "components": [{"name": "web", "state": "pending"}]});
    let digest = format!("sha256:{}", "0".repeat(64));
    let bad_signature = "sig1=:AAAA:";
    let mut orphan = press.capabilities();
    orphan["properties"]["id"] = json!("gw-1/press-7");
    let refusal =
        |what, request, status, kind, error| Refusal { what, request, status, kind, error };
    #[rustfmt::skip]
    let refusals = [
        refusal("not JSON", put("/capabilities", "{"), 400, "#invalid-request", "Bad Request"),
        refusal("nested too deep", put("/capabilities", &"[".repeat(10_000)), 400, "#invalid-request", "Bad Request"),
        refusal("no object", post(&status, "[]"), 400, "#invalid-request", "Bad Request"),
        refusal("no digest", put("/capabilities", "{}").with("content-digest", None), 400, "#invalid-request", "Bad Request"),
        refusal("wrong digest", put("/capabilities", "{}").with("content-digest", Some("sha-256=:AAAA:")), 400, "#invalid-request", "Bad Request"),
        refusal("other digest", put("/capabilities", "{}").with("content-digest", Some("md5=:AAAA:")), 400, "#invalid-request", "Bad Request"),
        refusal("bad version", post(&status, &good.to_string()).with("gantry-adopted-manifest-version", Some("-1")), 422, "#semantic-error", "Unprocessable Entity"),
        refusal("no certificate", post("/api/v1/onboarding", "{}"), 400, "#invalid-request", "Invalid certificate"),
        refusal("no signature", get("/deployments").with("signature", None), 401, "about:blank", "Invalid signature"),
        refusal("no input", get("/deployments").with("signature-input", None), 401, "about:blank", "Invalid signature"),
        refusal("bad signature", get("/deployments").with("signature", Some(bad_signature)), 401, "about:blank", "Invalid signature"),
        refusal("no such deployment", post(&unknown, &good.to_string()), 404, "about:blank", "Not Found"),
        refusal("no such document", get(&format!("/deployments/{DEPLOYMENT}/{digest}")), 404, "#deployment-not-found", "Not Found"),
        refusal("no such bundle", get(&format!("/bundles/{digest}")), 404, "#invalid-bundle", "Not Found"),
        refusal("no digest at all", get("/bundles/newest"), 404, "#invalid-bundle", "Not Found"),
        refusal("no such package", get(&format!("/packages/{digest}")), 404, "about:blank", "Not Found"),
        refusal("no such device", press.signed("DELETE", &press.path("/capabilities/x"), None, &[]), 404, "#device-not-found", "Not Found"),
        refusal("no gateway", put("/capabilities", &orphan.to_string()), 404, "#gateway-not-found", "Not Found"),
        refusal("no such path", get("/nothing"), 404, "about:blank", "Not Found"),
        refusal("no such method", press.signed("DELETE", &press.path("/deployments"), None, &[]), 405, "about:blank", "Method Not Allowed"),
        refusal("other type wanted", press.signed("GET", &press.path("/deployments"), None, &[("accept", "text/html")]), 406, "#server-cannot-generate-response", "Not Acceptable"),
        refusal("faults", put("/capabilities", "{}"), 422, "#semantic-error", "Unprocessable Entity"),
        refusal("other device", put("/capabilities/x", &press.capabilities().to_string()), 422, "#semantic-error", "Unprocessable Entity"),
        refusal("other deployment", post(&status, &good.to_string()), 422, "#semantic-error", "Unprocessable Entity"),
    ];
    for Refusal { what, request, status, kind, error } in refusals {
        let answer = press.send(&request);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let answer = answer.expect_problem(status, kind, "");
        let problem = answer.json();
        assert_eq!(problem["error"], error, "{what}: {problem}");
        assert_eq!(problem["message"], problem["detail"], "{what}: {problem}");
        assert_eq!(answer.header("retry-after"), None, "{what}");
        let closed = answer.header("connection") == Some("close");
        assert_eq!(closed, status == 401, "{what}");
        assert_eq!(problem["errors"].is_array(), status == 422, "{what}: {problem}");
        for fault in problem["errors"].as_array().into_iter().flatten() {
            assert!(fault["field"].is_string() && fault["message"].is_string(), "{what}: {fault}");
        }
    }
    assert_eq!(seen(&fleet, &deployment), "ordered", "nothing of all this was taken");
}

// margo(DS-1, DS-2, DS-4, S-1, S-2, S-3, V-6, PD-3)
#[test]
fn every_fault_of_a_status_is_named_at_once() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let report = |id: &str, adopted: u64, state: &str, components: Value| {
        let status = json!({"deploymentId": id, "adoptedManifestVersion": adopted,
            "status": {"state": state}, "components": components});
        let answer = press.post(&press.path(&format!("/deployments/{deployment}/status")), &status);
        let problem = answer.expect_problem(422, "#semantic-error", "").json();
        let errors = problem["errors"].as_array().expect("a list of faults").iter();
        let field = |it: &Value| it["field"].as_str().expect("a field is text").to_owned();
        errors.map(field).collect::<Vec<_>>()
    };
    let components =
        json!([{"name": "Web", "state": "pending"}, {"state": "pending"}, {"name": "web"}]);
    assert_eq!(
        report(DEPLOYMENT, 2, "asleep", components),
        [
            "deploymentId",
            "status.state",
            "components[0].name",
            "components[1].name",
            "components[2].state",
        ]
    );
    // What can be judged in view of the deployment alone stands beside the rest.
    let components =
        json!([{"name": "db", "state": "removing"}, {"name": "db", "state": "failed"}]);
    assert_eq!(
        report(&deployment, 99, "installed", components.clone()),
        [
            "components[0].name",
            "components[1].name",
            "components",
            "status.state",
            "adoptedManifestVersion",
        ]
    );
    assert_eq!(
        report(DEPLOYMENT, 1, "failed", components),
        ["deploymentId", "components[0].name", "components[1].name", "components"]
    );
    let other = json!([{"name": "db", "state": "installed"}]);
    assert_eq!(report(&deployment, 1, "installed", other), ["components[0].name", "components"]);
    assert_eq!(report(&deployment, 1, "installed", json!([])), ["components"]);
    let milder = json!([{"name": "web", "state": "pending"}]);
    assert_eq!(report(&deployment, 1, "installed", milder), ["status.state"]);
    assert_eq!(seen(&fleet, &deployment), "ordered");
}

/// An answer without what differs by the request alone.
fn essence(answer: &Answer) -> (u16, Value) {
    let mut problem = answer.json();
    problem["instance"] = Value::Null;
    (answer.status, problem)
}

// margo(A-4, A-8, SP-58): what is another client's answers exactly like what nobody has.
#[test]
fn what_is_not_ones_own_looks_like_what_does_not_exist() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let manifest = manifest(&press);
    let digest = manifest["deployments"][0]["digest"].as_str().expect("a digest is text");
    let bundle = manifest["bundle"]["digest"].as_str().expect("a digest is text");
    let none = format!("sha256:{}", "0".repeat(64));
    for (theirs, nobodys) in [
        (
            format!("/deployments/{deployment}/{digest}"),
            format!("/deployments/{DEPLOYMENT}/{none}"),
        ),
        (format!("/bundles/{bundle}"), format!("/bundles/{none}")),
        ("/capabilities/press-7".to_owned(), "/capabilities/press-8".to_owned()),
    ] {
        let method = if theirs.starts_with("/cap") { "DELETE" } else { "GET" };
        let ask = |below: &str| {
            let answer = lathe.send(&lathe.signed(method, &lathe.path(below), None, &[]));
            let text = answer.text().replace("press-8", "press-7");
            essence(&Answer { body: text.into_bytes(), ..answer })
        };
        assert_eq!(ask(&theirs).0, 404);
        assert_eq!(ask(&theirs), ask(&nobodys), "{theirs}");
    }
    let report = |id: &str| essence(&lathe.report(id, "failed", &[("web", "failed")]));
    assert_eq!(report(&deployment), report(DEPLOYMENT));

    // Whether there is a client of some id cannot be told without its key.
    let press_id = press.id().to_owned();
    let ask = |id: &str| {
        let path = format!("/api/v1/clients/{id}/deployments");
        essence(&lathe.get(&path, &[]))
    };
    assert_eq!(ask(&press_id).0, 401);
    for unknown in [DEPLOYMENT, "nonsense", "%00"] {
        assert_eq!(ask(&press_id), ask(unknown), "{unknown}");
    }
    // Neither can whether somebody waits or was turned away.
    let mut stranger = fleet.stranger("stranger");
    stranger.onboard().expect(403);
    let waiting = fleet.operator().client_called("stranger");
    assert_eq!(ask(&waiting), ask(DEPLOYMENT));
}

// margo(SP-26, SP-59)
#[test]
fn a_bad_signature_ends_the_session() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut stream = fleet.http().connect();
    let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", press.path("/deployments"));
    stream.write_all(request.as_bytes()).expect("the server listens");
    let mut answer = String::new();
    // Ends only because the server ends the connection.
    stream.read_to_string(&mut answer).expect("the server says goodbye");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
