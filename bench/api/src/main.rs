//! What the device API costs: signed polls beside the bare verification of a signature, durable status
//! reports beside single commits, TLS handshakes, and the memory that a known client takes.
//! `bench/README.md` says more. A step that cannot do its part panics and says what it was doing.

mod caller;
mod commits;
mod connection;
mod verification;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

use bench_population::{Database, Member};
use serde_json::json;
use testkit::fleet::TestFleet;
use testkit::memory;
use testkit::meter::Meter;

use caller::Caller;
use connection::{Connection, Way};
use verification::Verification;

/// Clients that poll, each with a connection of its own.
const POLLING: usize = 1_000;
/// Clients whose memory is measured.
const KNOWN: usize = 10_000;
/// As many polls as a client makes in the time for which signatures are remembered, at one a minute.
const POLLS_OF_KNOWN: usize = 6;
/// Clients that report at the same time.
const REPORTING: usize = 64;
/// Threads that make the load, each for its share of the clients.
const THREADS: usize = 8;
/// Everything that is compared is measured in turn, this many times, so that what else the machine does
/// meets both sides.
const ROUNDS: usize = 5;
const POLLS_IN_A_ROUND: usize = 5_000;
/// Until the server's memory for these clients has its size.
const POLLS_TO_WARM_UP: usize = 10_000;
const VERIFICATIONS_IN_A_ROUND: u32 = 2_000;
const HANDSHAKES_IN_A_ROUND: usize = 400;
const REPORTS_OF_EACH_IN_A_ROUND: usize = 40;
const COMMITS_IN_A_ROUND: u32 = 200;
/// What a slowed commit takes at least, in seconds: one sync.
const SLOWED: f64 = 0.005;

/// Here each client asks as often as many would.
const UNLIMITED: &str = "[limits]\nrequests_per_minute = 4294967295\n";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, database, count] = arguments.as_slice()
        && first == commits::ARGUMENT
    {
        let count = count.parse().expect("the second argument is a number");
        return say(&commits::rate(Path::new(database), count).to_string());
    }
    let start = Instant::now();
    let step = |text: &str| say(&format!("[{:4} s] {text}", start.elapsed().as_secs()));

    let polls = polls(&step);
    let reports = reports(&step);
    let bytes_per_client = memory_of_clients(&step);

    step("done");
    let figures = json!({
        "signed_poll_ratio": hundredths(polls.verification / polls.poll),
        "status_ratio": hundredths(reports.reports / reports.commits),
        "signed_polls_per_s": polls.polls_per_second.round(),
        "handshakes_per_s": polls.handshakes_per_second.round(),
        "bytes_per_client": bytes_per_client,
        "signed_poll_cpu_us": hundredths(polls.poll),
        "verification_cpu_us": hundredths(polls.verification),
        "handshake_cpu_us": hundredths(polls.handshake),
        "status_reports_per_s": reports.reports.round(),
        "single_commits_per_s": reports.commits.round(),
    });
    say(&figures.to_string());
}

/// CPU times in microseconds.
#[derive(Default)]
struct Polls {
    poll: f64,
    verification: f64,
    handshake: f64,
    polls_per_second: f64,
    handshakes_per_second: f64,
}

fn polls(step: &dyn Fn(&str)) -> Polls {
    let (fleet, members) = fleet_of(POLLING, None, step);
    let way = Way::to(&fleet);
    let meter = Meter::new("api");
    meter.adopt(fleet.server_id());
    let verification = Verification::new();
    let callers: Vec<Caller> = members.iter().map(|it| Caller::new(it, way.authority())).collect();

    step(&format!("{POLLING} clients connect and poll"));
    let mut connections: Vec<Connection> = callers.iter().map(|_| way.connect()).collect();
    poll_all(&mut connections, &polls_of(&callers, POLLS_TO_WARM_UP));

    let mut sum = Polls::default();
    for round in 1..=ROUNDS {
        sum.verification += verification.cost(VERIFICATIONS_IN_A_ROUND);
        let signed = polls_of(&callers, POLLS_IN_A_ROUND);
        let begin = Instant::now();
        let cpu = meter.cpu_of(|| poll_all(&mut connections, &signed));
        sum.poll += cpu / POLLS_IN_A_ROUND as f64;
        sum.polls_per_second += POLLS_IN_A_ROUND as f64 / begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let cpu = meter.cpu_of(|| shake_hands(&way, HANDSHAKES_IN_A_ROUND));
        sum.handshake += cpu / HANDSHAKES_IN_A_ROUND as f64;
        sum.handshakes_per_second += HANDSHAKES_IN_A_ROUND as f64 / begin.elapsed().as_secs_f64();
        let so_far = round as f64;
        step(&format!(
            "  round {round}: {:.0} µs of CPU for a poll, {:.0} µs for a bare verification, {:.0} µs for a \
             handshake so far",
            sum.poll / so_far,
            sum.verification / so_far,
            sum.handshake / so_far
        ));
    }
    let rounds = ROUNDS as f64;
    Polls {
        poll: sum.poll / rounds,
        verification: sum.verification / rounds,
        handshake: sum.handshake / rounds,
        polls_per_second: sum.polls_per_second / rounds,
        handshakes_per_second: sum.handshakes_per_second / rounds,
    }
}

