//! `GET /metrics`: whoever watches the fleet manager reads there what it did, what it refused and why, and
//! how the fleet stands.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::fleet::TestFleet;
use testkit::operator::Operator;
use testkit::wait;

use crate::real_git::Git;
use crate::support::{fleet_with_deployment, metric, metrics_text};

/// The value of each series, by its name with its labels.
type Metrics = BTreeMap<String, f64>;

fn text(fleet: &TestFleet) -> String {
    let answer = metrics_text(fleet);
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.text()
}

fn metrics(fleet: &TestFleet) -> Metrics {
    let text = text(fleet);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a name and a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

fn refusals(metrics: &Metrics, reason: &str) -> f64 {
    metrics[&format!("gantry_refusals_total{{reason=\"{reason}\"}}")]
}

fn polls(metrics: &Metrics, kind: &str, outcome: &str) -> f64 {
    metrics[&format!("gantry_polls_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}")]
}

#[test]
fn each_refusal_has_its_counter_and_says_in_the_log_who_what_and_why() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let path = press.path("/deployments");
    let capabilities = press.path("/capabilities");
    let body = press.capabilities().to_string().into_bytes();
    let json = ("content-type", "application/json");
    let before = metrics(&fleet);

    press.send(&press.signed("GET", &path, None, &[]).with("signature", None)).expect(401);
    let old = press.signed_at("GET", &path, None, &[], testkit::client::now() - 3_600);
    press.send(&old).expect(401);
    let request = press.signed("GET", &path, None, &[("accept", "*/*")]);
    press.send(&request).expect(200);
    press.send(&request).expect(401);
    let mut forged = press.signed("PUT", &capabilities, Some(body.clone()), &[json]);
    forged.method = "POST".to_owned();
    press.send(&forged).expect(401);
    let mut changed = press.signed("PUT", &capabilities, Some(body.clone()), &[json]);
    changed.body = Some(b"{}".to_vec());
    press.send(&changed).expect(400);
    press.put(&capabilities, &json!({"kind": "nonsense"})).expect(422);
    let text = ("content-type", "text/plain");
    press.send(&press.signed("PUT", &capabilities, Some(body), &[text])).expect(415);
    press.get(&path, &[("accept", "text/html")]).expect(406);
    let large = format!("{{{}", " ".repeat(70 << 10)).into_bytes();
    press.send(&press.signed("PUT", &capabilities, Some(large), &[json])).expect(413);
    press.send(&press.signed("PUT", &capabilities, Some(b"{".to_vec()), &[json])).expect(400);
    let nonsense = Some(b"{}".to_vec());
    press.send(&press.signed("POST", "/api/v1/onboarding", nonsense, &[json])).expect(400);
    let nobody = path.replace(press.id(), "00000000-0000-4000-8000-000000000000");
    press.get(&nobody, &[]).expect(401);
    let mut waiting = fleet.stranger("press-8");
    waiting.onboard().expect(403);
    let revoked = fleet.accepted_client("press-9");
    let verdict = format!("/clients/{}/reject", revoked.id());
    fleet.operator().send("POST", &verdict, Some(&json!({}))).expect(409);
    let verdict = format!("/clients/{}/revoke", revoked.id());
    fleet.operator().send("POST", &verdict, Some(&json!({}))).expect(200);
    revoked.get(&revoked.path("/deployments"), &[]).expect(403);
    let viewer = json!({"name": "vera", "role": "viewer"});
    let viewer = fleet.operator().send("POST", "/operators", Some(&viewer)).expect(201).json();
    let viewer = viewer["token"].as_str().expect("a token is text").to_owned();
    let viewer = Operator::new(fleet.http(), viewer);
    viewer.send("POST", "/operators", Some(&json!({}))).expect(403);
    fleet.http().send("GET", "/operator/v1/clients", &[], None).expect(401);
    fleet.http().send("GET", "/no/such/path", &[], None).expect(404);
    fleet.http().send("PUT", "/healthz", &[], None).expect(405);

    let after = metrics(&fleet);
    for reason in [
        "unsigned",
        "signature_time",
        "replay",
        "signature",
        "digest",
        "semantic",
        "media_type",
        "not_acceptable",
        "unknown_client",
        "too_large",
        "malformed",
        "certificate",
        "not_accepted",
        "conflict",
        "role",
        "token",
        "not_found",
        "method",
    ] {
        let counted = refusals(&after, reason) - refusals(&before, reason);
        assert!((counted - 1.0).abs() < 0.5, "{reason}: {counted}");
        // What no route has taken is nobody's refusal.
        if !["not_found", "method"].contains(&reason) {
            assert!(fleet.log().contains(&format!("reason=\"{reason}\"")), "{reason}");
        }
    }
    // The one of each client that was let in, and one more.
    let waited = refusals(&after, "waiting") - refusals(&before, "waiting");
    assert!((waited - 2.0).abs() < 0.5, "{waited}");
    for reason in ["failure", "panic", "disk_full", "rate"] {
        assert!(refusals(&after, reason) < 0.5, "{reason}");
    }
    let log = fleet.log();
    let line = log.lines().find(|it| it.contains("reason=\"replay\"")).expect("it is logged");
    for word in [press.id(), "GET", &path, "127.0.0.1:", "was sent again"] {
        assert!(line.contains(word), "{word}: {line}");
    }
}

