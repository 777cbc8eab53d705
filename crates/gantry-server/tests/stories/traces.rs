//! Traces for whoever has said where they go: what they tell, what they never tell, and that the server does
//! without a collector.

use std::fs;
use std::net::TcpListener;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use testkit::certificates::{ALWAYS, Authority};
use testkit::fleet::TestFleet;
use testkit::meddler::{Meddler, Part, say};
use testkit::port;
use testkit::programs;
use testkit::wait;

use crate::collector::{Collector, attribute};
use crate::support::add_web;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Spans come soon, and the log says all that it can.
fn fleet_with_traces(endpoint: &str) -> TestFleet {
    let mut fleet = TestFleet::start();
    fleet.configure(&format!("[traces]\nendpoint = \"{endpoint}\"\n[log]\nlevel = \"trace\"\n"));
    fleet.set("OTEL_BSP_SCHEDULE_DELAY", "50");
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    fleet
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn of(span: &Span, name: &str) -> Option<String> {
    attribute(&span.attributes, name)
}

/// A request of the first administrator that says which trace it belongs to.
fn send_traced(fleet: &TestFleet, method: &str, path: &str, body: Option<&[u8]>) -> u16 {
    let bearer = format!("Bearer {}", fleet.operator().token());
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("traceparent", &parent),
    ];
    fleet.http().send(method, path, &headers, body).status
}

fn threads(fleet: &TestFleet) -> Vec<String> {
    let folder = format!("/proc/{}/task", fleet.server_id());
    let tasks = fs::read_dir(folder).expect("the server runs").filter_map(Result::ok);
    let names = tasks.filter_map(|it| fs::read_to_string(it.path().join("comm")).ok());
    names.collect()
}

