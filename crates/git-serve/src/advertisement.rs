//! The answer to `GET .../info/refs?service=...`: what the server can do and, before version 2, which
//! references there are.

use gix_hash::ObjectId;

use crate::version::Version;
use crate::{BRANCH, pkt_line};

/// What clients of versions 0 and 1 may ask for. Packs have no deltas, so that those who ask for thin
/// packs or for deltas by offset get what they can read. Any commit may be wanted: a newer one can be
/// published between the advertisement and the request that follows it.
const CAPABILITIES: &str = "multi_ack multi_ack_detailed no-done thin-pack side-band side-band-64k \
    ofs-delta shallow deepen-relative no-progress include-tag allow-tip-sha1-in-want \
    allow-reachable-sha1-in-want object-format=sha1";

/// The capabilities in version 2. They do not depend on the repository.
pub fn capabilities(agent: &str) -> Vec<u8> {
    let mut out = opening("git-upload-pack");
    let agent = format!("agent={agent}");
    for line in ["version 2", &agent, "ls-refs=unborn", "fetch=shallow", "object-format=sha1"] {
        pkt_line::write(&mut out, format!("{line}\n").as_bytes());
    }
    pkt_line::write_flush(&mut out);
    out
}

/// The references in versions 0 and 1 of a repository whose newest commit is `head`; none of an empty
/// one.
pub fn references(version: Version, agent: &str, head: Option<ObjectId>) -> Vec<u8> {
    let mut out = opening("git-upload-pack");
    if version == Version::V1 {
        pkt_line::write(&mut out, b"version 1\n");
    }
    let capabilities = format!("{CAPABILITIES} agent={agent}");
    match head {
        Some(head) => {
            let symref = format!("symref=HEAD:{BRANCH}");
            let first = format!("{head} HEAD\0{capabilities} {symref}\n");
            pkt_line::write(&mut out, first.as_bytes());
            pkt_line::write(&mut out, format!("{head} {BRANCH}\n").as_bytes());
        }
        None => {
            let nothing = ObjectId::null(gix_hash::Kind::Sha1);
            let only = format!("{nothing} capabilities^{{}}\0{capabilities}\n");
            pkt_line::write(&mut out, only.as_bytes());
        }
    }
    pkt_line::write_flush(&mut out);
    out
}

/// A refusal that clients of every make show to their users, if it comes with status 200: of other answers
/// most show the status and nothing else.
pub fn refusal(service: &str, sentence: &str) -> Vec<u8> {
    let mut out = opening(service);
    pkt_line::write_error(&mut out, sentence);
    out
}

fn opening(service: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write(&mut out, format!("# service={service}\n").as_bytes());
    pkt_line::write_flush(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::Packet;

    fn lines(mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let (packet, rest) = pkt_line::read(bytes).expect("packets");
            bytes = rest;
            lines.push(match packet {
                Packet::Data(line) => String::from_utf8_lossy(line).into_owned(),
                Packet::Flush => "0000".to_owned(),
                Packet::Delimiter => "0001".to_owned(),
            });
        }
        lines
    }

    #[test]
    fn versions_0_and_1_list_the_references_and_the_first_names_the_capabilities() {
        let head = ObjectId::from_hex(&[b'a'; 40]).expect("an id");
        let lines = |version| lines(&references(version, "gantry/1", Some(head)));
        let oldest = lines(Version::V0);
        let head_line = oldest[2].strip_suffix(" symref=HEAD:refs/heads/main\n");
        let (reference, capabilities) =
            head_line.and_then(|it| it.split_once('\0')).expect("a reference and capabilities");
        assert_eq!(reference, format!("{head} HEAD"));
        assert!(capabilities.ends_with(" agent=gantry/1"), "{capabilities}");
        assert!(!capabilities.contains("  "), "{capabilities}");
        let others = ["# service=git-upload-pack\n", "0000", "0000"].map(str::to_owned);
        assert_eq!([&oldest[..2], &oldest[4..]].concat(), others);
        assert_eq!(oldest[3], format!("{head} refs/heads/main\n"));

        let mut with_version = oldest;
        with_version.insert(2, "version 1\n".to_owned());
        assert_eq!(lines(Version::V1), with_version);
    }

    #[test]
    fn an_empty_repository_has_capabilities_all_the_same() {
        let lines = lines(&references(Version::V0, "gantry/1", None));
        let nothing = format!("{} capabilities^{{}}\0multi_ack ", "0".repeat(40));
        assert!(lines[2].starts_with(&nothing), "{lines:?}");
        assert!(!lines[2].contains("symref"), "there is nothing that HEAD could lead to");
        assert_eq!(lines[3..], ["0000"]);
    }

    #[test]
    fn a_refusal_is_an_error_of_the_service_that_was_asked_for() {
        let lines = lines(&refusal("git-receive-pack", "not here"));
        assert_eq!(lines, ["# service=git-receive-pack\n", "0000", "ERR not here"]);
    }
}