// A parameter may be a password.
#[test]
fn what_an_operator_sent_is_not_in_the_log_when_it_is_refused() {
    let (fleet, _press, deployment) = fleet_with_deployment();
    let path = format!("/deployments/{deployment}");
    for parameters in [json!("hunter2"), json!({"port": "hunter2"}), json!({"hunter": "hunter2"})] {
        let answer =
            fleet.operator().send("PATCH", &path, Some(&json!({"parameters": parameters})));
        assert!([400, 422].contains(&answer.status), "{}", answer.text());
    }
    let log = fleet.log();
    assert!(!log.contains("hunter2"), "{log}");
    assert!(log.contains("reason=\"malformed\"") && log.contains("parameters.port"), "{log}");
}

/// Asks for the references of a client's repository, with what opens it.
fn git_poll(fleet: &TestFleet, access: &Value) {
    let text = |name: &str| access[name].as_str().expect("it is text").to_owned();
    let basic = STANDARD.encode(format!("{}:{}", text("username"), text("token")));
    let basic = format!("Basic {basic}");
    let path = format!("/git/{}.git/info/refs?service=git-upload-pack", text("username"));
    fleet.http().send("GET", &path, &[("authorization", &basic)], None).expect(200);
}

#[test]
fn polls_publications_requests_and_the_state_of_the_fleet_can_be_read() {
    let (fleet, press, deployment) = fleet_with_deployment();
    fleet.operator().published(&deployment);
    let manifest = press.get(&press.path("/deployments"), &[]).expect(200);
    let etag = manifest.header("etag").expect("a manifest has a tag").to_owned();
    press.get(&press.path("/deployments"), &[("if-none-match", &etag)]).expect(304);
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    let mut waiting = fleet.stranger("press-8");
    waiting.onboard().expect(403);

    // What is in the store is counted every few seconds.
    let seen = wait::until("the fleet to be counted", || {
        let seen = metrics(&fleet);
        (seen["gantry_clients{standing=\"waiting\"}"] > 0.5
            && seen["gantry_deployments{state=\"installed\"}"] > 0.5)
            .then_some(seen)
    });
    let is = |series: &str, expected: f64| {
        let value = seen.get(series).unwrap_or_else(|| panic!("{series} is missing: {seen:?}"));
        assert!((value - expected).abs() < 0.5, "{series}: {value} and not {expected}");
    };
    is("gantry_clients{standing=\"approved\"}", 1.0);
    is("gantry_clients{standing=\"waiting\"}", 1.0);
    is("gantry_clients{standing=\"revoked\"}", 0.0);
    is("gantry_deployments{state=\"installed\"}", 1.0);
    is("gantry_deployments{state=\"failed\"}", 0.0);
    is("gantry_publications_total", 2.0);
    is("gantry_jobs", 0.0);
    is("gantry_oldest_job_age_seconds", 0.0);
    is("gantry_job_failures_total", 0.0);
    let route = "/api/v1/clients/{clientId}/deployments/{deploymentId}/status";
    let labels = format!("route=\"{route}\",method=\"POST\",status=\"201\"");
    is(&format!("gantry_requests_total{{{labels}}}"), 1.0);
    assert!(polls(&seen, "http", "new") > 0.5, "{seen:?}");
    assert!((polls(&seen, "http", "unchanged") - 1.0).abs() < 0.5, "{seen:?}");
    assert!(seen["gantry_connections"] > 0.5);
    assert!(seen["process_start_time_seconds"] > 1_700_000_000.0);
    assert!(seen.keys().any(|it| it.starts_with("gantry_build_info{version=")));
    assert!(seen["gantry_fleet_read_time_seconds"] >= seen["process_start_time_seconds"]);
}

#[test]
fn clients_that_should_have_called_are_counted() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    assert_eq!(metric(&fleet, "gantry_clients_overdue"), 0);
    fleet.make_overdue(&press);
    wait::until("the fleet to be counted", || {
        (metric(&fleet, "gantry_clients_overdue") == 1).then_some(())
    });
}

#[test]
fn a_poll_with_git_that_finds_nothing_new_is_told_from_others() {
    let (fleet, press, deployment) = fleet_with_deployment();
    fleet.operator().published(&deployment);
    let polled = |new: f64, unchanged: f64| {
        let seen = metrics(&fleet);
        let counted = (polls(&seen, "git", "new"), polls(&seen, "git", "unchanged"));
        assert!((counted.0 - new).abs() + (counted.1 - unchanged).abs() < 0.5, "{counted:?}");
    };
    let access = press.get(&press.path("/repository"), &[]).expect(200).json();
    git_poll(&fleet, &access);
    polled(1.0, 0.0);
    Git::of(&fleet, &press).clone(&[]);
    polled(2.0, 0.0);
    git_poll(&fleet, &access);
    polled(2.0, 1.0);
    // Whatever an operator asks, the device has not asked.
    let path = format!("/clients/{}/repository", press.id());
    let access = fleet.operator().send("POST", &path, None).expect(200).json();
    git_poll(&fleet, &access);
    polled(2.0, 1.0);
}

#[test]
fn no_label_is_what_a_caller_chose_and_names_keep_the_conventions() {
    let (fleet, press, deployment) = fleet_with_deployment();
    press.get(&press.path("/bundles/sha256:0123"), &[]).expect(404);
    fleet.http().send("GET", "/guess?who=7", &[], None).expect(404);
    let text = text(&fleet);
    let operator = fleet.operator();
    for chosen in [press.id(), deployment.as_str(), "press-7", "guess", operator.token()] {
        assert!(!text.contains(chosen), "{chosen}");
    }
    for line in text.lines().filter(|it| it.starts_with("# TYPE ")) {
        let (name, kind) = line["# TYPE ".len()..].split_once(' ').expect("a name and a type");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(name.starts_with("gantry_") || name.starts_with("process_"), "{line}");
    }
}
