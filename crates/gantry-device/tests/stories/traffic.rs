//! What the client puts on the wire while nothing changes: many devices pay for each kilobyte.

use testkit::device::TestDevice;
use testkit::wire::Polls;

use crate::support::PRESS;

/// The most bytes of an unchanged poll on a new connection.
const MOST: u64 = 2_000;

fn bytes_of_a_poll(source: &str) -> u64 {
    let configuration = format!("jitter_percent = 0\n[desired_state]\nsource = \"{source}\"\n");
    let polls = Polls::start(|fleet| TestDevice::start_with(fleet, PRESS, &configuration));
    polls.on_resumed_sessions()
}

#[test]
fn an_unchanged_poll_with_git_resumes_its_tls_session_and_is_small() {
    let bytes = bytes_of_a_poll("git");
    assert!((1..=MOST).contains(&bytes), "{bytes} bytes");
}

#[test]
fn an_unchanged_poll_over_http_resumes_its_tls_session_and_is_small() {
    let bytes = bytes_of_a_poll("http");
    assert!((1..=MOST).contains(&bytes), "{bytes} bytes");
}
