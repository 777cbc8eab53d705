//! Downtimes that somebody started at the device while the client ran. They are durable: a restart or a
//! power cut does not end them.
//!
//! A wrong clock must not end them early either. So one lasts until the clock says that it is over and as
//! long has passed on the clock that never jumps; a clock that jumps back does not make it endless.

use serde::{Deserialize, Serialize};

use crate::state_dir::{StateDir, StateError};

const FILE: &str = "downtimes.json";
/// More than these are not kept.
const MOST: usize = 16;
/// No downtime is longer, in milliseconds: a year.
pub(crate) const LONGEST_MS: i64 = 366 * DAY_MS;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// All that were started and not stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StartedDowntimes {
    all: Vec<Started>,
}

/// One downtime. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) reason: String,
    /// On the clock that never jumps; unknown after a restart.
    #[serde(skip)]
    held_until: u64,
}

/// Why a downtime is not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the downtime would be over already")]
    Over,
    #[error("a downtime lasts a year at most")]
    TooLong,
    #[error("{MOST} downtimes have been started already; stop them first")]
    TooMany,
    #[error("the downtime cannot be written down")]
    State(#[from] StateError),
}

impl Started {
    pub(crate) fn is_in_force(&self, now_ms: i64, monotonic_ms: u64) -> bool {
        let left = self.end - now_ms;
        let by_clock = left > 0 && left <= self.end - self.start + DAY_MS;
        by_clock || monotonic_ms < self.held_until
    }
}

impl StartedDowntimes {
    pub(crate) fn load(state: &StateDir) -> Result<Self, StateError> {
        Ok(Self { all: state.load(FILE)?.unwrap_or_default() })
    }

    /// Starts one now.
    pub(crate) fn start(
        &mut self,
        end: i64,
        reason: &str,
        now_ms: i64,
        monotonic_ms: u64,
        state: &StateDir,
    ) -> Result<Started, StartError> {
        let length = end.saturating_sub(now_ms);
        if length <= 0 {
            return Err(StartError::Over);
        }
        if length > LONGEST_MS {
            return Err(StartError::TooLong);
        }
        let mut all: Vec<_> = self.in_force(now_ms, monotonic_ms).cloned().collect();
        if all.len() >= MOST {
            return Err(StartError::TooMany);
        }
        let reason = reason.chars().filter(|it| !it.is_control()).take(LONGEST_REASON).collect();
        let held_until = monotonic_ms.saturating_add(length.unsigned_abs());
        let started = Started { start: now_ms, end, reason, held_until };
        all.push(started.clone());
        // On disk first: whoever is told that it is quiet can rely on it.
        state.save(FILE, &all)?;
        self.all = all;
        Ok(started)
    }

    /// Ends all of them, and gives how many were in force.
    pub(crate) fn stop(
        &mut self,
        now_ms: i64,
        monotonic_ms: u64,
        state: &StateDir,
    ) -> Result<usize, StateError> {
        let stopped = self.in_force(now_ms, monotonic_ms).count();
        if !self.all.is_empty() {
            state.remove(FILE)?;
            self.all.clear();
        }
        Ok(stopped)
    }

    /// Whether there is one of which a wrong clock cannot say that it is over.
    pub(crate) fn may_last(&self, monotonic_ms: u64) -> bool {
        self.all.iter().any(|it| it.held_until == 0 || monotonic_ms < it.held_until)
    }

    pub(crate) fn in_force(
        &self,
        now_ms: i64,
        monotonic_ms: u64,
    ) -> impl Iterator<Item = &Started> {
        self.all.iter().filter(move |it| it.is_in_force(now_ms, monotonic_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR_MS: i64 = 60 * 60 * 1000;

    fn state() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        (folder, state)
    }

    #[test]
    fn a_downtime_outlives_a_restart_and_ends_by_itself_or_when_it_is_stopped() {
        let (_folder, state) = state();
        let mut downtimes = StartedDowntimes::default();
        downtimes.start(NOW + HOUR_MS, "press\n moved", NOW, 0, &state).expect("writable");
        let mut again = StartedDowntimes::load(&state).expect("readable");
        let reasons: Vec<_> = again.in_force(NOW + 1, 5).map(|it| it.reason.as_str()).collect();
        assert_eq!(reasons, ["press moved"]);
        assert_eq!(again.in_force(NOW + HOUR_MS, 5).count(), 0);
        assert_eq!(again.stop(NOW + 1, 5, &state).expect("removable"), 1);
        let again = StartedDowntimes::load(&state).expect("readable");
        assert_eq!(again.in_force(NOW + 1, 5).count(), 0);
    }

    #[test]
    fn a_clock_that_jumps_neither_ends_a_downtime_early_nor_makes_it_endless() {
        let (_folder, state) = state();
        let mut downtimes = StartedDowntimes::default();
        // The battery was empty, and the clock is set later on.
        downtimes.start(HOUR_MS + 7, "", 7, 1_000, &state).expect("writable");
        let hour = HOUR_MS.unsigned_abs();
        assert_eq!(downtimes.in_force(NOW, 1_000 + hour - 1).count(), 1);
        assert_eq!(downtimes.in_force(NOW, 1_000 + hour).count(), 0);

        downtimes.start(NOW + HOUR_MS, "", NOW, 0, &state).expect("writable");
        assert_eq!(downtimes.in_force(NOW - HOUR_MS, 2 * hour).count(), 1, "back by an hour");
        assert_eq!(downtimes.in_force(NOW - 30 * DAY_MS, 2 * hour).count(), 0, "back by a month");
    }

    #[test]
    fn downtimes_are_bounded_in_number_and_length() {
        let (_folder, state) = state();
        let mut downtimes = StartedDowntimes::default();
        let mut start = |end| downtimes.start(end, "", NOW, 0, &state);
        assert!(matches!(start(NOW), Err(StartError::Over)));
        assert!(matches!(start(NOW + LONGEST_MS + 1), Err(StartError::TooLong)));
        for _ in 0..MOST {
            assert!(start(NOW + LONGEST_MS).is_ok());
        }
        assert!(matches!(start(NOW + 1), Err(StartError::TooMany)));
    }
}
