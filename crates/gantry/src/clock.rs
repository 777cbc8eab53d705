//! The one place that reads the time.

use std::thread;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

/// The moment at which waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    pub(crate) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Sleeps, but not beyond the deadline.
    pub(crate) fn pause(self, duration: Duration) {
        thread::sleep(duration.min(self.0.saturating_duration_since(Instant::now())));
    }
}

/// The time zone in which people read times.
pub(crate) fn time_zone() -> TimeZone {
    TimeZone::system()
}
