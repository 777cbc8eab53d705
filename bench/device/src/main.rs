//! What the device client costs the machine that it shares with the workloads: memory, CPU time, bytes on
//! the wire and writes to flash while nothing changes. It carries a real workload, and polls a real server
//! on a new connection each time, as it does at its usual pace. `bench/README.md` says more. A step that
//! cannot do its part panics and says what it was doing.
//!
//! Usage: `bench-device PROGRAM`, with the `gantry-device` that is measured.

mod flash;
mod plant;
mod usage;

use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use serde_json::json;
use testkit::{memory, meter};

use flash::WriteCounter;
use plant::{Plant, Source};
use usage::Memory;

/// How many polls are watched for memory, and how many for CPU time and writes.
const POLLS_FOR_MEMORY: usize = 20;
const POLLS: usize = 60;
/// How often the client polls by default.
const POLLS_A_DAY: f64 = 24.0 * 60.0;

/// What a client with one way to fetch its desired state needs.
struct Figures {
    memory: Memory,
    cpu_s_per_1000_polls: f64,
    bytes_resumed: u64,
    writes_per_day: f64,
}

fn main() {
    let program = env::args_os().nth(1).expect("usage: bench-device PROGRAM");
    let program = Path::new(&program);
    let start = Instant::now();
    let step = |text: &str| say(&format!("[{:3} s] {text}", start.elapsed().as_secs()));

    let size = fs::metadata(program).expect("the program to measure is there").len();
    step(&format!("{} has {size} bytes", program.display()));
    let git = measure(Source::Git, program, &step);
    let http = measure(Source::Http, program, &step);
    step("done");
    let figures = json!({
        "binary_bytes": size,
        "pss_idle_bytes": git.memory.idle,
        "pss_poll_bytes": git.memory.most,
        "cpu_s_per_1000_polls": (git.cpu_s_per_1000_polls * 100.0).round() / 100.0,
        "poll_bytes_http_resumed": http.bytes_resumed,
        "poll_bytes_git_resumed": git.bytes_resumed,
        "flash_writes_per_idle_day": git.writes_per_day.round(),
    });
    say(&figures.to_string());
}

fn measure(source: Source, program: &Path, step: &dyn Fn(&str)) -> Figures {
    step(&format!("a client with a workload, whose desired state comes by {source:?}"));
    let mut plant = Plant::start(source, program);

    let kept = plant.polls.on_a_kept_connection();
    step(&format!("  {kept} bytes for an unchanged poll on a kept connection"));
    let bytes_resumed = plant.polls.on_resumed_sessions();
    step(&format!("  {bytes_resumed} bytes on a new connection with a resumed TLS session"));

    let client = plant.polls.device.id();
    let memory = Memory::watch(client, || plant.polls.wait_for(POLLS_FOR_MEMORY));
    step(&format!(
        "  PSS {} KiB idle, {} KiB at most while polling; {} KiB of it in no file",
        memory.idle >> 10,
        memory.most >> 10,
        memory::anonymous_pss(client) >> 10
    ));
    tell_mappings(client, step);

    let writes = WriteCounter::watch(&plant.polls.device.state_dir());
    let before = meter::cpu_time(client);
    plant.polls.wait_for(POLLS);
    let cpu = meter::cpu_time(client) - before;
    let seen = writes.count();
    let cpu_s_per_1000_polls = cpu.as_secs_f64() * 1000.0 / POLLS as f64;
    step(&format!("  {cpu_s_per_1000_polls:.2} s of CPU for 1000 polls"));
    let writes_per_day = seen as f64 * POLLS_A_DAY / POLLS as f64;
    step(&format!("  {seen} writes to the state directory in {POLLS} polls that brought nothing"));
    plant.change_workload();
    let more = writes.count() - seen;
    assert!(more > 0, "an update is written down, so the writes are not counted");
    step(&format!("  {more} writes for an update of the workload"));

    let full = plant.polls.on_new_sessions();
    step(&format!("  {full} bytes for a poll with a full TLS handshake"));
    Figures { memory, cpu_s_per_1000_polls, bytes_resumed, writes_per_day }
}

/// The largest parts of the client's memory.
fn tell_mappings(client: u32, step: &dyn Fn(&str)) {
    let mut mappings: Vec<_> = memory::mappings(client).into_iter().collect();
    mappings.sort_by_key(|(_, it)| std::cmp::Reverse(it.pss));
    for (name, it) in mappings.iter().filter(|(_, it)| it.pss >= 16 << 10) {
        let name = if name.is_empty() { "(anonymous)" } else { name };
        step(&format!("    {:5} KiB {name}, {} KiB dirty", it.pss >> 10, it.private_dirty >> 10));
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
