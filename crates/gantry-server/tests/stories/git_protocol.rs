//! What every Git client has to get, in each version of the protocol: asked for by the real `git`, and
//! byte by byte where `git` would not ask for it.

use std::fs;

use flate2::Compression;
use flate2::write::GzEncoder;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::programs;

use crate::real_git::{self, Git, VERSION_1, VERSION_2, packets, refusal};
use crate::support::{fleet_with_deployment, greet};

const VERSIONS: [&str; 3] = ["0", "1", "2"];
const NOBODYS_COMMIT: &str = "7777777777777777777777777777777777777777";
const CHECKED: [&str; 2] = ["--config", "fetch.fsckObjects=true"];

/// A fleet with a client whose repository has some revisions.
struct Repository {
    fleet: TestFleet,
    client: TestClient,
    deployment: String,
    revision: u64,
}

impl Repository {
    /// With as many revisions as this; from the second on with a deployment.
    fn with_revisions(count: u64) -> Self {
        let (fleet, client, deployment) = fleet_with_deployment();
        let mut repository = Self { fleet, client, deployment, revision: 2 };
        while repository.revision < count {
            let greeting = format!("Hello {}", repository.revision);
            repository.publish(&greeting);
        }
        repository
    }

    /// Publishes one more revision.
    fn publish(&mut self, greeting: &str) {
        self.revision += 1;
        greet(&self.fleet, &self.deployment, greeting, "");
        self.fleet.operator().revision_reached(self.client.id(), self.revision);
    }

    fn git(&self, version: &'static str) -> Git {
        Git::speaking(version, &self.fleet, &self.client)
    }

    fn get(&self, below: &str, headers: &[(&str, &str)]) -> Answer {
        real_git::send(&self.fleet, &self.client, "GET", below, headers, None)
    }

    fn post(&self, below: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        real_git::send(&self.fleet, &self.client, "POST", below, headers, Some(body))
    }

    fn upload_pack(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.post("git-upload-pack", headers, body)
    }

