//! Kills the device client at each of its durable steps over a scripted life, and checks that it converges,
//! that no workload exists twice, that no volume is lost, and that no report is lost. `bench/README.md`
//! says more. What goes wrong on this side panics and says what it was doing.

mod engine;
mod life;
mod orders;
mod package;
mod reports;
mod tally;
mod victim;
mod watch;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM};
use testkit::fleet::TestFleet;

use life::Life;
use tally::Tally;
use victim::Deaths;

const KILLS: u64 = 200;
const KILLS_VARIABLE: &str = "KILLS";
/// About how many kills a life takes when the client is killed at every single step.
const KILLS_OF_A_LIFE: u64 = 1_500;
/// With so much amiss there is no use in going on.
const MOST_UNCONVERGED: u64 = 3;

fn main() -> ExitCode {
    let wanted = match env::var(KILLS_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{KILLS_VARIABLE}={text} is no number")),
        Err(_) => KILLS,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .expect("these signals may be caught");
    }
    let start = Instant::now();
    let progress = |text: &str| say(&format!("[{:4} s] {text}", start.elapsed().as_secs()));

    let fleet = TestFleet::start();
    package::add_to(&fleet);
    // With fewer kills than a life has steps, they are spread over all of it.
    let stride = KILLS_OF_A_LIFE.div_ceil(wanted.max(1));
    let mut tally = Tally::default();
    for number in 1.. {
        let deaths = Deaths { wanted, stride, life: number };
        Life::begin(&fleet, deaths, &interrupted, &progress).live(&mut tally);
        if tally.kills >= wanted || tally.unconverged >= MOST_UNCONVERGED {
            break;
        }
    }
    progress("done");
    say(&tally.to_json().to_string());
    if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
