//! A poll that costs one small request: the one command of Git's protocol that names the newest commit,
//! without the handshake before it. Whatever is odd about the answer, a whole fetch finds out.

use gix::bstr::ByteSlice as _;

use super::RepositoryAccess;
use super::transport::Http;
use crate::fleet_manager::{Ask, Incoming, LinkError};

/// What is asked: the reference of one branch, in protocol version 2.
fn question(branch: &str) -> Vec<u8> {
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let prefix = line(&format!("ref-prefix refs/heads/{branch}\n"));
    [&line("command=ls-refs\n"), &line("object-format=sha1\n"), "0001", &prefix, "0000"]
        .concat()
        .into_bytes()
}

/// The newest commit of the branch in the answer, in hexadecimal.
fn newest(answer: &[u8], branch: &str) -> Option<String> {
    let (digits, rest) = answer.split_at_checked(4)?;
    let length = usize::from_str_radix(digits.to_str().ok()?, 16).ok()?;
    let line = rest.get(..length.checked_sub(4)?)?.to_str().ok()?;
    let (commit, name) = line.trim_end().split_once(' ')?;
    (name == format!("refs/heads/{branch}") && commit.len() == 40).then(|| commit.to_owned())
}

/// Whether the newest commit is still this one. An error means that nobody is there to be asked more.
pub(super) fn is_newest(
    http: &Http,
    access: &RepositoryAccess,
    commit: &str,
) -> Result<bool, LinkError> {
    let url = format!("{}/git-upload-pack", access.url);
    let headers = [
        "content-type: application/x-git-upload-pack-request".to_owned(),
        "accept: application/x-git-upload-pack-result".to_owned(),
        "git-protocol: version=2".to_owned(),
    ];
    let question = question(&access.branch);
    let answer = http.open(Ask::GitGlance, &url, &headers, Some(&question));
    match answer.and_then(Incoming::read) {
        Ok(answer) => Ok(newest(&answer.body, &access.branch).as_deref() == Some(commit)),
        Err(error @ (LinkError::Unreachable(_) | LinkError::Quiet(_))) => Err(error),
        Err(error) if error.retry_after().is_some() => Err(error),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "536d0c69466aa5e30d400aa59e94a25ca7af35ee";

    #[test]
    fn a_question_is_framed_in_packets() {
        let text = String::from_utf8(question("main")).expect("it is text");
        assert_eq!(
            text,
            "0014command=ls-refs\n0017object-format=sha1\n0001001fref-prefix refs/heads/main\n0000"
        );
    }

    #[test]
    fn only_a_clear_answer_names_the_newest_commit() {
        let line = format!("003d{COMMIT} refs/heads/main\n0000");
        assert_eq!(newest(line.as_bytes(), "main").as_deref(), Some(COMMIT));
        for odd in ["", "0000", "zzzz", "ffff", "0003", "0008ERR ", &line[..30], "0009 a b\n"] {
            assert_eq!(newest(odd.as_bytes(), "main"), None, "{odd}");
        }
        assert_eq!(newest(line.as_bytes(), "other"), None);
    }
}