    fn newest_commit(&self) -> String {
        let git = self.git("2");
        git.stdout(&["ls-remote", &git.url, "HEAD"])[..40].to_owned()
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

#[test]
fn every_version_lists_clones_follows_and_mirrors() {
    let mut repository = Repository::with_revisions(4);
    let head = repository.newest_commit();
    let gits = VERSIONS.map(|version| repository.git(version));
    for (git, version) in gits.iter().zip(VERSIONS) {
        let listed = git.stdout(&["ls-remote", "--symref", &git.url]);
        let lines = format!("ref: refs/heads/main\tHEAD\n{head}\tHEAD\n{head}\trefs/heads/main\n");
        assert_eq!(listed, lines, "version {version}");
        assert_eq!(git.stdout(&["ls-remote", "--tags", &git.url]), "");
        git.clone(&CHECKED);
        git.assert_sound();
        assert_eq!(git.commits(), 4, "version {version}");
    }
    repository.publish("Moin");
    for (git, version) in gits.iter().zip(VERSIONS) {
        for _ in ["something new", "nothing new"] {
            git.in_checkout(&["pull", "--quiet", "--ff-only"]);
            git.assert_sound();
            assert_eq!(git.commits(), 5, "version {version}");
        }
        git.clone(&["--mirror"]);
        git.assert_sound();
        assert_eq!(git.in_checkout(&["rev-list", "--count", "--all"]), "5\n", "version {version}");
    }
}

#[test]
fn in_every_version_a_shallow_clone_can_be_followed_deepened_and_made_whole() {
    let mut repository = Repository::with_revisions(7);
    let gits = VERSIONS.map(|version| repository.git(version));
    for (git, version) in gits.iter().zip(VERSIONS) {
        git.clone(&["--depth", "1"]);
        git.assert_sound();
        assert_eq!(git.commits(), 1, "version {version}");
    }
    repository.publish("Moin");
    for (git, version) in gits.iter().zip(VERSIONS) {
        for (fetch, commits) in [
            (&["fetch", "--quiet"][..], 2),
            (&["fetch", "--quiet", "--deepen", "2"], 4),
            (&["fetch", "--quiet", "--depth", "1"], 1),
            (&["fetch", "--quiet", "--depth", "5"], 5),
            (&["fetch", "--quiet", "--unshallow"], 8),
        ] {
            git.in_checkout(fetch);
            git.assert_sound();
            assert_eq!(git.commits(), commits, "version {version} {fetch:?}");
        }
        let shallow = git.in_checkout(&["rev-parse", "--is-shallow-repository"]);
        assert_eq!(shallow, "false\n", "version {version}");
    }
}

#[test]
fn in_every_version_an_older_commit_can_be_fetched_by_its_id() {
    let repository = Repository::with_revisions(5);
    for version in VERSIONS {
        let git = repository.git(version);
        git.clone(&[]);
        let older = git.in_checkout(&["rev-parse", "HEAD~2"]);
        git.clone(&["--depth", "1"]);
        git.in_checkout(&["fetch", "--quiet", "--depth", "2", "origin", older.trim()]);
        let fetched = git.in_checkout(&["rev-list", "--count", "FETCH_HEAD"]);
        assert_eq!(fetched, "2\n", "version {version}");
        git.assert_sound();
    }
}

#[test]
fn content_that_was_replaced_and_came_back_is_sent_once() {
    let mut repository = Repository::with_revisions(2);
    for greeting in ["Moin", "Hello", "Moin", "Hello"] {
        repository.publish(greeting);
    }
    for version in VERSIONS {
        let git = repository.git(version);
        for options in [&[][..], &["--depth", "2"], &["--depth", "4"]] {
            git.clone(&[&CHECKED, options].concat());
            git.assert_sound();
        }
    }
}

/// Makes a repository with a history of its own, fetches ours into it, and gives what was said.
fn fetch_into_strange_history(git: &Git, commits: u64) -> String {
    git.stdout(&["init", "--quiet", "checkout"]);
    let history: String = (1..=commits)
        .map(|it| {
            let time = 2_000_000_000 + it;
            format!("commit refs/heads/mine\ncommitter me <me@example.com> {time} +0000\ndata 0\n")
        })
        .collect();
    let file = git.home.path().join("history");
    fs::write(&file, history).expect("a file can be written");
    let history = fs::File::open(&file).expect("the file is there");
    let mut import = git.command(&["-C", "checkout", "fast-import", "--quiet"]);
    programs::stdout_of(import.stdin(history));

    let trace = git.home.path().join("trace");
    let mut fetch = git.command(&["-C", "checkout", "fetch", "--quiet", &git.url, "main:theirs"]);
    fetch.env("GIT_TRACE_CURL", &trace).env("GIT_TRACE_PACKET", &trace);
    programs::stdout_of(&mut fetch);
    assert_eq!(git.in_checkout(&["rev-list", "--count", "theirs"]), "3\n");
    fs::read_to_string(trace).expect("git traces what it does")
}

#[test]
fn in_every_version_a_client_with_a_history_of_its_own_gets_ours() {
    let repository = Repository::with_revisions(3);
    for version in VERSIONS {
        let trace = fetch_into_strange_history(&repository.git(version), 100);
        let packed = trace.to_ascii_lowercase().contains("content-encoding: gzip");
        assert!(packed, "version {version}: git compresses long requests");
    }
}

#[test]
fn a_client_with_a_long_history_of_its_own_does_not_have_to_name_all_of_it() {
    let repository = Repository::with_revisions(3);
    let trace = fetch_into_strange_history(&repository.git("2"), 2_000);
    let haves = trace.lines().filter(|it| it.contains("fetch> have ")).count();
    assert!((100..600).contains(&haves), "git named {haves} commits");
}

#[test]
fn a_push_is_refused_in_words_that_git_shows() {
    let repository = Repository::with_revisions(2);
    let head = repository.newest_commit();
    for version in VERSIONS {
        let git = repository.git(version);
        git.clone(&[]);
        git.in_checkout(&["commit", "--quiet", "--allow-empty", "-m", "mine"]);
        let said = git.refused(&["-C", "checkout", "push", "origin", "main"]);
        let expected = "fatal: remote error: this repository is written by the fleet manager only; \
                        nothing can be pushed\n";
        assert_eq!(said, expected, "version {version}");
    }
    let update = format!("{head} {NOBODYS_COMMIT} refs/heads/main\0report-status");
    let answer = repository.post("git-receive-pack", &[], &packets(&[&update, "0000"])).expect(403);
    assert!(answer.text().contains("nothing can be pushed"), "{}", answer.text());
    assert_eq!(repository.newest_commit(), head);
}

#[test]
fn what_cannot_be_served_is_refused_in_words_that_git_shows() {
    let repository = Repository::with_revisions(2);
    let git = repository.git("2");
    let since = ["clone", "--shallow-since=2020-01-01", &git.url, "since"];
    let said = git.refused(&since);
    assert!(said.contains("remote error: `deepen-since` is not served here"), "{said}");

    for version in VERSIONS {
        let git = repository.git(version);
        git.stdout(&["init", "--quiet", "checkout"]);
        let said = git.refused(&["-C", "checkout", "fetch", &git.url, NOBODYS_COMMIT]);
        let expected = format!("remote error: the object {NOBODYS_COMMIT} is not a commit");
        assert!(said.contains(&expected), "version {version}: {said}");
    }
}

#[test]
fn the_files_of_a_repository_cannot_be_read_behind_the_protocol() {
    let repository = Repository::with_revisions(2);
    let git = repository.git("0");
    let mut dumb = git.command(&["ls-remote", &git.url]);
    let said = refusal(&programs::run(dumb.env("GIT_SMART_HTTP", "0")));
    assert!(said.starts_with("remote: only the smart HTTP protocol"), "{said}");
    for query in ["", "?service=", "?service=git-upload-archive"] {
        let answer = repository.get(&format!("info/refs{query}"), &[]).expect(403);
        assert!(answer.text().contains("smart HTTP protocol"), "{}", answer.text());
    }
    for file in ["HEAD", "objects/info/packs", "config"] {
        repository.get(file, &[]).expect(404);
    }
}

#[test]
fn only_version_1_begins_with_its_number_and_only_version_2_without_references() {
    let repository = Repository::with_revisions(2);
    let head = repository.newest_commit();
    let lines = |headers: &[(&str, &str)]| {
        let below = "info/refs?service=git-upload-pack";
        let answer = repository.get(below, headers).expect(200);
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
    let git = repository.git("0");
    let file = git.home.path().join("bare.pack");
    fs::write(&file, pack).expect("a file can be written");
    git.stdout(&["init", "--quiet", "checkout"]);
    let mut index = git.command(&["-C", "checkout", "index-pack", "--strict", "--stdin"]);
    programs::stdout_of(index.stdin(fs::File::open(&file).expect("the file is there")));

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
