//! What the server stands on fails: the database is held, full or away, connections are cut. It says so with a
//! time to come back, keeps nothing half, and goes on by itself.

mod postgres;
mod sqlite;

use std::io::{Read as _, Write as _};

use serde_json::json;
use testkit::client::SignedRequest;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::wait;

use crate::support::{
    fleet_with_deployment, metric, package_files, package_path, package_with_noise, seen, sha256,
    tar_gz,
};

/// 503, with when to come back.
#[track_caller]
fn refused_for_now(answer: Answer, says: &str) {
    let answer = answer.expect_problem(503, "about:blank", says);
    let seconds = answer.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(seconds.is_some_and(|it| it >= 1), "{seconds:?}");
    let problem = answer.json();
    assert_eq!(
        (&problem["retryable"], &problem["backoffStrategy"]),
        (&json!(true), &json!("exponential"))
    );
}

fn versions(fleet: &TestFleet) -> Vec<String> {
    let listed = fleet.operator().get("/applications/com-example-web");
    let items = listed["items"].as_array().expect("a list").iter();
    items.map(|it| it["version"].as_str().expect("it is text").to_owned()).collect()
}

/// Sends the beginning of a request and is gone.
fn send_cut(fleet: &TestFleet, request: &[u8], sent: usize) {
    let mut stream = fleet.http().connect();
    stream.write_all(&request[..sent]).expect("the server listens");
    stream.flush().expect("the server listens");
}

#[test]
fn a_request_that_is_cut_off_changes_nothing_and_can_be_sent_again_as_it_is() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let request = press.signed_report(&deployment, "installed", &[("web", "installed")]);
    let bytes = request.to_bytes();
    let body = request.body.as_ref().map_or(0, Vec::len);
    for missing in [1, body / 2, body, body + 40, bytes.len() - 10] {
        send_cut(&fleet, &bytes, bytes.len() - missing);
    }
    let package = tar_gz(&package_files("1.0.1"));
    let upload = SignedRequest {
        method: "POST".to_owned(),
        path: "/operator/v1/applications".to_owned(),
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", fleet.operator().token())),
            ("content-type".to_owned(), "application/gzip".to_owned()),
        ],
        body: Some(package.clone()),
    };
    let bytes = upload.to_bytes();
    send_cut(&fleet, &bytes, bytes.len() - package.len() / 2);

    assert_eq!(seen(&fleet, &deployment), "ordered");
    assert_eq!(versions(&fleet), ["1.0.0"]);
    // The signature was not used up.
    press.send(&request).expect(201);
    fleet.operator().add_application(&package).expect(201);
    nobody_is_left(&fleet);
}

/// Waits until the server knows that those who were cut off are gone.
fn nobody_is_left(fleet: &TestFleet) {
    wait::until("the server to let go of connections", || {
        // The one that asks, and what the client keeps open.
        (metric(fleet, "gantry_connections") <= 2).then_some(())
    });
}

#[test]
fn an_answer_that_is_cut_off_is_given_again() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    fleet.operator().add_application(&package_with_noise("1.0.0", 2 << 20)).expect(201);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);
    let path = package_path(&press);
    for _ in 0..3 {
        let mut stream = fleet.http().connect();
        // Signed anew each time: the same request twice would be a replay.
        let nonce = format!("bytes={}-", stream.sock.local_addr().expect("a port").port());
        let request = press.signed("GET", &path, None, &[("range", &nonce)]);
        stream.write_all(&request.to_bytes()).expect("the server listens");
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("the answer begins");
        assert_eq!(&first, b"HTTP/1.1 206");
    }
    let whole = press.get(&path, &[]).expect(200).body;
    assert!(path.ends_with(&sha256(&whole)));
    nobody_is_left(&fleet);
}
