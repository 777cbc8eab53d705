//! The real `git` with a clone of one client's repository that lives as long as the client, and clones of a moment.

use std::collections::VecDeque;
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use testkit::{programs, wait};

/// So many fetches make so many packs; then they become one.
const FETCHES_BEFORE_REPACKING: u32 = 50;
const BRANCH: &str = "main:main";

/// The clone that lives long.
#[derive(Debug)]
pub(crate) struct Repository {
    folder: PathBuf,
    ca: PathBuf,
    url: String,
    authorization: String,
    fetches: u32,
}

impl Repository {
    /// An empty one in this folder, which is made.
    pub(crate) fn new(folder: &Path, ca: &Path) -> Self {
        let repository = Self {
            folder: folder.to_owned(),
            ca: ca.to_owned(),
            url: String::new(),
            authorization: String::new(),
            fetches: 0,
        };
        let path = folder.to_string_lossy();
        programs::stdout_of(&mut git(&[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            &path,
        ]));
        repository
    }

    /// Takes what the fleet manager tells the client of its repository.
    pub(crate) fn set_access(&mut self, access: &Value) {
        let text = |field: &str| access[field].as_str().expect("every field is text").to_owned();
        self.url = text("url");
        let pair = format!("{}:{}", text("username"), text("token"));
        self.authorization = format!("Authorization: Basic {}", STANDARD.encode(pair));
    }

    /// Fetches what is new, by fast-forward alone; else gives what git says.
    pub(crate) fn fetch(&mut self) -> Result<(), String> {
        self.fetches += 1;
        if self.fetches.is_multiple_of(FETCHES_BEFORE_REPACKING) {
            self.local(&["repack", "-a", "-d", "--quiet"])?;
        }
        let fetch = ["-C", &self.folder.to_string_lossy(), "fetch", "--quiet", &self.url, BRANCH];
        said(&mut self.speaking(&fetch)).map(drop)
    }

    /// As [`Repository::fetch`], of a server that is up again.
    pub(crate) fn fetch_patiently(&mut self) -> Result<(), String> {
        patiently(|| self.fetch())
    }

    /// The commits after this one, or all, the oldest first.
    pub(crate) fn commits_after(&self, commit: Option<&str>) -> Result<Vec<String>, String> {
        let range = commit.map_or("main".to_owned(), |it| format!("{it}..main"));
        let commits = self.local(&["rev-list", "--reverse", &range])?;
        Ok(String::from_utf8_lossy(&commits).lines().map(ToOwned::to_owned).collect())
    }

    /// The files of these names (`COMMIT:PATH`), as far as they are there.
    pub(crate) fn files(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut command = git(&["-C", &self.folder.to_string_lossy(), "cat-file", "--batch"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run git: {error}"))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let asked = names.join("\n") + "\n";
        // Git answers while it is asked, and would wait for somebody to listen.
        let asking = thread::spawn(move || stdin.write_all(asked.as_bytes()));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let asked = asking.join().expect("asking does not panic");
        if !output.status.success() || asked.is_err() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(read_batch(names.len(), output.stdout))
    }

    /// Checks every object, and that none is missing.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.local(&FSCK).and_then(|it| silence(&it))
    }

    /// Makes another clone, checks that as well, and that it has this commit in its history.
    pub(crate) fn check_another_clone(&self, commit: Option<&str>) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().to_string_lossy();
        let clone = ["clone", "--quiet", "--bare", &self.url, &path];
        patiently(|| said(&mut self.speaking(&clone)))?;
        said(git(&["-C", &path]).args(FSCK)).and_then(|it| silence(&it))?;
        if let Some(commit) = commit {
            let ask = ["-C", &path, "merge-base", "--is-ancestor", commit, "main"];
            said(&mut git(&ask)).map_err(|error| format!("{commit} is not in it: {error}"))?;
        }
        Ok(())
    }

    fn local(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        said(git(&["-C", &self.folder.to_string_lossy()]).args(arguments))
    }

    /// Git that speaks to the fleet manager as the client.
    fn speaking(&self, arguments: &[&str]) -> Command {
        let mut command = git(arguments);
        command
            .env("GIT_SSL_CAINFO", &self.ca)
            .env("GIT_CONFIG_COUNT", "3")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env("GIT_CONFIG_VALUE_0", &self.authorization)
            .env("GIT_CONFIG_KEY_1", "fetch.fsckObjects")
            .env("GIT_CONFIG_VALUE_1", "true")
            .env("GIT_CONFIG_KEY_2", "fetch.unpackLimit")
            .env("GIT_CONFIG_VALUE_2", "1");
        command
    }
}

const FSCK: [&str; 5] = ["fsck", "--full", "--strict", "--no-dangling", "--no-progress"];

/// `git`, without anybody's configuration, and without housekeeping behind our back.
fn git(arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// What it prints, or what it says against it.
fn said(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = programs::run(command);
    if output.status.success() {
        return Ok([output.stdout, output.stderr].concat());
    }
    let what: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
    Err(format!("git {}: {}", what.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// Whether this is what git says of a server that is too busy.
pub(crate) fn is_busy(said: &str) -> bool {
    said.contains("returned error: 503")
}

/// Asks again as long as the server is too busy.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    wait::until("Git to be served", || match ask() {
        Err(said) if is_busy(&said) => None,
        answer => Some(answer),
    })
}

fn silence(said: &[u8]) -> Result<(), String> {
    if said.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(said).into_owned()) }
}

/// `OBJECT TYPE SIZE`, the content and a line's end for each, or `NAME missing`.
fn read_batch(count: usize, bytes: Vec<u8>) -> Vec<Option<Vec<u8>>> {
    let mut left = VecDeque::from(bytes);
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        let line: Vec<u8> = left.iter().copied().take_while(|it| *it != b'\n').collect();
        left.drain(..(line.len() + 1).min(left.len()));
        let line = String::from_utf8_lossy(&line).into_owned();
        let size: Option<usize> =
            line.rsplit(' ').next().and_then(|it| it.parse().ok()).filter(|it| *it < left.len());
        files.push(size.map(|size| {
            let file = left.drain(..size).collect();
            left.pop_front();
            file
        }));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_answers_is_told_apart_and_what_is_missing_is_none() {
        let answer = b"1234 blob 5\nab\ncd\nname:x missing\n5678 blob 0\n\n".to_vec();
        let files = read_batch(3, answer);
        assert_eq!(files, [Some(b"ab\ncd".to_vec()), None, Some(Vec::new())]);
    }

    #[test]
    fn what_git_no_longer_answers_is_missing() {
        assert_eq!(read_batch(2, b"1234 blob 500\nabc".to_vec()), [None, None]);
    }
}
