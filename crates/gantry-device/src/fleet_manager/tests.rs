//! What servers may do to a client, each of it with a real server and real TLS: every answer that is
//! not one gives an error that says what is wrong, soon, and without swallowing it.

use std::time::Duration;

use testkit::certificates::{ALWAYS, Authority};
use testkit::meddler::{Meddler, Part, say};

use super::*;
use crate::skew::http_date;

const NOW: i64 = 1_800_000_000_000;
/// Thu, 12 Mar 2026.
const DATE_MS: i64 = 1_773_306_000_000;
const DATE: &str = "Thu, 12 Mar 2026 09:00:00 GMT";
const JSON: (&str, &str) = ("content-type", "application/json");

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_millis(300),
    between_bytes: Duration::from_millis(300),
    whole: Duration::from_secs(20),
    whole_large: Duration::from_secs(20),
    last_word: Duration::from_secs(20),
};

struct Stage {
    folder: tempfile::TempDir,
    authority: Authority,
    meddler: Meddler,
}

impl Stage {
    fn new() -> Self {
        let authority = Authority::new();
        let meddler = Meddler::start(0, authority.server("localhost", ALWAYS), None);
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writable");
        Self { folder, authority, meddler }
    }

    /// A client whose machine's clock stands still.
    fn link_at(&self, machine_ms: i64) -> FleetManager {
        self.link_by(Arc::new(move || machine_ms))
    }

    fn link_by(&self, machine: MachineClock) -> FleetManager {
        let origin = format!("https://localhost:{}", self.meddler.port());
        let ca = self.folder.path().join("ca.pem");
        FleetManager::with(&origin, &ca, scripted::key(), machine, PATIENCE).expect("a client")
    }

    /// What the client says of this part.
    fn told(&self, ask: Ask, part: Part) -> String {
        self.meddler.play(move |_| part.clone());
        let error = self.link_at(NOW).send(ask, "/x", "me", &[], None).expect_err("no good answer");
        crate::chain(&error)
    }
}

fn say_then(head: &str, body: &[u8]) -> Part {
    Part::Say([head.as_bytes(), body].concat())
}

#[test]
fn a_good_answer_is_read() {
    let stage = Stage::new();
    stage.meddler.play(|_| Part::Say(say(200, &[JSON, ("etag", "\"x\"")], b"{}")));
    let answer = stage.link_at(NOW).send(Ask::Manifest, "/x", "me", &[], None).expect("good");
    assert_eq!(
        (answer.status, answer.header("etag"), &answer.body[..]),
        (200, Some("\"x\""), &b"{}"[..])
    );
}

