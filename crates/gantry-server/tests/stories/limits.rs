//! Nobody takes the server from the others: not by asking much, slowly, or for what is huge.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::client::now;
use testkit::fleet::TestFleet;
use testkit::{memory, wait};

use crate::support::{
    fleet_with_deployment, fleet_with_deployment_on, metric, package_files, package_path,
    package_with_noise, tar_gz,
};

// margo(RT-1): 429 with Retry-After.
#[test]
fn a_client_that_asks_too_often_waits_and_its_neighbours_do_not() {
    let fleet = TestFleet::start_with("[limits]\nrequests_per_minute = 20\n");
    let press = fleet.accepted_client("press-7");
    let mut answers = (0..30).map(|_| press.get(&press.path("/deployments"), &[]));
    let refused = answers.find(|it| it.status != 200).expect("30 are more than 10 at once");
    let refused = refused.expect_problem(429, "about:blank", "too often");
    let seconds = refused.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(seconds.is_some_and(|it| (1..=3).contains(&it)), "{seconds:?}");
    let problem = refused.json();
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["backoffStrategy"], "exponential");
    assert_eq!(problem["error"], "Too Many Requests");
    assert!(fleet.log().contains("asks too often"), "{}", fleet.log());

    // From the same address.
    let lathe = fleet.accepted_client("lathe-2");
    lathe.get(&lathe.path("/deployments"), &[]).expect(200);
    fleet.operator().get("/clients");
}

#[test]
fn a_plant_behind_one_address_is_not_punished() {
    let fleet = TestFleet::start();
    for number in 0..200 {
        let mut stranger = fleet.stranger(&format!("press-{number}"));
        stranger.onboard().expect_problem(403, "#not-authorized", "approve");
    }
    assert_eq!(fleet.operator().get("/clients")["items"].as_array().map(Vec::len), Some(200));
}

#[test]
fn hundreds_of_connections_that_say_nothing_keep_nobody_out() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = fleet.http().connect();
        // Some stop in the middle of a head, some in the middle of a body.
        let said = match number % 3 {
            0 => String::new(),
            1 => "GET /healthz HTTP/1.1\r\nhost: local".to_owned(),
            _ => format!(
                "PUT {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n{{",
                press.path("/capabilities")
            ),
        };
        stream.write_all(said.as_bytes()).expect("the server listens");
        silent.push(stream);
    }
    press.get(&press.path("/deployments"), &[]).expect(200);
    press.report_capabilities().expect(201);
    fleet.operator().get("/clients");
}

#[test]
fn headers_without_end_are_refused() {
    let fleet = TestFleet::start();
    for header in [format!("x: {}\r\n", "y".repeat(300 << 10)), "x: y\r\n".repeat(10_000)] {
        let mut stream = fleet.http().connect();
        let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{header}\r\n");
        // The server may hang up before it has all.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    fleet.http().send("GET", "/healthz", &[], None).expect(200);
    assert_eq!(metric(&fleet, "gantry_bad_request_heads_total"), 2);
}

#[test]
fn who_does_not_finish_a_head_is_hung_up_on() {
    let fleet = TestFleet::start();
    let mut stream = fleet.http().connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").expect("the server listens");
    let mut answer = String::new();
    // Ends only because the server ends it; else the harness loses its patience.
    let ended = stream.read_to_string(&mut answer);
    assert!(!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock), "{ended:?}");
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(metric(&fleet, "gantry_late_request_heads_total") >= 1);
}

/// 64 MiB of nothing, packed.
fn bomb() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("nothing");
    std::fs::write(&file, vec![0; 64 << 20]).expect("it can be written");
    let mut gzip = std::process::Command::new("gzip");
    let packed = testkit::programs::run(gzip.arg("-c").arg(&file)).stdout;
    assert!(packed.len() < 100 << 10);
    packed
}

