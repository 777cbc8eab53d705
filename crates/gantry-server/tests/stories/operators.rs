//! Who may operate the fleet, and what the operator API says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::fleet::TestFleet;
use testkit::operator::Operator;

use crate::support::{add_web, fleet_with_deployment, greet};

const BASE: &str = "/operator/v1";

fn token(fleet: &TestFleet) -> String {
    let token = fs::read_to_string(fleet.token_file()).expect("the token file can be read");
    token.trim().to_owned()
}

/// Every operation that the API's own description lists: method, and path with some id for each blank.
fn operations(fleet: &TestFleet) -> Vec<(String, String)> {
    let path = format!("{BASE}/openapi.json");
    let document = fleet.http().send("GET", &path, &[], None).expect(200).json();
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, methods)| {
        let segments = path.split('/').map(|it| if it.starts_with('{') { "x" } else { it });
        let path = segments.collect::<Vec<_>>().join("/");
        let methods = methods.as_object().expect("methods").keys();
        methods.map(move |method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    operations.collect()
}

#[test]
fn the_first_start_makes_the_first_administrator_and_no_later_one_another() {
    let mut fleet = TestFleet::start();
    let whoami = json!({"name": "admin", "role": "administrator"});
    assert_eq!(fleet.operator().get("/whoami"), whoami);
    let metadata = fs::metadata(fleet.token_file()).expect("there is a token file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "nobody else may read it");

    let before = token(&fleet);
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    assert_eq!(token(&fleet), before);
    assert_eq!(fleet.operator().get("/whoami"), whoami);
}

#[test]
fn who_has_no_good_token_is_asked_for_one() {
    let fleet = TestFleet::start();
    let good = token(&fleet);
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {}", &good[1..])),
        Some(format!("Bearer {}", good.to_lowercase())),
        Some(format!("Basic {good}")),
        Some(good.clone()),
    ];
    for header in &headers {
        let headers: Vec<_> = header.iter().map(|it| ("authorization", it.as_str())).collect();
        let answer = fleet.http().send("GET", &format!("{BASE}/whoami"), &headers, None);
        let answer = answer.expect_problem(401, "about:blank", "token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"gantry\""));
    }
    let in_query = format!("{BASE}/whoami?token={good}&access_token={good}");
    fleet.http().send("GET", &in_query, &[], None).expect(401);
    let spelt_otherwise = [("authorization", format!("bEARER   {good} "))];
    let headers: Vec<_> = spelt_otherwise.iter().map(|(name, it)| (*name, it.as_str())).collect();
    fleet.http().send("GET", &format!("{BASE}/whoami"), &headers, None).expect(200);
}

#[test]
fn the_api_describes_itself_and_every_operation_wants_a_token() {
    let fleet = TestFleet::start();
    let path = format!("{BASE}/openapi.json");
    let answer = fleet.http().send("GET", &path, &[], None).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    let version = document["openapi"].as_str().expect("a version is text");
    assert!(version.starts_with("3.1"), "{version}");
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));

    let operations = operations(&fleet);
    assert!(operations.len() >= 18, "{operations:?}");
    for (method, path) in &operations {
        // With and without a body: who may not call is told so before anything else.
        let json = [("content-type", "application/json")];
        for (headers, body) in [(&[][..], None), (&json, Some(&b"{}"[..]))] {
            let answer = fleet.http().send(method, path, headers, body);
            let answer = answer.expect_problem(401, "about:blank", "token");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"gantry\""));
        }
    }
    let paths: BTreeSet<&String> = operations.iter().map(|(_, path)| path).collect();
    for path in paths {
        let listed = |method: &str| operations.iter().any(|it| it.0 == method && it.1 == *path);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().filter(|it| !listed(it))
        {
            fleet.http().send(method, path, &[], None).expect_problem(405, "about:blank", "");
        }
    }
}

#[test]
fn a_token_is_in_no_log_and_in_no_answer() {
    let fleet = TestFleet::start_with("[log]\nlevel = \"trace\"\n");
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);
    let secret = token(&fleet);
    let wrong = format!("{secret}-but-wrong");
    let strangers = [&secret, &wrong].map(|it| Operator::new(fleet.http(), it.clone()));
    let paths = [
        "/whoami".to_owned(),
        "/clients".to_owned(),
        format!("/clients/{}", press.id()),
        format!("/clients/{}/revisions", press.id()),
        format!("/clients/{}/revisions/latest", press.id()),
        "/applications".to_owned(),
        "/applications/com-example-web".to_owned(),
        "/applications/com-example-web/1.0.0".to_owned(),
        "/deployments".to_owned(),
        format!("/deployments/{deployment}"),
        format!("/deployments/{deployment}/events"),
        "/nothing".to_owned(),
        "/openapi.json".to_owned(),
    ];
    for (operator, path) in strangers.iter().flat_map(|it| paths.iter().map(move |path| (it, path)))
    {
        let answer = operator.send("GET", path, None);
        let headers = format!("{:?}", answer.headers);
        assert!(!answer.text().contains(&secret) && !headers.contains(&secret), "GET {path}");
    }
    let log = fleet.log();
    assert!(log.contains("TRACE") && log.contains("admin"), "{log}");
    let place = log.find(&secret).map(|it| &log[it.saturating_sub(300)..it]);
    assert_eq!(place, None, "the log holds the token");
}