/// So many polls, by one client after the other.
fn polls_of(callers: &[Caller], count: usize) -> Vec<Vec<u8>> {
    callers.iter().cycle().take(count).map(Caller::poll).collect()
}

/// Sends each of the requests on the connection whose turn it is. All clients ask at the same time, as those
/// of a large fleet do.
fn poll_all(connections: &mut [Connection], requests: &[Vec<u8>]) {
    let clients = connections.len();
    let share = clients.div_ceil(THREADS);
    thread::scope(|scope| {
        for (number, some) in connections.chunks_mut(share).enumerate() {
            scope.spawn(move || {
                for turn in requests.chunks(clients) {
                    let first = number * share;
                    let requests = turn.get(first..).unwrap_or_default();
                    for (connection, request) in some.iter_mut().zip(requests) {
                        connection.send(request);
                    }
                    for (connection, _) in some.iter_mut().zip(requests) {
                        let status = connection.receive();
                        assert_eq!(status, 304, "{}", connection.text());
                    }
                }
            });
        }
    });
}

fn shake_hands(way: &Way, count: usize) {
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while done.fetch_add(1, Ordering::Relaxed) < count {
                    drop(way.connect());
                }
            });
        }
    });
}

/// How many in a second.
struct Reports {
    reports: f64,
    commits: f64,
}

fn reports(step: &dyn Fn(&str)) -> Reports {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let slow_sync = slow_sync(folder.path());
    let (fleet, members) = fleet_of(REPORTING, Some(&slow_sync), step);
    let way = Way::to(&fleet);
    let mut reporters: Vec<(Caller, Connection)> =
        members.iter().map(|it| (Caller::new(it, way.authority()), way.connect())).collect();

    step(&format!("{REPORTING} clients report at the same time; each sync takes 5 ms"));
    let (mut sum, mut count) = (Reports { reports: 0.0, commits: 0.0 }, 0.0);
    for round in 1..=ROUNDS {
        let single = commits::rate_in_a_process(folder.path(), COMMITS_IN_A_ROUND, &slow_sync);
        assert!(single * SLOWED <= 1.0, "a commit waits for a slowed sync");
        sum.commits += single;
        let begin = Instant::now();
        thread::scope(|scope| {
            for (caller, connection) in &mut reporters {
                scope.spawn(|| report_in_turn(caller, connection));
            }
        });
        let reported = (REPORTING * REPORTS_OF_EACH_IN_A_ROUND) as f64;
        sum.reports += reported / begin.elapsed().as_secs_f64();
        count += 1.0;
        step(&format!(
            "  round {round}: {:.0} reports and {:.0} single commits a second so far",
            sum.reports / count,
            sum.commits / count
        ));
    }
    Reports { reports: sum.reports / count, commits: sum.commits / count }
}

/// Reports that change something, one after the other.
fn report_in_turn(caller: &Caller, connection: &mut Connection) {
    for turn in 0..REPORTS_OF_EACH_IN_A_ROUND {
        let state = if turn % 2 == 0 { "installing" } else { "installed" };
        let status = connection.ask(&caller.report(state));
        assert!(matches!(status, 200 | 201), "{}", connection.text());
    }
}

/// The library that slows syncs down.
fn slow_sync(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow_sync.c"), folder.join("slow_sync.so"));
    fs::write(&source, include_str!("slow_sync.c")).expect("there is room on the disk");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let status = compiler.status().expect("there is a C compiler, since Rust links with it");
    assert!(status.success(), "the compiler takes slow_sync.c");
    library
}

/// How many bytes of the server's memory each client takes that polls.
fn memory_of_clients(step: &dyn Fn(&str)) -> u64 {
    let (fleet, members) = fleet_of(KNOWN, None, step);
    let way = Way::to(&fleet);
    let callers: Vec<Caller> = members.iter().map(|it| Caller::new(it, way.authority())).collect();
    let mut connections: Vec<Connection> = (0..THREADS).map(|_| way.connect()).collect();
    poll_all(&mut connections, &polls_of(&callers, 100));
    let before = memory::pss(fleet.server_id());
    step(&format!("{KNOWN} clients poll {POLLS_OF_KNOWN} times"));
    for _ in 0..POLLS_OF_KNOWN {
        poll_all(&mut connections, &polls_of(&callers, KNOWN));
    }
    let after = memory::pss(fleet.server_id());
    step(&format!("  the server takes {} MB before, {} MB after", before >> 20, after >> 20));
    (after.saturating_sub(before)) / KNOWN as u64
}

/// A running server with so many clients of three revisions each.
fn fleet_of(
    count: usize,
    slow_sync: Option<&Path>,
    step: &dyn Fn(&str),
) -> (TestFleet, Vec<Member>) {
    step(&format!("making {count} clients"));
    let mut fleet = TestFleet::start_with(UNLIMITED);
    assert_eq!(fleet.stop(), Some(0), "a server that is asked to stop does so");
    let members =
        bench_population::populate(&Database::sqlite(&fleet.database_file()), count, step);
    if let Some(library) = slow_sync {
        fleet.preload(library);
    }
    fleet.start_server();
    (fleet, members)
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
