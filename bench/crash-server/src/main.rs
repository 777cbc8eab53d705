//! Kills the fleet manager at random instants while operators order and devices poll and report, and checks after
//! each restart that nothing acknowledged is lost, that nothing is half there, and that nothing goes back.
//! `bench/README.md` says more. What goes wrong on this side panics and says what it was doing.

mod application;
mod chance;
mod database;
mod desk;
mod device;
mod door;
mod hearing;
mod inspection;
mod ledger;
mod orders;
mod repository;
mod revision;
mod scene;
mod statuses;
mod strike;
mod tally;
mod versions;

use std::env;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use testkit::client;

use chance::Chance;
use database::Database;
use scene::Scene;
use strike::Strike;
use tally::Tally;

const KILLS: u64 = 500;
/// How often it is said how far it is.
const PROGRESS: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let wanted = variable("KILLS").unwrap_or(KILLS);
    let seed = variable("SEED").unwrap_or_else(some_seed);
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .expect("these signals may be caught");
    }
    let start = Instant::now();
    let tell = |text: &str| tell(&format!("[{:4} s] {text}", start.elapsed().as_secs()));

    let database: String = variable("DATABASE").unwrap_or_else(|| "sqlite".to_owned());
    let database = Database::called(&database);
    let mut scene = Scene::set_up(&database);
    let folder = scene.fleet.dir().display().to_string();
    tell(&format!("SEED={seed}; the fleet manager's data and log are in {folder}"));
    let mut chance = Chance::of(seed);
    let mut tally = Tally { seed, ..Tally::default() };
    let mut told = Instant::now();
    while tally.kills < wanted && tally.is_clean() {
        assert!(!interrupted.load(Ordering::Relaxed), "interrupted");
        let strike = Strike::choose(&mut chance, database.is_mortal(), wanted - tally.kills);
        scene.work_until(strike, &database, &mut chance);
        tally.kills += strike.kills();
        let is_last = tally.kills >= wanted;
        inspection::inspect(&mut scene, &mut chance, is_last, &mut tally);
        if is_last || told.elapsed() > PROGRESS {
            tell(&tally.to_string());
            told = Instant::now();
        }
    }
    let log = scene.fleet.log();
    assert!(!log.contains("panicked at"), "the server made a mistake; see {folder}");
    for loss in &tally.losses {
        tell(&loss.to_string());
    }
    let is_clean = tally.is_clean();
    scene.fleet.keep_dir(!is_clean);
    if !is_clean {
        database.dump(&scene.fleet);
        tell(&format!("SEED={seed}; look into {folder}"));
    }
    say(&tally.to_json().to_string());
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok().filter(|it| !it.is_empty())?;
    let value = text.parse();
    Some(value.unwrap_or_else(|_| panic!("{name}={text} is not what it can be")))
}

/// Another one each time, and short enough to be typed.
fn some_seed() -> u64 {
    client::now() * 1_000 + u64::from(std::process::id()) % 1_000
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "whoever waits sees how far it is")]
fn tell(line: &str) {
    eprintln!("{line}");
}
