//! What every Git client has to get, in each version of the protocol: asked for by the real `git`, and
//! byte by byte where `git` would not ask for it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tempfile::TempDir;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::programs;

use crate::support::fleet_with_deployment;

const VERSIONS: [&str; 3] = ["0", "1", "2"];
/// What a version asks for in the header `Git-Protocol`.
const VERSION_1: (&str, &str) = ("git-protocol", "version=1");
const VERSION_2: (&str, &str) = ("git-protocol", "version=2");
const NOBODYS_COMMIT: &str = "7777777777777777777777777777777777777777";

/// A client's repository: the real `git` in a folder of its own, and bare requests.
struct Repository {
    fleet: TestFleet,
    client: TestClient,
    deployment: String,
    folder: TempDir,
    revision: u64,
}

impl Repository {
    /// With as many revisions as this, from the second on with a deployment.
    fn with_revisions(count: u64) -> Self {
        let (fleet, client, deployment) = fleet_with_deployment();
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let mut repository = Self { fleet, client, deployment, folder, revision: 2 };
        while repository.revision < count {
            let greeting = format!("Hello {}", repository.revision);
            repository.publish(&greeting);
        }
        repository
    }

    /// Publishes one more revision.
    fn publish(&mut self, greeting: &str) {
        self.revision += 1;
        let order = json!({"parameters": {"greeting": greeting}});
        let path = format!("/deployments/{}", self.deployment);
        self.fleet.operator().send("PATCH", &path, Some(&order)).expect(200);
        self.fleet.operator().revision_reached(self.client.id(), self.revision);
    }

    fn credentials(&self) -> (String, String) {
        let access = self.client.get(&self.client.path("/repository"), &[]).expect(200).json();
        let token = access["token"].as_str().expect("a token is text");
        (self.client.id().to_owned(), token.to_owned())
    }

