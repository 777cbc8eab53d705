//! The answer to `GET .../info/refs?service=git-upload-pack`: what the server can do.

use crate::pkt_line;

/// The capabilities in protocol version 2.
pub fn capabilities(agent: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write(&mut out, b"# service=git-upload-pack\n");
    pkt_line::write_flush(&mut out);
    for line in
        ["version 2", &format!("agent={agent}"), "ls-refs", "fetch=shallow", "object-format=sha1"]
    {
        pkt_line::write(&mut out, format!("{line}\n").as_bytes());
    }
    pkt_line::write_flush(&mut out);
    out
}

/// The answer to a client that asks in another version: an error that it shows to its user.
pub fn unsupported_version() -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write(&mut out, b"# service=git-upload-pack\n");
    pkt_line::write_flush(&mut out);
    let text =
        "ERR this server speaks version 2 of Git's protocol only: `git -c protocol.version=2`\n";
    pkt_line::write(&mut out, text.as_bytes());
    pkt_line::write_flush(&mut out);
    out
}

/// Whether the header `Git-Protocol` asks for version 2.
pub fn wants_version_2(git_protocol: Option<&str>) -> bool {
    git_protocol.is_some_and(|it| it.split(':').any(|pair| pair.trim() == "version=2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_among_other_words() {
        assert!(wants_version_2(Some("version=2")));
        assert!(wants_version_2(Some("x=y:version=2")));
        assert!(!wants_version_2(Some("version=1")));
        assert!(!wants_version_2(None));
    }
}
