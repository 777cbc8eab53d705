//! The gate with clocks that are wrong, and hours that change.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::Receiver;

use jiff::tz::TimeZone;

use super::*;
use crate::agent::Wake;

const NOW: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = super::HOUR_MS as i64;

/// The time of day; the other clock shows how long it is since then.
struct Hand(AtomicI64, AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.1.load(Ordering::Relaxed).unsigned_abs()
    }

    fn wait(&self, _wake: &Receiver<Wake>, _at_most: Duration) -> Option<Wake> {
        None
    }
}

fn hours() -> Hours {
    Hours { zone: TimeZone::UTC, periods: Vec::new(), downtimes: Vec::new() }
}

#[test]
fn a_downtime_that_was_started_is_kept_by_a_clock_that_is_wrong_after_a_reboot() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let state = Arc::new(StateDir::open(folder.path()).expect("nobody else has it"));
    let gate_at = |now, since_boot| {
        let clock = Arc::new(Hand(AtomicI64::new(now), AtomicI64::new(since_boot)));
        let gate = Gate::new(Arc::clone(&clock) as _, hours(), Arc::clone(&state));
        (clock, Arc::new(gate.expect("readable")))
    };
    let (_, gate) = gate_at(NOW, HOUR_MS);
    gate.start_downtime(NOW + 6 * HOUR_MS, "moving").expect("it can be started");
    let (clock, gate) = gate_at(7, 0);
    assert_eq!(gate.shut(Purpose::Talk).map(|it| it.why), Some(Why::WrongClock));
    clock.0.store(NOW + 7 * HOUR_MS, Ordering::Relaxed);
    assert_eq!(gate.shut(Purpose::Talk), None, "the clock was set, and says that it is over");

    // One that the same boot has seen from its beginning to its end.
    let (clock, gate) = gate_at(7, 0);
    gate.stop_downtimes().expect("they can be stopped");
    gate.start_downtime(7 + HOUR_MS, "moving").expect("it can be started");
    assert!(gate.permit("GET /").is_err());
    clock.0.store(8 + HOUR_MS, Ordering::Relaxed);
    clock.1.store(HOUR_MS + 1, Ordering::Relaxed);
    assert!(gate.permit("GET /").is_ok());
}

#[test]
fn a_device_that_is_switched_off_each_evening_is_not_silent_for_ever() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let state = Arc::new(StateDir::open(folder.path()).expect("nobody else has it"));
    let night =
        crate::schedule::Window { days: Vec::new(), dates: Vec::new(), from: 22 * 60, to: 5 * 60 };
    let mut contacts = Vec::new();
    for day in 0..6 {
        let clock = Arc::new(Hand(AtomicI64::new(7), AtomicI64::new(0)));
        let limited = Hours { periods: vec![night.clone()], ..hours() };
        let gate = Gate::new(Arc::clone(&clock) as _, limited, Arc::clone(&state));
        let gate = gate.expect("readable");
        for hour in 0..10 {
            clock.1.store(hour * HOUR_MS, Ordering::Relaxed);
            if gate.shut(Purpose::Look).is_none() {
                contacts.push((day, hour));
                gate.contact_is_over();
            }
            gate.count_quiet_hours().expect("writable");
        }
    }
    // Nine whole hours count each day.
    assert_eq!(contacts, [(2, 6), (5, 3)]);
}

#[test]
fn hours_that_are_taken_over_count_at_once() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let state = Arc::new(StateDir::open(folder.path()).expect("nobody else has it"));
    let clock = Arc::new(Hand(AtomicI64::new(NOW), AtomicI64::new(0)));
    let always =
        crate::schedule::Window { days: Vec::new(), dates: Vec::new(), from: 0, to: 24 * 60 };
    let when = crate::schedule::When::Recurring(always, TimeZone::UTC);
    let downtime = crate::schedule::Downtime { reason: "audit".to_owned(), when };
    let closed = Hours { downtimes: vec![downtime], ..hours() };
    let gate = Arc::new(Gate::new(clock, closed, state).expect("readable"));
    assert!(gate.permit("GET /").is_err() && gate.opening(NOW).0.at() > NOW);
    assert!(gate.set_hours(hours(), "GET /").is_none(), "it is open now");
    assert!(gate.permit("GET /").is_ok());
    assert_eq!(gate.opening(NOW), (Opening::At(NOW), None));
}
