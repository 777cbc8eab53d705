//! What a client asks with Git, in version 2 of its protocol: the same bytes as `gantry-device` sends for a
//! poll, and for a fetch what its library does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The id of a commit, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit([u8; 40]);

impl Commit {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it was read from text")
    }
}

impl<T: ToString> From<T> for Commit {
    fn from(id: T) -> Self {
        let text = id.to_string();
        Self(text.as_bytes().try_into().expect("an id of SHA-1 has 40 digits"))
    }
}

/// The value of the header `Authorization`.
pub(crate) fn authorization(username: &str, token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{token}")))
}

/// What is the newest commit?
pub(crate) fn glance() -> Vec<u8> {
    let command = packet("command=ls-refs\n") + &packet("object-format=sha1\n") + "0001";
    (command + &packet("ref-prefix refs/heads/main\n") + "0000").into_bytes()
}

/// What is there to fetch?
pub(crate) fn list() -> Vec<u8> {
    let arguments = ["symrefs\n", "peel\n", "ref-prefix refs/heads/main\n"];
    (command("ls-refs") + &arguments.map(packet).concat() + "0000").into_bytes()
}

/// Everything up to this commit, of which the other one is there already.
pub(crate) fn fetch(newest: Commit, former: Option<Commit>) -> Vec<u8> {
    let arguments = ["thin-pack\n", "ofs-delta\n"].map(packet).concat();
    let want = packet(&format!("want {}\n", newest.as_str()));
    let have = former.map(|it| packet(&format!("have {}\n", it.as_str()))).unwrap_or_default();
    (command("fetch") + &arguments + &want + &have + &packet("done\n") + "0000").into_bytes()
}

/// The commit that an answer names first.
pub(crate) fn newest(answer: &[u8]) -> Option<Commit> {
    let line = answer.get(4..44)?;
    let is_id = line.iter().all(u8::is_ascii_hexdigit);
    is_id.then(|| Commit(line.try_into().expect("it has 40 bytes")))
}

/// Whether an answer holds a pack.
pub(crate) fn has_pack(answer: &[u8]) -> bool {
    answer.windows(4).any(|it| it == b"PACK")
}

fn command(name: &str) -> String {
    packet(&format!("command={name}\n"))
        + &packet("agent=git/oxide-0.90.0\n")
        + &packet("object-format=sha1\n")
        + "0001"
}

fn packet(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_what_the_device_client_sends() {
        let expected =
            "0014command=ls-refs\n0017object-format=sha1\n0001001fref-prefix refs/heads/main\n0000";
        assert_eq!(glance(), expected.as_bytes());
    }

    #[test]
    fn the_newest_commit_is_read_from_the_answer() {
        let id = "536d0c69466aa5e30d400aa59e94a25ca7af35ee";
        let answer = format!("003d{id} refs/heads/main\n0000");
        assert_eq!(newest(answer.as_bytes()), Some(Commit::from(id)));
        assert_eq!(newest(b"0000"), None);
    }
}