#[test]
fn every_answer_that_is_none_is_told_for_what_it_is() {
    let stage = Stage::new();
    let html: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    let half = "HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n";
    let chunks = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    for (part, words) in [
        (
            Part::Say(say(302, &[("location", "https://evil.example/")], b"")),
            "redirect to https://evil.example/",
        ),
        (Part::Say(say(307, &[], b"")), "redirects are never followed"),
        (Part::Say(say(200, &[html], b"<html>")), "captive portal or proxy"),
        (Part::Say(say(503, &[html], b"<html>")), "answers 503: it is a web page"),
        (Part::Say(say(200, &[("content-type", "image/png")], b"x")), "type is `image/png`"),
        (Part::Say(say(200, &[JSON, ("content-encoding", "gzip")], b"x")), "encoded as `gzip`"),
        (say_then(half, b"half"), "ends before it is complete"),
        (say_then(chunks, b""), "ends before it is complete"),
        (say_then("HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b""), "not HTTP"),
        (say_then("SSH-2.0-OpenSSH_9.9\r\n\r\n", b""), "not HTTP"),
        (say_then("", b""), "ends before it is complete"),
        (Part::SayAndHang(Vec::new()), "did not begin to answer in time"),
        (Part::SayAndHang(b"HTTP/1.1 200 x\r\ncon".to_vec()), "too slow"),
        (Part::SayAndHang(half.as_bytes().to_vec()), "stopped in the middle"),
    ] {
        let told = stage.told(Ask::Manifest, part.clone());
        assert!(told.contains(words), "{part:?}: {told}");
    }
}

#[test]
fn no_kind_of_answer_is_read_beyond_its_bound() {
    let stage = Stage::new();
    let forever = |head: &str, again: &[u8]| {
        Part::SayWithoutEnd(head.as_bytes().to_vec(), again.repeat(4096))
    };
    for ask in [
        Ask::Onboarding,
        Ask::Capabilities,
        Ask::Repository,
        Ask::Manifest,
        Ask::Bundle,
        Ask::Document,
        Ask::Report,
        Ask::SecurityEvent,
        Ask::GitGlance,
        Ask::GitReferences,
    ] {
        for head in
            ["HTTP/1.1 200 x\r\ncontent-length: 1073741824\r\n\r\n", "HTTP/1.1 200 x\r\n\r\n"]
        {
            let before = stage.meddler.written();
            let told = stage.told(ask, forever(head, b"{}{}"));
            assert!(told.contains("it is larger than"), "{ask:?}: {told}");
            let written = stage.meddler.written() - before;
            // What lies in the buffers of two sockets comes on top.
            assert!(written < ask.largest() + (24 << 20), "{ask:?}: {written}");
        }
    }
    let told = stage.told(Ask::Manifest, forever("HTTP/1.1 200 x\r\n", b"a: b\r\n"));
    assert!(told.contains("headers") || told.contains("not HTTP"), "{told}");
    let told = stage.told(Ask::Manifest, forever("HTTP/1.1 200 x\r\na: ", b"b"));
    assert!(told.contains("headers are larger"), "{told}");
    // An endless refusal is a refusal.
    let told = stage.told(Ask::Manifest, forever("HTTP/1.1 500 x\r\n\r\n", b"{}{}"));
    assert!(told.contains("answers 500"), "{told}");
}

// margo(SP-17)
#[test]
fn a_server_without_tls_is_told_from_one_that_cannot_be_reached() {
    let stage = Stage::new();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = plain.local_addr().expect("it has one").port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for mut stream in plain.incoming().filter_map(Result::ok) {
            let _ =
                stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://login.example\r\n\r\n");
        }
    });
    let mut link = stage.link_at(NOW);
    link.url = format!("https://localhost:{port}");
    let told = crate::chain(&link.send(Ask::Manifest, "/", "me", &[], None).expect_err("no TLS"));
    assert!(told.contains("does not speak TLS"), "{told}");
}

