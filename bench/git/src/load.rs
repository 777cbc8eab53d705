//! The load: what Git asks for in a poll, in a clone and in a fetch of one revision, over HTTPS
//! connections that are kept. The same for every server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::http::Http;

use bench_population::Member;

/// How many connections ask at a time.
const CONNECTIONS: usize = 16;

/// What is asked for. All are of version 2 of Git's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// What there is: `info/refs`, then `ls-refs`.
    Poll,
    /// What `git clone` asks for: a poll, then everything.
    Clone,
    /// What `git fetch` asks for that has all but the newest revision: a poll, then the newest one.
    Fetch,
}

/// Asks one server for some repositories.
pub(crate) struct Load<'r> {
    /// Each has one connection.
    connections: Vec<Http>,
    repositories: &'r [Member],
    next: AtomicUsize,
}

impl<'r> Load<'r> {
    /// A load on the server that `http` makes a way to.
    pub(crate) fn new(http: impl Fn() -> Http, repositories: &'r [Member]) -> Self {
        let connections = (0..CONNECTIONS).map(|_| http()).collect();
        Self { connections, repositories, next: AtomicUsize::new(0) }
    }

    /// Does so many operations, one repository after the other.
    pub(crate) fn run(&self, operation: Operation, count: usize) {
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for http in &self.connections {
                scope.spawn(|| {
                    while done.fetch_add(1, Ordering::Relaxed) < count {
                        let turn = self.next.fetch_add(1, Ordering::Relaxed);
                        let repository = &self.repositories[turn % self.repositories.len()];
                        perform(http, repository, operation);
                    }
                });
            }
        });
    }
}

fn perform(http: &Http, repository: &Member, operation: Operation) {
    let [first, second, third] = &repository.commits;
    let path = format!("/git/{}.git", repository.client);
    let headers =
        [("authorization", repository.authorization.as_str()), ("git-protocol", "version=2")];
    let capabilities =
        http.send("GET", &format!("{path}/info/refs?service=git-upload-pack"), &headers, None);
    let capabilities = capabilities.expect(200).body;
    assert!(contains(&capabilities, b"version 2"), "the server speaks version 2");

    let ask = |body: String| {
        let content = ("content-type", "application/x-git-upload-pack-request");
        let accept = ("accept", "application/x-git-upload-pack-result");
        let headers = [headers[0], headers[1], content, accept];
        let path = format!("{path}/git-upload-pack");
        http.send("POST", &path, &headers, Some(body.as_bytes())).expect(200).body
    };
    let command = |name: &str| {
        packet(&format!("command={name}\n"))
            + &packet("agent=git/2.39.5")
            + &packet("object-format=sha1")
            + "0001"
    };
    let arguments = |lines: &[String]| -> String { lines.iter().map(|it| packet(it)).collect() };

    let list = ["peel\n", "symrefs\n", "ref-prefix HEAD\n", "ref-prefix refs/heads/\n"];
    let list = list.map(str::to_owned);
    let references = ask(command("ls-refs") + &arguments(&list) + "0000");
    let newest = format!("{third} refs/heads/main");
    assert!(contains(&references, newest.as_bytes()), "a poll tells the newest commit");

    let wants = ["thin-pack\n", "include-tag\n", "ofs-delta\n"].map(str::to_owned);
    let wants = arguments(&wants) + &packet(&format!("want {third}\n"));
    let rest = match operation {
        Operation::Poll => return,
        Operation::Clone => packet("done\n"),
        Operation::Fetch => arguments(&[second, first].map(|it| format!("have {it}\n"))),
    };
    let pack = ask(command("fetch") + &wants + &rest + "0000");
    assert!(contains(&pack, b"PACK"), "a fetch brings a pack");
}

fn packet(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}
