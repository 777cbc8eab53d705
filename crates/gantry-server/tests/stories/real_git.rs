//! The real `git` with what one client knows, and the requests of which it consists.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::programs;

/// What a version asks for in a header.
pub(crate) const VERSION_1: (&str, &str) = ("git-protocol", "version=1");
pub(crate) const VERSION_2: (&str, &str) = ("git-protocol", "version=2");

/// What the fleet manager tells a client of its repository.
pub(crate) fn repository(client: &TestClient) -> Value {
    client.get(&client.path("/repository"), &[]).expect(200).json()
}

pub(crate) fn text<'a>(repository: &'a Value, field: &str) -> &'a str {
    repository[field].as_str().expect("every field is text")
}

pub(crate) fn basic(username: &str, token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{token}")))
}

/// The real `git`, in a home of its own, with what one client knows.
pub(crate) struct Git {
    pub(crate) home: TempDir,
    ca: PathBuf,
    pub(crate) url: String,
    username: String,
    pub(crate) token: String,
    /// Of the protocol; without one `git` chooses.
    version: Option<&'static str>,
}

impl Git {
    pub(crate) fn of(fleet: &TestFleet, client: &TestClient) -> Self {
        let repository = repository(client);
        Self {
            home: tempfile::tempdir().expect("a temporary directory can be made"),
            ca: fleet.ca(),
            url: text(&repository, "url").to_owned(),
            username: text(&repository, "username").to_owned(),
            token: text(&repository, "token").to_owned(),
            version: None,
        }
    }

    /// As [`Git::of`], in one version of the protocol.
    pub(crate) fn speaking(version: &'static str, fleet: &TestFleet, client: &TestClient) -> Self {
        Self { version: Some(version), ..Self::of(fleet, client) }
    }

    /// `git`, which asks a program of ours for user name and token when the server wants them.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSL_CAINFO", &self.ca)
            .env("GIT_ASKPASS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories/askpass"))
            .env("GIT_USER", &self.username)
            .env("GIT_TOKEN", &self.token);
        for person in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{person}_NAME"), "somebody");
            command.env(format!("GIT_{person}_EMAIL"), "somebody@example.com");
        }
        if let Some(version) = self.version {
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "protocol.version")
                .env("GIT_CONFIG_VALUE_0", version);
        }
        command
    }

    pub(crate) fn stdout(&self, arguments: &[&str]) -> String {
        programs::stdout_of(&mut self.command(arguments))
    }

    pub(crate) fn number(&self, arguments: &[&str]) -> u64 {
        self.stdout(arguments).trim().parse().expect("git prints a number")
    }

    /// What `git` says when it does not succeed.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        refusal(&programs::run(&mut self.command(arguments)))
    }

    /// Clones into `checkout`, which may be there from before, and gives that folder.
    pub(crate) fn clone(&self, options: &[&str]) -> PathBuf {
        let checkout = self.home.path().join("checkout");
        let _ = fs::remove_dir_all(&checkout);
        self.stdout(&[&["clone", "--quiet"], options, &[&self.url, "checkout"]].concat());
        checkout
    }

    pub(crate) fn in_checkout(&self, arguments: &[&str]) -> String {
        self.stdout(&[&["-C", "checkout"], arguments].concat())
    }

    pub(crate) fn commits(&self) -> u64 {
        self.number(&["-C", "checkout", "rev-list", "--count", "origin/main"])
    }

    pub(crate) fn objects(&self) -> u64 {
        let counts = self.in_checkout(&["count-objects", "-v"]);
        let count = |name: &str| -> u64 {
            let line = counts.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|it| it.parse().ok()).expect("git counts its objects")
        };
        count("count") + count("in-pack")
    }

    /// Checks every object and that none is missing. What a smaller depth has left over is no fault.
    pub(crate) fn assert_sound(&self) {
        let fsck =
            ["-C", "checkout", "fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
        let output = programs::run(&mut self.command(&fsck));
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

pub(crate) fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sends a request for a client's repository, with its token.
pub(crate) fn send(
    fleet: &TestFleet,
    client: &TestClient,
    method: &str,
    below: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Answer {
    let repository = repository(client);
    let authorization = basic(client.id(), text(&repository, "token"));
    let headers = [&[("authorization", authorization.as_str())], headers].concat();
    let path = format!("/git/{}.git/{below}", client.id());
    fleet.http().send(method, &path, &headers, body)
}

/// Lines as a request has them; `0000` and `0001` stand for themselves.
pub(crate) fn packets(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}