#[test]
fn what_is_small_and_becomes_huge_is_refused() {
    let (fleet, press, _) = fleet_with_deployment();
    let bomb = bomb();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let path = press.path("/capabilities");
    let request = press.signed("PUT", &path, Some(bomb.clone()), &headers);
    press.send(&request).expect_problem(415, "about:blank", "Content-Encoding");

    let access = press.get(&press.path("/repository"), &[]).expect(200).json();
    let token = access["token"].as_str().expect("a token is text");
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{token}", press.id())));
    let upload = format!("/git/{}.git/git-upload-pack", press.id());
    let headers = [
        ("authorization", basic.as_str()),
        ("content-type", "application/x-git-upload-pack-request"),
        ("content-encoding", "gzip"),
    ];
    fleet.http().send("POST", &upload, &headers, Some(&bomb)).expect(413);
    let answer =
        fleet.operator().send_bytes("POST", "/applications", "application/gzip", Some(&bomb));
    assert!((400..500).contains(&answer.status), "{}", answer.text());

    // Nine generations of aliases, each ten of the one before: a thousand million in the end.
    let mut files: BTreeMap<String, String> = package_files("1.0.1");
    let mut yaml = "a0: &a0 [x]\n".to_owned();
    for generation in 1..10 {
        let former = vec![format!("*a{}", generation - 1); 10].join(", ");
        yaml.push_str(&format!("a{generation}: &a{generation} [{former}]\n"));
    }
    files.entry("margo.yaml".to_owned()).and_modify(|it| it.push_str(&yaml));
    let answer = fleet.operator().add_application(&tar_gz(&files));
    answer.expect_problem(422, "#semantic-error", "margo.yaml");

    let used = memory::pss(fleet.server_id());
    assert!(used < 512 << 20, "the server takes {used} bytes");
}

#[test]
fn what_is_nested_without_end_is_refused_wherever_it_is_read() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let json = ("content-type", "application/json");
    for piece in ["[", "{\"a\":"] {
        let deep = piece.repeat(10_000);
        let status = press.path(&format!("/deployments/{deployment}/status"));
        let onboarding = "/api/v1/onboarding".to_owned();
        for path in
            [press.path("/capabilities"), status, press.path("/security-events"), onboarding]
        {
            let request = press.signed("POST", &path, Some(deep.clone().into_bytes()), &[json]);
            press.send(&request).expect_problem(400, "#invalid-request", "");
        }
        let deployment = format!("/deployments/{deployment}");
        for (method, path) in [
            ("POST", "/deployments"),
            ("PATCH", deployment.as_str()),
            ("POST", "/operators"),
            ("POST", "/trust"),
        ] {
            let body = Some(deep.as_bytes());
            let answer = fleet.operator().send_bytes(method, path, json.1, body);
            answer.expect_problem(400, "#invalid-request", "");
        }
    }
    // Where any value may stand, too.
    let parameters = format!("{{\"parameters\":{{\"greeting\":{}", "[".repeat(100_000));
    let path = format!("/deployments/{deployment}");
    let answer = fleet.operator().send_bytes("PATCH", &path, json.1, Some(parameters.as_bytes()));
    answer.expect_problem(400, "#invalid-request", "");
    let mut files: BTreeMap<String, String> = package_files("1.0.1");
    let deep = format!("x: {}\n", "[".repeat(100_000));
    files.entry("margo.yaml".to_owned()).and_modify(|it| it.push_str(&deep));
    let answer = fleet.operator().add_application(&tar_gz(&files));
    answer.expect_problem(422, "#semantic-error", "margo.yaml");
    press.get(&press.path("/deployments"), &[]).expect(200);
}

#[test]
fn when_there_are_as_many_connections_as_may_be_others_wait_until_one_ends() {
    let fleet = TestFleet::start_with("[limits]\nconnections = 8\n");
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = fleet.http().connect();
        stream.conn.complete_io(&mut stream.sock).expect("the server shakes hands");
        silent.push(stream);
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| fleet.http().send("GET", "/healthz", &[], None));
        drop(silent);
        waiting.join().expect("asking does not panic").expect(200);
    });
    let counted = metric(&fleet, "gantry_connection_limit_reached_total");
    assert!(counted >= 1, "{counted}");
}

