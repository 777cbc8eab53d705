//! What is read, what is refused, and that nothing that a stranger sends does harm.

use proptest::prelude::*;

use super::*;
use crate::pkt_line;

const VERSIONS: [Version; 3] = [Version::V0, Version::V1, Version::V2];

fn body(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "0001" => pkt_line::write_delimiter(&mut out),
            "0000" => pkt_line::write_flush(&mut out),
            line => pkt_line::write(&mut out, format!("{line}\n").as_bytes()),
        }
    }
    out
}

fn id(digit: char) -> String {
    digit.to_string().repeat(40)
}

#[track_caller]
fn malformed(version: Version, body: &[u8]) {
    let read = Request::parse(version, body);
    assert!(matches!(read, Err(RequestError::Malformed(_))), "{version:?} {read:?}");
}

#[track_caller]
fn refused(version: Version, lines: &[&str]) -> Refusal {
    match Request::parse(version, &body(lines)) {
        Err(RequestError::Refused(refusal)) => refusal,
        read => panic!("{version:?} {lines:?}: {read:?}"),
    }
}

#[test]
fn a_request_that_only_ends_wants_nothing() {
    for version in VERSIONS {
        assert_eq!(Request::parse(version, b"0000"), Ok(Request::Nothing), "{version:?}");
    }
}

#[test]
fn a_command_of_version_2_is_not_one_of_version_0() {
    let command = body(&["command=ls-refs", "0000"]);
    assert!(matches!(Request::parse(Version::V2, &command), Ok(Request::ListReferences(_))));
    malformed(Version::V0, &command);
    let want = format!("want {} multi_ack", id('a'));
    let fetch = body(&[&want, "0000", "done"]);
    assert!(matches!(Request::parse(Version::V0, &fetch), Ok(Request::Fetch(_))));
    assert_eq!(Request::parse(Version::V0, &fetch), Request::parse(Version::V1, &fetch));
    malformed(Version::V2, &fetch);
}

#[test]
fn bytes_that_no_git_sends_are_malformed() {
    let want = format!("want {}", id('a'));
    let have = format!("have {}", id('b'));
    for version in VERSIONS {
        for bytes in [&b""[..], b"000", b"0003", b"00ff", b"GET /", b"0004", b"0002", b"0001"] {
            malformed(version, bytes);
        }
    }
    for lines in [
        &["want x", "0000"][..],
        &["command=push", "0000"],
        &["command=fetch"],
        &["command=fetch", "0001", "want 12", "0000"],
        &["command=fetch", "0001", &want, "deepen 0", "0000"],
        &["command=fetch", "0001", &want, "deepen many", "0000"],
        &["command=fetch", "0001", &want, "what", "0000"],
        &["command=fetch", "0001", "0001", "0000"],
        &["command=ls-refs", "0001", "what", "0000"],
        &["command=fetch", "0001", &want],
    ] {
        malformed(Version::V2, &body(lines));
    }
    let shallow = format!("shallow {}", id('a'));
    for lines in [
        &["want x", "0000"][..],
        &[&have, "0000"],
        &[&shallow, &want, "0000"],
        &["deepen 1", &want, "0000"],
        &[&want],
        &[&want, "deepen -1", "0000", "done"],
        &[&want, &have, "0000", "done"],
        &[&want, "0000", &have],
        &[&want, "0000", &want, "0000"],
        &[&want, "0000", "have x", "0000"],
        &[&want, "0000", "0001", "0000"],
        &[&want, "0000", "done now"],
    ] {
        malformed(Version::V0, &body(lines));
    }
}

#[test]
fn what_git_may_ask_for_but_is_not_served_is_refused_in_words() {
    let want = format!("want {}", id('a'));
    let other_hash = format!("{want} object-format=sha256");
    for argument in ["deepen-since 7", "deepen-not refs/heads/main", "filter blob:none"] {
        let name = argument.split(' ').next().unwrap_or_default().to_owned();
        let refusal = Refusal::Argument(name);
        let command = ["command=fetch", "0001", &want, argument, "0000"];
        assert_eq!(refused(Version::V2, &command), refusal);
        assert_eq!(refused(Version::V0, &[&want, argument, "0000", "done"]), refusal);
    }
    assert_eq!(refused(Version::V0, &[&other_hash, "0000", "done"]), Refusal::ObjectFormat);
    for (lines, refusal) in [
        (&["command=fetch", "0001", "done", "0000"][..], Refusal::NothingWanted),
        (&["command=fetch", "0000"], Refusal::NothingWanted),
        (
            &["command=fetch", "object-format=sha256", "0001", &want, "done", "0000"],
            Refusal::ObjectFormat,
        ),
    ] {
        assert_eq!(refused(Version::V2, lines), refusal);
    }
}

#[test]
fn wants_and_shallow_commits_have_a_bound_and_haves_are_forgotten_beyond_one() {
    let many = |name: &str| {
        let mut lines = vec![format!("want {}", id('a')), "0000".to_owned(), "done".to_owned()];
        let place = if name == "have" { 2 } else { 1 };
        let more = std::iter::repeat_n(format!("{name} {}", id('b')), 20_000);
        lines.splice(place..place, more);
        body(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for name in ["want", "shallow"] {
        let read = Request::parse(Version::V0, &many(name));
        let refusal = Refusal::TooMany { name, most: 4_096 };
        assert_eq!(read, Err(RequestError::Refused(refusal)));
    }
    let Ok(Request::Fetch(fetch)) = Request::parse(Version::V0, &many("have")) else {
        panic!("a client may have a long history");
    };
    assert_eq!(fetch.commits().len(), 2);
    assert!(size_of_val(&fetch) < 1_000);
}

#[test]
fn errors_repeat_little_of_what_a_stranger_sent() {
    let line = format!("\u{1b}[2J\u{7}{}", "x".repeat(1_000));
    let error = Request::parse(Version::V0, &body(&[&line, "0000"])).expect_err("nonsense");
    let error = error.to_string();
    assert!(error.len() < 120, "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

/// Lines that nearly are those of Git, and bytes that are not.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![Just(id('a')), Just(id('b')), "[0-9a-f]{0,41}"];
    let line = prop_oneof![
        Just("command=fetch".to_owned()),
        Just("command=ls-refs".to_owned()),
        Just("done".to_owned()),
        id.clone().prop_map(|id| format!("want {id} side-band multi_ack_detailed no-done")),
        (prop_oneof!["want", "have", "shallow"], id).prop_map(|(name, id)| format!("{name} {id}")),
        "(deepen|ref-prefix|agent=|filter) ?[0-9a-z/]{0,20}",
        "[ -~]{0,20}",
    ];
    let packet = prop_oneof![
        8 => line.prop_map(|line| body(&[&line])),
        2 => prop_oneof!["0000", "0001"].prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(packet, 0..12).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(
        bytes in prop_oneof![packets(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        for version in VERSIONS {
            let _ = Request::parse(version, &bytes);
        }
    }

    /// The beginning of a request is never a request: an attacker cannot make one by cutting.
    #[test]
    fn a_request_that_is_cut_inside_its_last_packet_is_malformed(cut in 1_usize..4) {
        let want = format!("want {}", id('a'));
        for (version, lines) in [
            (Version::V2, &["command=fetch", "0001", want.as_str(), "0000"][..]),
            (Version::V0, &[want.as_str(), "0000", "done"]),
        ] {
            let whole = body(lines);
            let truncated = RequestError::Malformed(PacketError::Truncated.into());
            prop_assert_eq!(
                Request::parse(version, &whole[..whole.len() - cut]),
                Err(truncated)
            );
        }
    }
}