#[test]
fn the_health_of_the_server_is_nobodys_secret() {
    let fleet = TestFleet::start();
    let answer = fleet.http().send("GET", "/healthz", &[], None).expect(200);
    assert_eq!(answer.json(), json!({"status": "ok"}));
    let answer = fleet.http().send("GET", "/readyz", &[], None).expect(200);
    assert_eq!(answer.json(), json!({"status": "ready"}));
    fleet.http().send("POST", "/healthz", &[], None).expect_problem(405, "about:blank", "");
}

#[test]
fn the_history_of_a_client_can_be_read() {
    let (fleet, press, deployment) = fleet_with_deployment();
    greet(&fleet, &deployment, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 3);
    let path = format!("/clients/{}/revisions", press.id());
    let numbers = |query: &str| -> Vec<u64> {
        let revisions = fleet.operator().get(&format!("{path}{query}"));
        let items = revisions["items"].as_array().expect("a list").iter();
        items.filter_map(|it| it["number"].as_u64()).collect()
    };
    assert_eq!(numbers(""), [3, 2, 1]);
    assert_eq!(numbers("?limit=1"), [3]);

    let latest = fleet.operator().get(&format!("{path}/latest"));
    assert_eq!(latest, fleet.operator().get(&format!("{path}/3")));
    assert_eq!(latest["manifest"]["manifestVersion"], 3);
    assert_eq!(latest["documents"][0]["deploymentId"], deployment.as_str());
    assert!(latest["message"].as_str().is_some_and(|it| it.contains("Reason: we are in Hamburg")));
    let digest = |number: u64| -> Value {
        fleet.operator().get(&format!("{path}/{number}"))["documents"][0]["digest"].clone()
    };
    assert_ne!(digest(2), digest(3));

    for none in ["/0", "/4", "/-1", "/first", "/18446744073709551615"] {
        let answer = fleet.operator().send("GET", &format!("{path}{none}"), None);
        answer.expect_problem(404, "about:blank", "revision");
    }
    let answer = fleet.operator().send("GET", &format!("{path}?limit=all"), None);
    answer.expect_problem(400, "#invalid-request", "limit");
    for client in ["00000000-0000-4000-8000-000000000001", "nonsense"] {
        let path = format!("/clients/{client}");
        for (method, below) in [
            ("GET", ""),
            ("GET", "/revisions"),
            ("POST", "/approve"),
            ("POST", "/reject"),
            ("POST", "/revoke"),
        ] {
            let body = (method == "POST").then(|| json!({}));
            let answer = fleet.operator().send(method, &format!("{path}{below}"), body.as_ref());
            answer.expect_problem(404, "about:blank", "client");
        }
    }
}

#[test]
fn an_operator_who_is_removed_is_out_at_once_with_every_token() {
    let (fleet, press, _) = fleet_with_deployment();
    let wanted = json!({"name": "ada", "role": "viewer"});
    let added = fleet.operator().send("POST", "/operators", Some(&wanted)).expect(201);
    assert_eq!(added.header("cache-control"), Some("no-store"));
    let secret = added.json()["token"].as_str().expect("a token is text").to_owned();
    let ada = Operator::new(fleet.http(), secret.clone());
    assert_eq!(ada.get("/whoami"), wanted);
    let path = format!("/clients/{}/repository", press.id());
    let access = ada.send("POST", &path, None).expect(200).json();
    let pair = format!("{}:{}", press.id(), access["token"].as_str().expect("a token is text"));
    let basic = format!("Basic {}", STANDARD.encode(pair));
    let refs = format!("/git/{}.git/info/refs?service=git-upload-pack", press.id());
    let fetch = || fleet.http().send("GET", &refs, &[("authorization", &basic)], None);
    fetch().expect(200);

    fleet.operator().send("DELETE", "/operators/ada", None).expect(204);
    ada.send("GET", "/whoami", None).expect_problem(401, "about:blank", "token");
    fetch().expect(401);
    let log = fleet.log();
    assert!(log.contains("an operator is removed") && !log.contains(&secret), "{log}");

    let last = fleet.operator().send("DELETE", "/operators/admin", None);
    last.expect_problem(409, "about:blank", "last administrator");
    let wrong = json!({"name": "a b", "role": "king"});
    let answer = fleet.operator().send("POST", "/operators", Some(&wrong));
    let problem = answer.expect_problem(422, "#semantic-error", "errors").json();
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2), "{problem}");
}