#[test]
fn while_many_connections_are_open_an_answer_ends_its_own() {
    let fleet = TestFleet::start_with("[limits]\nconnections = 8\n");
    let mut kept = Vec::new();
    let mut is_ended = || {
        let http = fleet.http();
        let answer = http.send("GET", "/healthz", &[], None).expect(200);
        kept.push(http);
        answer.header("connection") == Some("close")
    };
    assert!((0..6).any(|_| is_ended()), "four stay open, and more are many");
    drop(kept);
    wait::until("there to be few again", || {
        let answer = fleet.http().send("GET", "/healthz", &[], None).expect(200);
        (answer.header("connection") != Some("close")).then_some(())
    });
}

#[test]
fn while_many_connections_are_open_those_stay_open_whose_clients_have_more_to_tell() {
    let fleet = TestFleet::start_with("[limits]\nconnections = 64\n");
    let (fleet, press, deployment) = fleet_with_deployment_on(fleet);
    // More than an eighth of those that may be, and less than a half.
    let _kept: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = fleet.http().connect();
            stream.conn.complete_io(&mut stream.sock).expect("the server shakes hands");
            stream
        })
        .collect();
    let is_ended = |state, undelivered: Option<u64>| {
        let report = press.signed_report(&deployment, state, &[("web", state)]);
        let next = now() + 60;
        let said = undelivered.map(|it| format!("next={next}, by={next}, undelivered={it}"));
        let answer = press.send(&report.with("gantry-contact", said.as_deref()));
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        answer.header("connection") == Some("close")
    };
    assert!(!is_ended("installing", None), "it is still at work");
    assert!(!is_ended("installing", Some(0)), "it is still at work");
    assert!(!is_ended("installed", Some(1)), "there is more to deliver");
    assert!(is_ended("installed", Some(0)), "that was all");
    assert!(is_ended("installed", None), "as far as one can tell that was all");
}

#[test]
fn a_package_that_many_take_slowly_is_in_memory_once() {
    const READERS: usize = 24;
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    fleet.operator().add_application(&package_with_noise("1.0.0", 18 << 20)).expect(201);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);
    let path = package_path(&press);
    let length = press.get(&path, &[]).expect(200).body.len();
    assert!(length > 12 << 20, "{length}");

    let before = memory::pss(fleet.server_id());
    let mut readers = Vec::new();
    for number in 0..READERS {
        // Signed at another moment each time: the same request twice would be a replay.
        let created = testkit::client::now() - number as u64;
        let request = press.signed_at("GET", &path, None, &[], created);
        let mut stream = fleet.http().connect();
        stream.write_all(&request.to_bytes()).expect("the server listens");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("the answer begins");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        readers.push(stream);
    }
    let used = memory::pss(fleet.server_id()).saturating_sub(before);
    let all = (READERS * length) as u64;
    assert!(used < all / 4, "{used} bytes for {READERS} readers of {length}");
    // And all of them get it.
    for mut stream in readers {
        let mut read = 0;
        let mut piece = vec![0; 1 << 20];
        while read < length {
            let more = stream.read(&mut piece).expect("the answer goes on");
            assert!(more > 0, "it ends after {read} bytes");
            read += more;
        }
    }
}

// margo(S-8): a client that was away for long tells all at once.
#[test]
fn thousands_of_statuses_in_a_row_are_taken_and_bounded() {
    let (mut fleet, press, deployment) = fleet_with_deployment();
    fleet.stop();
    fleet.configure("[limits]\nrequests_per_minute = 100000\n");
    fleet.start_server();
    for turn in 0..3_000 {
        let state = if turn % 2 == 0 { "installing" } else { "installed" };
        let answer = press.report(&deployment, state, &[("web", state)]);
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    }
    let events = fleet.operator().get(&format!("/deployments/{deployment}/events"));
    let events = events["items"].as_array().expect("a list");
    // With that of the order, which all reports leave in place.
    assert!((100..=501).contains(&events.len()), "{}", events.len());
    assert_eq!(events[0]["what"], "ordered");
    let used = memory::pss(fleet.server_id());
    assert!(used < 256 << 20, "the server takes {used} bytes");
    assert_eq!(json!(fleet.operator().get("/clients")["items"][0]["id"]), press.id());
}
