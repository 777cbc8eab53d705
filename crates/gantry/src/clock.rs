//! The one place that reads the time.

use std::thread;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

/// The moment at which waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    span: Duration,
}

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self { end: Instant::now() + duration, span: duration }
    }

    /// How long it is from the start of the waiting.
    pub(crate) fn span(self) -> Duration {
        self.span
    }

    pub(crate) fn has_passed(self) -> bool {
        Instant::now() >= self.end
    }

    /// Sleeps, but not beyond the deadline.
    pub(crate) fn pause(self, duration: Duration) {
        thread::sleep(duration.min(self.end.saturating_duration_since(Instant::now())));
    }
}

/// The time zone in which people read times.
pub(crate) fn time_zone() -> TimeZone {
    TimeZone::system()
}