    /// The address with user name and token.
    fn url(&self) -> String {
        let (username, token) = self.credentials();
        let host = self.fleet.url().replacen("https://", "", 1);
        format!("https://{username}:{token}@{host}/git/{username}.git")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, version: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-c")
            .arg(format!("protocol.version={version}"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSL_CAINFO", self.fleet.ca());
        for person in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{person}_NAME"), "somebody");
            command.env(format!("GIT_{person}_EMAIL"), "somebody@example.com");
        }
        command
    }

    fn run(&self, version: &str, arguments: &[&str]) -> String {
        programs::stdout_of(&mut self.git(version, arguments))
    }

    /// Runs `git` in a clone that is called after the version.
    fn in_clone(&self, version: &str, arguments: &[&str]) -> String {
        self.run(version, &[&["-C", version], arguments].concat())
    }

    fn clone(&self, version: &str, options: &[&str]) {
        let _ = fs::remove_dir_all(self.path(version));
        let url = self.url();
        self.run(version, &[&["clone", "--quiet"], options, &[&url, version]].concat());
    }

    /// How many commits the clone has, after a check that it has everything that they need.
    fn sound_commits(&self, version: &str) -> u64 {
        let fsck = ["-C", version, "fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
        let output = programs::run(&mut self.git(version, &fsck));
        let said = text(&[output.stdout, output.stderr].concat());
        assert!(output.status.success() && said.is_empty(), "version {version}: {said}");
        let count = self.in_clone(version, &["rev-list", "--count", "--all"]);
        count.trim().parse().expect("git prints a number")
    }

    /// Sends a request that no `git` makes.
    fn send(&self, method: &str, below: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (username, token) = self.credentials();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{username}:{token}")));
        let headers = [&[("authorization", authorization.as_str())], headers].concat();
        let path = format!("/git/{username}.git/{below}");
        let body = if method == "GET" { None } else { Some(body) };
        self.fleet.http().send(method, &path, &headers, body)
    }

    fn upload_pack(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", "git-upload-pack", headers, body)
    }

    fn newest_commit(&self) -> String {
        self.run("2", &["ls-remote", &self.url(), "HEAD"])[..40].to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `git` said when it failed.
fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    text(&output.stderr)
}

fn packets(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

#[test]
fn every_version_lists_clones_follows_and_mirrors() {
    let mut repository = Repository::with_revisions(4);
    for version in VERSIONS {
        let listed = repository.run(version, &["ls-remote", "--symref", &repository.url()]);
        let head = repository.newest_commit();
        let lines = format!("ref: refs/heads/main\tHEAD\n{head}\tHEAD\n{head}\trefs/heads/main\n");
        assert_eq!(listed, lines, "version {version}");
        repository.clone(version, &["--config", "fetch.fsckObjects=true"]);
        assert_eq!(repository.sound_commits(version), 4, "version {version}");
    }
    repository.publish("Moin");
    for version in VERSIONS {
        for _ in ["something new", "nothing new"] {
            repository.in_clone(version, &["pull", "--quiet", "--ff-only"]);
            assert_eq!(repository.sound_commits(version), 5, "version {version}");
        }
        repository.clone(version, &["--mirror"]);
        assert_eq!(repository.sound_commits(version), 5, "version {version}");
    }
}

#[test]
fn in_every_version_a_shallow_clone_can_be_followed_deepened_and_made_whole() {
    let mut repository = Repository::with_revisions(7);
    for version in VERSIONS {
        repository.clone(version, &["--depth", "1"]);
        assert_eq!(repository.sound_commits(version), 1, "version {version}");
    }
    repository.publish("Moin");
    for version in VERSIONS {
        for (fetch, commits) in [
            (&["fetch", "--quiet"][..], 2),
            (&["fetch", "--quiet", "--deepen", "2"], 4),
            (&["fetch", "--quiet", "--depth", "1"], 1),
            (&["fetch", "--quiet", "--depth", "5"], 5),
            (&["fetch", "--quiet", "--unshallow"], 8),
        ] {
            repository.in_clone(version, fetch);
            // The local branch stays where it was: what it has beyond a smaller depth is cut off.
            repository.in_clone(version, &["update-ref", "refs/heads/main", "origin/main"]);
            assert_eq!(repository.sound_commits(version), commits, "version {version} {fetch:?}");
        }
        let shallow = repository.in_clone(version, &["rev-parse", "--is-shallow-repository"]);
        assert_eq!(shallow, "false\n");
    }
}

#[test]
fn in_every_version_an_older_commit_can_be_fetched_by_its_id() {
    let repository = Repository::with_revisions(5);
    repository.clone("2", &[]);
    let older = repository.in_clone("2", &["rev-parse", "HEAD~2"]);
    for version in VERSIONS {
        repository.clone(version, &["--depth", "1"]);
        let fetch = ["fetch", "--quiet", "--depth", "2", "origin", older.trim()];
        repository.in_clone(version, &fetch);
        let fetched = repository.in_clone(version, &["rev-list", "--count", "FETCH_HEAD"]);
        assert_eq!(fetched, "2\n", "version {version}");
        repository.sound_commits(version);
    }
}

#[test]
fn content_that_was_replaced_and_came_back_is_sent_once() {
    let mut repository = Repository::with_revisions(2);
    for greeting in ["Moin", "Hello", "Moin", "Hello"] {
        repository.publish(greeting);
    }
    for version in VERSIONS {
        for options in [&[][..], &["--depth", "2"], &["--depth", "4"]] {
            let checked = [&["--config", "fetch.fsckObjects=true"], options].concat();
            repository.clone(version, &checked);
            repository.sound_commits(version);
        }
    }
}

/// Makes a repository with a history of its own and fetches ours into it; what `git` sent and read.
fn fetch_into_strange_history(repository: &Repository, version: &str, commits: u64) -> String {
    let _ = fs::remove_dir_all(repository.path(version));
    repository.run(version, &["init", "--quiet", version]);
    let history: String = (1..=commits)
        .map(|it| {
            let time = 2_000_000_000 + it;
            format!("commit refs/heads/mine\ncommitter me <me@example.com> {time} +0000\ndata 0\n")
        })
        .collect();
    fs::write(repository.path("history"), history).expect("a file can be written");
    let mut import = repository.git(version, &["-C", version, "fast-import", "--quiet"]);
    let history = fs::File::open(repository.path("history")).expect("the file is there");
    programs::stdout_of(import.stdin(history));

    let fetch = ["-C", version, "fetch", "--quiet", &repository.url(), "main:theirs"];
    let mut fetch = repository.git(version, &fetch);
    let trace = repository.path(&format!("trace-{version}"));
    fetch.env("GIT_TRACE_CURL", &trace).env("GIT_TRACE_PACKET", &trace);
    programs::stdout_of(&mut fetch);
    let fetched = repository.in_clone(version, &["rev-list", "--count", "theirs"]);
    assert_eq!(fetched, format!("{}\n", repository.revision), "version {version}");
    fs::read_to_string(trace).expect("git traces what it does")
}

#[test]
fn in_every_version_a_client_with_a_history_of_its_own_gets_ours() {
    let repository = Repository::with_revisions(3);
    for version in VERSIONS {
        let trace = fetch_into_strange_history(&repository, version, 100);
        let haves = trace.lines().filter(|it| it.contains("fetch> have ")).count();
        assert!(haves >= 40 || version != "2", "only {haves} unknown commits were named");
        let packed = trace.to_ascii_lowercase().contains("content-encoding: gzip");
        assert!(packed, "version {version}: git compresses long requests");
    }
    let trace = fetch_into_strange_history(&repository, "2", 2_000);
    let haves = trace.lines().filter(|it| it.contains("fetch> have ")).count();
    assert!(haves < 600, "the server has seen enough, but git named {haves} commits");
}

#[test]
fn a_push_is_refused_in_words_that_git_shows() {
    let repository = Repository::with_revisions(2);
    for version in VERSIONS {
        repository.clone(version, &[]);
        repository.in_clone(version, &["commit", "--quiet", "--allow-empty", "-m", "mine"]);
        let push = repository.git(version, &["-C", version, "push"]).output();
        let said = refusal(&push.expect("git can be run"));
        let expected = "fatal: remote error: this repository is written by the fleet manager only; \
                        nothing can be pushed\n";
        assert_eq!(said, expected, "version {version}");
    }
    let head = repository.newest_commit();
    let update = format!("{head} {NOBODYS_COMMIT} refs/heads/main\0report-status");
    let answer = repository.send("POST", "git-receive-pack", &[], &packets(&[&update, "0000"]));
    assert!(answer.expect(403).text().contains("nothing can be pushed"));
    assert_eq!(repository.newest_commit(), head);
}

#[test]
fn what_cannot_be_served_is_refused_in_words_that_git_shows() {
    let repository = Repository::with_revisions(2);
    let url = repository.url();
    let dumb = repository.git("0", &["ls-remote", &url]).env("GIT_SMART_HTTP", "0").output();
    let said = refusal(&dumb.expect("git can be run"));
    assert!(said.starts_with("remote: only the smart HTTP protocol"), "{said}");

    let since = ["clone", "--shallow-since=2020-01-01", &url, "since"];
    let said = refusal(&programs::run(&mut repository.git("2", &since)));
    assert!(said.contains("remote error: `deepen-since` is not served here"), "{said}");

    repository.run("2", &["init", "--quiet", "empty"]);
    for version in VERSIONS {
        let fetch = ["-C", "empty", "fetch", &url, NOBODYS_COMMIT];
        let said = refusal(&programs::run(&mut repository.git(version, &fetch)));
        let expected = format!("remote error: the object {NOBODYS_COMMIT} is not a commit");
        assert!(said.contains(&expected), "version {version}: {said}");
    }
}

#[test]
fn only_version_1_begins_with_its_number_and_only_version_2_without_references() {
    let repository = Repository::with_revisions(2);
    let head = repository.newest_commit();
    let lines = |headers: &[(&str, &str)]| {
        let below = "info/refs?service=git-upload-pack";
        let answer = repository.send("GET", below, headers, b"").expect(200);
        let media_type = "application/x-git-upload-pack-advertisement";
        assert_eq!(answer.header("content-type"), Some(media_type));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        answer.text()
    };
    let start = "001e# service=git-upload-pack\n0000";
    let oldest = lines(&[]);
    let references = oldest.strip_prefix(start).expect("the service is named first");
    assert!(references[4..].starts_with(&format!("{head} HEAD\0")), "{references}");
    for capability in [
        "multi_ack_detailed",
        "no-done",
        "side-band-64k",
        "shallow",
        "deepen-relative",
        "allow-reachable-sha1-in-want",
        "symref=HEAD:refs/heads/main",
        "object-format=sha1",
    ] {
        assert!(references.contains(&format!(" {capability}")), "{capability}: {references}");
    }
    assert_eq!(lines(&[VERSION_1]), format!("{start}000eversion 1\n{references}"));
    let newest = lines(&[VERSION_2]);
    assert!(newest.starts_with(&format!("{start}000eversion 2\n")), "{newest}");
    assert!(!newest.contains(&head), "{newest}");
}

#[test]
fn a_client_without_side_bands_gets_the_bare_pack() {
    let repository = Repository::with_revisions(3);
    let want = format!("want {}", repository.newest_commit());
    let answer = repository.upload_pack(&[], &packets(&[&want, "0000", "done"])).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/x-git-upload-pack-result"));
    let pack = answer.body.strip_prefix(b"0008NAK\n").expect("nothing is in common");
    fs::write(repository.path("bare.pack"), pack).expect("a file can be written");
    repository.run("0", &["init", "--quiet", "unpacked"]);
    let index = ["-C", "unpacked", "index-pack", "--strict", "--stdin"];
    let mut index = repository.git("0", &index);
    let pack = fs::File::open(repository.path("bare.pack")).expect("the file is there");
    programs::stdout_of(index.stdin(pack));

    let banded = format!("{want} side-band");
    let answer = repository.upload_pack(&[VERSION_1], &packets(&[&banded, "0000", "done"]));
    let mut rest = answer.expect(200).body.split_off(8);
    while !rest.is_empty() {
        let digits = std::str::from_utf8(&rest[..4]).expect("a length is text");
        let length = usize::from_str_radix(digits, 16).expect("a length is a number");
        assert!(length <= 1_000, "{length}");
        rest = rest.split_off(length.max(4));
    }
}

#[test]
fn bytes_that_are_no_request_are_malformed_in_every_version() {
    let repository = Repository::with_revisions(2);
    let head = format!("want {}", repository.newest_commit());
    let in_version_0 = [
        packets(&["want 7", "0000", "done"]),
        packets(&[&head, "what", "0000", "done"]),
        packets(&[&head, "0000", "have 7", "done"]),
        packets(&[&head, "0000", &head]),
        packets(&["command=ls-refs", "0000"]),
    ];
    let in_version_2 = [
        packets(&["command=fetch", "0001", "want 7", "done", "0000"]),
        packets(&["command=push", "0000"]),
        packets(&["command=ls-refs"]),
        packets(&[&head, "0000", "done"]),
    ];
    let in_any = [&b""[..], b"zzzz", b"\0\0\0\0", b"ffff", b"0003", b"GET / HTTP/1.1\r\n\r\n"];
    for (headers, bodies) in
        [(&[][..], &in_version_0[..]), (&[VERSION_1], &in_version_0), (&[VERSION_2], &in_version_2)]
    {
        for body in bodies.iter().map(Vec::as_slice).chain(in_any) {
            let answer = repository.upload_pack(headers, body);
            answer.expect_problem(400, "#invalid-request", "");
        }
        let nothing = repository.upload_pack(headers, b"0000").expect(200);
        assert!(nothing.body.is_empty(), "git asks so whether it is let in");
    }
}

#[test]
fn a_request_has_a_bound_before_and_after_it_is_unpacked() {
    let repository = Repository::with_revisions(2);
    let mut many = vec![format!("want {}", repository.newest_commit()), "0000".to_owned()];
    many.extend((0..20_000).map(|it| format!("have {it:040x}")));
    many.push("done".to_owned());
    let many = packets(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let answer = repository.upload_pack(&[("content-encoding", "gzip")], &gzipped(&many));
    let pack = answer.expect(200).body;
    assert!(pack.starts_with(b"0008NAK\nPACK"), "some clients name all that they have");

    let bomb = gzipped(&vec![b'0'; 64 << 20]);
    assert!(bomb.len() < 1 << 20, "it gets past the first bound");
    for (encoding, body) in [("gzip", bomb), ("identity", vec![b'0'; 2 << 20])] {
        let answer = repository.upload_pack(&[("content-encoding", encoding)], &body);
        answer.expect_problem(413, "about:blank", "bytes");
    }
    let gzip = [("content-encoding", "gzip")];
    repository.upload_pack(&gzip, b"nothing").expect_problem(400, "#invalid-request", "gzip");
    let unknown = [("content-encoding", "br")];
    repository.upload_pack(&unknown, b"0000").expect_problem(415, "about:blank", "gzip");
}