// margo(T-9, SP-13)
#[test]
fn certificates_of_strangers_of_other_names_and_of_the_past_are_refused() {
    let stage = Stage::new();
    stage.meddler.play(|_| Part::Say(say(200, &[JSON], b"{}")));
    for (tls, words) in [
        (Authority::new().server("localhost", ALWAYS), "not from the pinned root"),
        (stage.authority.server("fleet.example", ALWAYS), "for another name"),
        (stage.authority.server("localhost", (2000, 2020)), "has expired"),
    ] {
        stage.meddler.show(tls);
        let error = stage.link_at(NOW).send(Ask::Manifest, "/", "me", &[], None);
        let told = crate::chain(&error.expect_err("a bad certificate"));
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(stage.meddler.asked().is_empty(), "nothing was said to any of them");
}

#[test]
fn a_device_in_1970_talks_signs_by_the_servers_time_and_refuses_what_had_expired() {
    let stage = Stage::new();
    let state = StateDir::open(&stage.folder.path().join("state")).expect("nobody else has it");
    // Made after the device's program, and far from over.
    stage.meddler.show(stage.authority.server("localhost", (2027, 2100)));
    stage
        .meddler
        .play(|_| Part::Say(say(200, &[JSON, ("date", "Sun, 02 Jan 2028 00:00:00 GMT")], b"{}")));
    let link = stage.link_at(0);
    link.send(Ask::Manifest, "/", "me", &[], None).expect("a certificate proves its beginning");
    assert_eq!(
        link.server_time(0),
        http_date("Sun, 02 Jan 2028 00:00:00 GMT").expect("a date") + 499
    );
    link.keep_time(&state).expect("writable");

    // After a restart it knows that 2027 is over.
    let link = stage.link_at(0);
    link.recall_time(&state);
    stage.meddler.show(stage.authority.server("localhost", (2020, 2028)));
    let told = link.send(Ask::Manifest, "/", "me", &[], None).expect_err("expired");
    assert!(crate::chain(&told).contains("has expired"), "{}", crate::chain(&told));
}

#[test]
fn a_clock_that_jumps_costs_one_more_request_and_no_contact() {
    let stage = Stage::new();
    // A server that takes what was signed within a minute of its own time.
    stage.meddler.play(|asked| {
        let input = asked.header("signature-input").expect("it is signed");
        let created = input.split("created=").nth(1).expect("it says when");
        let digits: String = created.chars().take_while(char::is_ascii_digit).collect();
        let created: i64 = digits.parse().expect("a number");
        let status = if (created - DATE_MS / 1_000).abs() < 60 { 200 } else { 401 };
        Part::Say(say(status, &[JSON, ("date", DATE)], b"{}"))
    });
    let machine = Arc::new(std::sync::atomic::AtomicI64::new(DATE_MS));
    let clock = Arc::clone(&machine);
    let link = stage.link_by(Arc::new(move || clock.load(std::sync::atomic::Ordering::Relaxed)));
    let mut expected = 0;
    for (jump, requests) in [(0, 1), (3_600_000, 2), (0, 2), (-DATE_MS, 2), (-DATE_MS + 5_000, 1)] {
        machine.store(DATE_MS + jump, std::sync::atomic::Ordering::Relaxed);
        link.send(Ask::Manifest, "/", "me", &[], None).expect("signed by the server's time");
        expected += requests;
        assert_eq!(stage.meddler.asked().len(), expected, "after a jump by {jump} ms");
    }
}

#[test]
fn a_401_that_is_not_about_the_time_is_not_asked_again() {
    let stage = Stage::new();
    stage.meddler.play(|_| Part::Say(say(401, &[JSON, ("date", DATE)], b"{}")));
    let link = stage.link_at(DATE_MS);
    link.send(Ask::Manifest, "/", "me", &[], None).expect_err("refused");
    assert_eq!(stage.meddler.asked().len(), 1);
    assert_eq!(
        stage
            .link_at(0)
            .send(Ask::Manifest, "/", "me", &[], None)
            .expect_err("refused")
            .retry_after(),
        None
    );
    assert_eq!(stage.meddler.asked().len(), 3, "and one about the time once only");
}

// margo(RT-2): RFC 9110 section 10.2.3.
#[test]
fn a_refusal_says_how_long_to_stay_away_and_whether_to_come_back_early() {
    let stage = Stage::new();
    let pause = |status, headers: &[(&str, &str)], body: &str| {
        let answer = say(status, &[&[JSON, ("date", DATE)], headers].concat(), body.as_bytes());
        stage.meddler.play(move |_| Part::Say(answer.clone()));
        // The device's clock is wrong, and the date counts by the server's.
        let link = stage.link_at(DATE_MS - 86_400_000);
        let error = link.send(Ask::Manifest, "/", "me", &[], None).expect_err("a refusal");
        (error.retry_after().map(|it| it.as_secs()), error.is_retryable())
    };
    let later = ("retry-after", "Thu, 12 Mar 2026 09:02:00 GMT");
    let (seconds, retryable) = pause(503, &[later], "{}");
    assert!(seconds.is_some_and(|it| (118..=120).contains(&it)) && retryable, "{seconds:?}");
    assert_eq!(pause(429, &[("retry-after", "7")], "{}"), (Some(7), true));
    assert_eq!(pause(403, &[("retry-after", "5")], "{\"retryable\": false}"), (Some(5), false));
    assert_eq!(pause(500, &[], "{\"retryable\": false}"), (None, false));
    assert_eq!(pause(409, &[], "{\"retryable\": true, \"retryAfterSeconds\": 9}"), (Some(9), true));
    assert_eq!(pause(404, &[], "no JSON"), (None, false));
}

// margo(D-8)
#[test]
fn a_url_of_a_document_is_of_the_fleet_managers_own_origin_or_none() {
    let stage = Stage::new();
    let mut link = stage.link_at(NOW);
    for url in ["https://fleet.example", "https://fleet.example/margo"] {
        link.url = url.to_owned();
        for own in ["/a?b", "https://fleet.example/a?b", "https://FLEET.example:443/a?b"] {
            let resolved = link.resolve(own).expect("it is its own");
            assert_eq!(resolved, "https://fleet.example/a?b", "{own}");
        }
        for other in [
            "//fleet.example/a",
            "a",
            "http://fleet.example/a",
            "https://fleet.example",
            "https://fleet.example.evil.example/a",
            "https://fleet.example:8443/a",
            "https://fleet.example@evil.example/a",
            "https://evil.example/https://fleet.example/a",
            "",
        ] {
            assert!(link.resolve(other).is_err(), "{other}");
        }
    }
}

// margo(D-8, SP-9)
#[test]
fn the_api_may_lie_below_a_path_and_what_a_document_names_lies_where_it_says() {
    let stage = Stage::new();
    stage.meddler.play(|_| Part::Say(say(200, &[JSON], b"{}")));
    let mut link = stage.link_at(NOW);
    let origin = link.url.clone();
    link.url = format!("{origin}/margo");
    let ask = |path: &str| drop(link.send(Ask::Manifest, path, "me", &[], None).expect("good"));
    ask("/api/v1/clients/me/deployments");
    ask(&link.resolve("/margo/api/v1/clients/me/bundles/x").expect("its own"));
    ask(&link.resolve(&format!("{origin}/api/v1/clients/me/bundles/x")).expect("its own"));
    let asked: Vec<String> = stage.meddler.asked().into_iter().map(|it| it.path).collect();
    assert_eq!(
        asked,
        [
            "/margo/api/v1/clients/me/deployments",
            "/margo/api/v1/clients/me/bundles/x",
            "/api/v1/clients/me/bundles/x",
        ]
    );
}

// margo(ER-3, D-12)
#[test]
fn what_a_refusal_is_about_follows_from_its_type_and_else_from_its_status() {
    let stage = Stage::new();
    let told = |status, body: &str| {
        let answer = say(status, &[JSON], body.as_bytes());
        stage.meddler.play(move |_| Part::Say(answer.clone()));
        stage.link_at(NOW).send(Ask::Document, "/x", "me", &[], None).expect_err("a refusal")
    };
    let typed = |slug: &str| {
        format!("{{\"type\": \"https://docs.margo.org/specification/problem-types{slug}\"}}")
    };
    for slug in ["#deployment-not-found", "/invalid-bundle", "#gateway-not-found"] {
        assert!(!told(404, &typed(slug)).is_about_us(), "{slug}");
    }
    for body in ["{\"type\": \"about:blank\"}", "{}", "nothing", &typed("#something-new")] {
        assert!(told(404, body).is_about_us(), "{body}");
    }
    assert!(told(401, "{}").is_about_us());
    assert!(!told(403, &typed("#not-authorized")).is_about_us());
    let unknown = told(409, "{\"type\": \"https://x.example/t\", \"title\": \"Too late\"}");
    assert!(unknown.to_string().contains("answers 409: Too late"), "{unknown}");
    // No type is ever fetched.
    assert!(stage.meddler.asked().iter().all(|it| it.path == "/x"));
}
