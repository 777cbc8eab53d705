//! The one place of this program that reads the time, and waits. Everywhere else time is an argument, or
//! comes from a [`Clock`], which tests replace by one that runs a year in seconds.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::agent::Wake;

/// Before 2020 a clock is known to be wrong: its battery is empty, and nobody has set it yet.
const FIRST_PLAUSIBLE_MS: i64 = 1_577_836_800_000;

/// Tells the time, and waits.
pub(crate) trait Clock: Send + Sync {
    /// Milliseconds since 1970, by the clock of this machine. It may jump, and it may be wrong.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment in the past, sleep of the machine included. It never jumps.
    fn monotonic_ms(&self) -> u64;

    /// Waits for something to happen, at most so long.
    fn wait(&self, wake: &Receiver<Wake>, at_most: Duration) -> Option<Wake>;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        let since_boot = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (since_boot.tv_sec, since_boot.tv_nsec);
        u64::try_from(seconds * 1_000 + nanoseconds / 1_000_000).unwrap_or_default()
    }

    fn wait(&self, wake: &Receiver<Wake>, at_most: Duration) -> Option<Wake> {
        match wake.recv_timeout(at_most) {
            Ok(wake) => Some(wake),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody can wake us any more: then it is time alone that passes.
                std::thread::sleep(at_most);
                None
            }
        }
    }
}

/// Whether a time can be that of a clock that was ever set.
pub(crate) fn is_plausible(now_ms: i64) -> bool {
    now_ms >= FIRST_PLAUSIBLE_MS
}

/// Milliseconds since 1970, by the clock of this machine.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// RFC 3339 in UTC, in whole seconds, from milliseconds since 1970.
pub(crate) fn rfc3339(milliseconds: i64) -> String {
    Timestamp::from_second(milliseconds.div_euclid(1000))
        .map(|it| it.to_string())
        .unwrap_or_default()
}
