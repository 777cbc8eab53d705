//! What serving desired states with Git costs: the CPU time of `gantry-server` beside that of nginx,
//! fcgiwrap and `git http-backend` with the same repositories and the same load, what a poll of the
//! device client puts on the wire, and what a large fleet needs. `bench/README.md` says more. A step
//! that cannot do its part panics and says what it was doing.

mod load;
mod peer;

use std::env;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bench_population::{Database, Member};
use serde_json::json;
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::memory;
use testkit::meter::Meter;
use testkit::wire::Polls;

use load::{Load, Operation};
use peer::Peer;

const COMPARED: usize = 1_000;
const MANY: usize = 100_000;
const MANY_VARIABLE: &str = "GANTRY_BENCH_REPOSITORIES";
/// Both servers are measured in turn, this many times, so that what else the machine does meets both.
const ROUNDS: usize = 5;
/// How much of what the peer does in a round ours does: it takes more of it to be measured well.
const OURS_MORE: usize = 10;

/// CPU time of one operation, in microseconds.
#[derive(Clone, Copy)]
struct Comparison {
    ours: f64,
    peers: f64,
}

/// Here each client asks as often as many would.
const UNLIMITED: &str = "[limits]\nrequests_per_minute = 4294967295\n";

fn main() {
    let many = match env::var(MANY_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{MANY_VARIABLE}={text} is no number")),
        Err(_) => MANY,
    };
    let start = Instant::now();
    let step = |text: &str| say(&format!("[{:4} s] {text}", start.elapsed().as_secs()));

    let (kept, new) = poll_bytes(&step);
    let (poll, clone, fetch) = side_by_side(&step);
    let large = large_fleet(many, &step);

    step("done");
    let figures = json!({
        "poll_ratio": tenths(poll.peers / poll.ours),
        "clone_ratio": tenths(clone.peers / clone.ours),
        "fetch_ratio": tenths(fetch.peers / fetch.ours),
        "poll_cpu_us_1k": tenths(poll.ours),
        "poll_cpu_us_100k": tenths(large.poll),
        "poll_bytes_kept": kept,
        "poll_bytes_new": new,
        "bytes_per_repository": large.bytes_per_repository,
        "server_pss_bytes_100k": large.pss,
    });
    say(&figures.to_string());
}

/// What an unchanged poll of the device client puts on the wire: on a connection that is kept, and with
/// a new one.
fn poll_bytes(step: &dyn Fn(&str)) -> (u64, u64) {
    step("a device client polls through a forwarder that counts bytes");
    let polls =
        Polls::start(|fleet| TestDevice::start_with(fleet, "press-7", "jitter_percent = 0\n"));
    let kept = polls.on_a_kept_connection();
    step(&format!("  {kept} bytes for a poll on a kept connection"));
    let new = polls.on_resumed_sessions();
    step(&format!("  {new} bytes for a poll with a new connection"));
    (kept, new)
}

/// The same repositories, served by us and by the peer, under the same load in turn.
fn side_by_side(step: &dyn Fn(&str)) -> (Comparison, Comparison, Comparison) {
    let (fleet, repositories) = fleet_of(COMPARED, step);
    let ours = Meter::new("ours");
    ours.adopt(fleet.server_id());
    step("cloning the same repositories for nginx, fcgiwrap and git http-backend");
    let peer = Peer::start(&fleet, &repositories);
    let our_load = Load::new(|| fleet.http(), &repositories);
    let peers_load = Load::new(|| peer.http(), &repositories);
    our_load.run(Operation::Poll, COMPARED);
    peers_load.run(Operation::Poll, COMPARED / 10);

    let compare = |operation: Operation, count: usize| {
        let mut sum = Comparison { ours: 0.0, peers: 0.0 };
        for _ in 0..ROUNDS {
            let round = count / ROUNDS;
            sum.ours += ours.cpu_of(|| our_load.run(operation, round * OURS_MORE));
            sum.peers += peer.meter().cpu_of(|| peers_load.run(operation, round));
        }
        let each = Comparison {
            ours: sum.ours / (count * OURS_MORE) as f64,
            peers: sum.peers / count as f64,
        };
        step(&format!(
            "  {operation:?}: {:.0} µs of CPU here, {:.0} µs there: {:.0} times",
            each.ours,
            each.peers,
            each.peers / each.ours
        ));
        each
    };
    step("the same load on both, in turn");
    (
        compare(Operation::Poll, 2_000),
        compare(Operation::Clone, 1_000),
        compare(Operation::Fetch, 1_000),
    )
}

/// What a large fleet costs.
struct LargeFleet {
    bytes_per_repository: u64,
    /// CPU time of a poll, in microseconds.
    poll: f64,
    pss: u64,
}

fn large_fleet(many: usize, step: &dyn Fn(&str)) -> LargeFleet {
    let (fleet, repositories) = fleet_of(many, step);
    let bytes = store_size(fleet.dir());
    let bytes_per_repository = bytes / many as u64;
    step(&format!("  {bytes_per_repository} bytes of database for each repository"));
    let meter = Meter::new("many");
    meter.adopt(fleet.server_id());
    let load = Load::new(|| fleet.http(), &repositories);
    step("polling each repository twice");
    let first = meter.cpu_of(|| load.run(Operation::Poll, many)) / many as f64;
    let poll = meter.cpu_of(|| load.run(Operation::Poll, many)) / many as f64;
    let pss = memory::pss(fleet.server_id());
    step(&format!(
        "  {first:.0} µs of CPU for the first poll of each, {poll:.0} µs for the second; \
         the server takes {} MB of memory",
        pss >> 20
    ));
    let clones = many.min(COMPARED);
    let first = meter.cpu_of(|| load.run(Operation::Clone, clones)) / clones as f64;
    step(&format!(
        "  {first:.0} µs of CPU for a first clone, which reads the database and writes down who was \
         given what"
    ));
    LargeFleet { bytes_per_repository, poll, pss }
}

/// A running server with so many repositories of three revisions each.
fn fleet_of(count: usize, step: &dyn Fn(&str)) -> (TestFleet, Vec<Member>) {
    step(&format!("making {count} repositories of 3 revisions each"));
    let mut fleet = TestFleet::start_with(UNLIMITED);
    assert_eq!(fleet.stop(), Some(0), "a server that is asked to stop does so");
    let repositories =
        bench_population::populate(&Database::sqlite(&fleet.database_file()), count, step);
    fleet.start_server();
    (fleet, repositories)
}

/// The size of the database, with what is written and not yet folded in.
fn store_size(fleet: &Path) -> u64 {
    let files = ["gantry.db", "gantry.db-wal"].map(|it| fs::metadata(fleet.join("data").join(it)));
    files.into_iter().filter_map(|it| it.map(|it| it.len()).ok()).sum()
}

fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