#[test]
fn an_order_is_followed_from_the_request_to_the_store_and_to_its_publication() {
    let collector = Collector::start();
    let fleet = fleet_with_traces(&collector.url());
    add_web(&fleet);
    let press = fleet.accepted_client("press-7");
    let order = json!({"applicationId": "com-example-web", "clientId": press.id(),
        "parameters": {"greeting": "a secret word"}, "reason": "a secret reason"});
    let body = order.to_string().into_bytes();
    assert_eq!(send_traced(&fleet, "POST", "/operator/v1/deployments", Some(&body)), 201);
    fleet.operator().revision_reached(press.id(), 2);

    let request = collector.span("the order", |it| hex(&it.trace_id) == TRACE && it.kind == 2);
    assert_eq!(request.name, "POST /operator/v1/deployments");
    assert_eq!(hex(&request.parent_span_id), PARENT);
    let told =
        ["http.request.method", "http.route", "http.response.status_code", "gantry.operator"];
    let told = told.map(|name| of(&request, name).unwrap_or_default());
    assert_eq!(told, ["POST", "/operator/v1/deployments", "201", "admin"]);
    let change = collector.span("the transaction", |it| {
        it.name == "transaction" && it.parent_span_id == request.span_id
    });
    assert_eq!(hex(&change.trace_id), TRACE);
    assert_eq!(of(&change, "committed").as_deref(), Some("true"));

    let is_job = |it: &Span| it.name == "publish" && it.parent_span_id.is_empty();
    let job = collector.span("the publication", is_job);
    assert_eq!(of(&job, "gantry.client").as_deref(), Some(press.id()));
    collector.span("its transaction", |it| it.parent_span_id == job.span_id);

    press.get(&press.path("/deployments"), &[("traceparent", &format!("00-{TRACE}-{PARENT}-01"))]);
    let poll =
        collector.span("the poll", |it| it.name == "GET /api/v1/clients/{clientId}/deployments");
    assert_eq!(of(&poll, "gantry.client").as_deref(), Some(press.id()));
    assert_ne!(hex(&poll.trace_id), TRACE, "a device is in no trace of an operator");
    fleet.http().send("GET", "/operator/v1/whoami", &[], None).expect(401);
    let refused = |it: &Span| of(it, "http.response.status_code").as_deref() == Some("401");
    let refused = collector.span("the refusal", refused);
    assert_eq!(of(&refused, "error.type").as_deref(), Some("token"));
    assert_eq!(of(&refused, "gantry.operator"), None);

    let token = fleet.operator().token().to_owned();
    for taken in collector.taken() {
        assert!(taken.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", taken.head);
        assert!(taken.head.contains("content-type: application/x-protobuf\r\n"), "{}", taken.head);
        let sender = taken.decoded().resource_spans[0].resource.clone().expect("who sends them");
        let name = attribute(&sender.attributes, "service.name");
        assert_eq!(name.as_deref(), Some("gantry-server"));
        let bytes = String::from_utf8_lossy(&taken.body).into_owned();
        for secret in [token.as_str(), "a secret word", "a secret reason", "Bearer"] {
            assert!(!bytes.contains(secret), "{secret:?} is in a trace");
        }
    }
    let log = fleet.log();
    assert!(!log.contains("otel.") && !log.contains("http.route"), "traces are in the log: {log}");
}

#[test]
fn the_variables_of_opentelemetry_say_it_too() {
    let collector = Collector::start();
    let mut fleet = TestFleet::start();
    assert!(threads(&fleet).iter().all(|it| !it.starts_with("OpenTelemetry")));
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url().as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-plant=hamburg"),
        ("OTEL_SERVICE_NAME", "north"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ] {
        fleet.set(name, value);
    }
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    assert!(threads(&fleet).iter().any(|it| it.starts_with("OpenTelemetry")));
    collector.span("a request", |it| it.name == "GET /readyz");
    let taken = collector.taken();
    assert!(taken[0].head.contains("x-plant: hamburg\r\n"), "{}", taken[0].head);
    let sender = taken[0].decoded().resource_spans[0].resource.clone().expect("who sends them");
    assert_eq!(attribute(&sender.attributes, "service.name").as_deref(), Some("north"));

    fleet.set("OTEL_SDK_DISABLED", "true");
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    assert!(threads(&fleet).iter().all(|it| !it.starts_with("OpenTelemetry")));
}

#[test]
fn a_collector_with_https_is_trusted_by_the_certificates_that_are_named() {
    let mut fleet = TestFleet::start();
    let authority = Authority::of_fleet(&fleet.dir().join("data"));
    let collector = Meddler::start(0, authority.server("localhost", ALWAYS), None);
    collector.play(|_| Part::Say(say(200, &[], b"")));
    let endpoint = format!("https://localhost:{}", collector.port());
    let ca = fleet.ca();
    fleet.configure(&format!("[traces]\nendpoint = \"{endpoint}\"\nca = \"{}\"\n", ca.display()));
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    assert_eq!(fleet.stop(), Some(0));
    let asked = collector.asked();
    let decoded = asked.iter().map(|it| ExportTraceServiceRequest::decode(it.body.as_slice()));
    let spans = decoded.map(|it| it.expect("it is OTLP").resource_spans.len());
    assert!(spans.sum::<usize>() > 0);

    let stranger = Meddler::start(0, Authority::new().server("localhost", ALWAYS), None);
    let endpoint = format!("https://localhost:{}", stranger.port());
    fleet.configure(&format!("[traces]\nendpoint = \"{endpoint}\"\nca = \"{}\"\n", ca.display()));
    fleet.start_server();
    assert_eq!(fleet.stop(), Some(0));
    assert!(stranger.asked().is_empty());
    assert!(fleet.log().contains("the collector takes no traces"), "{}", fleet.log());
}

#[test]
fn a_collector_that_is_away_is_missed_once_and_found_again() {
    let port = port::free();
    let fleet = fleet_with_traces(&format!("http://127.0.0.1:{port}"));
    let says = |word: &str| fleet.log().lines().filter(|it| it.contains(word)).count();
    wait::until("the collector to be missed", || {
        fleet.operator().get("/whoami");
        (says("the collector takes no traces") == 1).then_some(())
    });
    let press = fleet.accepted_client("press-7");
    assert_eq!(press.get(&press.path("/deployments"), &[]).status, 200);

    let collector = Collector::start_at(port);
    wait::until("the collector to be found", || {
        fleet.operator().get("/clients");
        (says("the collector takes traces again") == 1).then_some(())
    });
    collector.span("a request", |it| it.name == "GET /operator/v1/clients");
    assert_eq!(says("the collector takes no traces"), 1);
    collector.refuses(true);
    wait::until("the refusal to be told", || {
        fleet.operator().get("/clients");
        (says("it answers with status 500") == 1).then_some(())
    });
}

#[test]
fn the_last_spans_are_sent_and_a_collector_that_hangs_is_not_waited_for() {
    let collector = Collector::start();
    let mut fleet = fleet_with_traces(&collector.url());
    fleet.set("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    assert_eq!(fleet.stop(), Some(0));
    fleet.start_server();
    fleet.operator().get("/whoami");
    assert!(collector.spans().iter().all(|it| it.name != "GET /operator/v1/whoami"));
    assert_eq!(fleet.stop(), Some(0));
    assert!(collector.spans().iter().any(|it| it.name == "GET /operator/v1/whoami"));

    // Connections come about, and nobody ever says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = silent.local_addr().expect("a listener has an address").port();
    fleet.configure(&format!("[traces]\nendpoint = \"http://127.0.0.1:{port}\"\n"));
    fleet.start_server();
    fleet.operator().get("/whoami");
    assert_eq!(fleet.stop(), Some(0));
    assert!(fleet.log().contains("the last traces were not taken"), "{}", fleet.log());
}

#[test]
fn an_endpoint_that_cannot_be_is_refused_and_one_that_is_away_is_found_by_the_doctor() {
    let fleet = TestFleet::start();
    let doctor = |configuration: &str| {
        fleet.configure(configuration);
        let mut doctor = std::process::Command::new(programs::path("gantry-server"));
        doctor.arg("doctor").arg("--config").arg(fleet.dir().join("server.toml"));
        String::from_utf8_lossy(&programs::run(&mut doctor).stdout).into_owned()
    };
    assert!(!doctor("").contains("traces"));
    let collector = Collector::start();
    let said = doctor(&format!("[traces]\nendpoint = \"{}\"\n", collector.url()));
    assert!(said.contains("ok    traces: the collector takes them"), "{said}");
    assert_eq!(collector.spans(), []);
    collector.refuses(true);
    let said = doctor(&format!("[traces]\nendpoint = \"{}\"\n", collector.url()));
    assert!(said.contains("warn  traces: ") && said.contains("status 500"), "{said}");
    let said = doctor("[traces]\nendpoint = \"collector:4317\"\n");
    assert!(said.contains("fail  configuration: [traces] endpoint is `collector:4317`"), "{said}");
    let said = doctor("[traces]\nendpoint = \"https://localhost:4318\"\nca = \"/nowhere.pem\"\n");
    assert!(said.contains("/nowhere.pem"), "{said}");
}
