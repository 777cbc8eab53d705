//! The clocks of a connection: the machine's, the fleet manager's, and the one for certificates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::skew::{KnownTime, Skew};

/// Tells the time by the machine's clock, in milliseconds since 1970.
pub(crate) type MachineClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock and what is known of its errors.
pub(super) struct Times {
    machine: MachineClock,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    skew: Skew,
    passed: KnownTime,
}

impl Times {
    pub(super) fn new(machine: MachineClock) -> Self {
        Self { machine, known: Mutex::default() }
    }

    pub(super) fn machine_now(&self) -> i64 {
        (self.machine)()
    }

    /// The fleet manager's time, now.
    pub(super) fn server_now(&self) -> i64 {
        self.server_time(self.machine_now())
    }

    /// The fleet manager's time when the machine's clock says `machine_ms`.
    pub(super) fn server_time(&self, machine_ms: i64) -> i64 {
        self.known().skew.server_time(machine_ms)
    }

    /// The newest time that is known to have passed.
    pub(super) fn known_time(&self) -> KnownTime {
        self.known().passed
    }

    /// Takes up what was known before a restart.
    pub(super) fn recall(&self, kept: KnownTime) {
        let mut known = self.known();
        known.passed = known.passed.later(kept);
    }

    /// Learns from an authenticated answer to what was sent at `sent_ms`, and that says `date_ms`.
    pub(super) fn hear(&self, sent_ms: i64, date_ms: i64) {
        let received_ms = self.machine_now();
        let mut known = self.known();
        known.passed = known.passed.hear(received_ms, date_ms);
        let told = known.skew.hear(sent_ms, received_ms, date_ms);
        drop(known);
        if let Some(told) = told {
            tracing::info!(
                seconds = told.seconds,
                direction = told.direction,
                "this machine's clock against the fleet manager's; signing by the fleet manager's"
            );
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Times").field("known", &self.known).finish_non_exhaustive()
    }
}

/// The time for certificates.
impl TimeProvider for Times {
    fn current_time(&self) -> Option<UnixTime> {
        let now_ms = self.known_time().correct(self.machine_now());
        let seconds = u64::try_from(now_ms / 1_000).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
