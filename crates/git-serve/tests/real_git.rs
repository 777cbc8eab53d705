//! What the real `git` makes of answers that a running fleet manager hardly ever gives: it publishes the
//! first revision of a client at once, so its repositories are empty for moments only.

use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use git_serve::pkt_line;
use git_serve::request::Request;
use git_serve::version::Version;
use git_serve::{BRANCH, advertisement};

/// Runs `git` with a "server" that says what it has to say whatever it hears.
fn git(folder: &Path, version: &str, answers: &[u8], arguments: &[&str]) -> Output {
    fs::write(folder.join("answers"), answers).expect("a file can be written");
    Command::new("git")
        .args(["-c", "protocol.ext.allow=always", "-c"])
        .arg(format!("protocol.version={version}"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git can be run")
}

/// All that the server of an empty repository says to a client that wants to clone it.
fn answers_of_an_empty_repository(version: Version) -> Vec<u8> {
    let advertisement = match version {
        Version::V2 => advertisement::capabilities("gantry/1"),
        Version::V0 | Version::V1 => advertisement::references(version, "gantry/1", None),
    };
    // Only over HTTP the service is named first.
    let mut answers = advertisement
        .strip_prefix(b"001e# service=git-upload-pack\n0000")
        .expect("the service is named first")
        .to_vec();
    if version == Version::V2 {
        let mut request = Vec::new();
        pkt_line::write(&mut request, b"command=ls-refs\n");
        pkt_line::write_delimiter(&mut request);
        for argument in ["peel", "symrefs", "unborn", "ref-prefix HEAD", "ref-prefix refs/heads/"] {
            pkt_line::write(&mut request, argument.as_bytes());
        }
        pkt_line::write_flush(&mut request);
        let Ok(Request::ListReferences(request)) = Request::parse(version, &request) else {
            panic!("git asks like this");
        };
        answers.extend(request.answer(None));
    }
    answers
}

#[test]
fn git_clones_an_empty_repository_in_every_version() {
    for (name, version) in [("0", Version::V0), ("1", Version::V1), ("2", Version::V2)] {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let answers = answers_of_an_empty_repository(version);
        let clone =
            ["-c", "init.defaultBranch=trunk", "clone", "--quiet", "ext::cat answers -", "it"];
        let cloned = git(folder.path(), name, &answers, &clone);
        assert!(cloned.status.success(), "version {name}: {cloned:?}");
        let said = String::from_utf8_lossy(&cloned.stderr);
        assert_eq!(said.trim(), "warning: You appear to have cloned an empty repository.");

        let head = git(folder.path(), name, b"", &["-C", "it", "symbolic-ref", "HEAD"]);
        let branch = if version == Version::V2 { BRANCH } else { "refs/heads/trunk" };
        assert_eq!(String::from_utf8_lossy(&head.stdout).trim(), branch, "version {name}");
    }
}
