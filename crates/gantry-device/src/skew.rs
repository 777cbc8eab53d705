//! How wrong the machine's clock is, by the `Date` of the fleet manager's answers, and the time before
//! which it cannot be. Pure: times are arguments, in milliseconds since 1970.
//!
//! Signatures and expiry times go by the server's clock. Certificates go by the machine's, which may
//! have lost the time (a dead battery starts in 1970): then by the newest time that is known to have
//! passed, so that such a device still talks, and what expired before stays expired.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::{Deserialize, Serialize};

use crate::state_dir::{StateDir, StateError};

/// A difference that is worth a line in the log, in milliseconds.
const LOUD_MS: i64 = 30_000;
/// Servers behind one address may differ by this much, in milliseconds.
const TOLERANCE_MS: i64 = 2_000;
/// 2026-01-01: this program did not exist before.
const PROGRAM_WRITTEN_MS: i64 = 1_767_225_600_000;
const FILE: &str = "known-time.json";

/// By how much the server's clock is ahead of the machine's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skew {
    ms: i64,
    told_ms: i64,
}

/// What changed so much that a person should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Always positive.
    pub(crate) seconds: u64,
    /// What the machine's clock is: `ahead`, `behind`, or `right` again.
    pub(crate) direction: &'static str,
}

impl Skew {
    /// The server's time when the machine's clock says `now_ms`.
    pub(crate) fn server_time(self, now_ms: i64) -> i64 {
        now_ms.saturating_add(self.ms)
    }

    /// Learns from an answer that says `date_ms`, in whole seconds, and that came between two moments
    /// of the machine's clock.
    pub(crate) fn hear(&mut self, sent_ms: i64, received_ms: i64, date_ms: i64) -> Option<Told> {
        // The clock was set while the answer was awaited: it says nothing.
        if received_ms < sent_ms {
            return None;
        }
        let least = date_ms.saturating_sub(received_ms);
        let most = date_ms.saturating_add(999).saturating_sub(sent_ms);
        let agrees = least.saturating_sub(TOLERANCE_MS)..=most.saturating_add(TOLERANCE_MS);
        if !agrees.contains(&self.ms) {
            self.ms = least.midpoint(most);
        }
        if self.ms.saturating_sub(self.told_ms).saturating_abs() <= LOUD_MS {
            return None;
        }
        self.told_ms = self.ms;
        let direction = match self.ms {
            ms if ms.saturating_abs() <= LOUD_MS => "right",
            ms if ms > 0 => "behind",
            _ => "ahead",
        };
        Some(Told { seconds: self.ms.unsigned_abs() / 1_000, direction })
    }
}

/// The time before which it cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KnownTime {
    passed_ms: i64,
}

impl Default for KnownTime {
    fn default() -> Self {
        Self { passed_ms: PROGRAM_WRITTEN_MS }
    }
}

impl KnownTime {
    /// What was kept with the desired state in force. A damaged file is worth no more than none.
    pub(crate) fn load(state: &StateDir) -> Self {
        match state.load::<Self>(FILE) {
            Ok(kept) => Self::default().later(kept.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "the newest known time is lost");
                Self::default()
            }
        }
    }

    pub(crate) fn save(self, state: &StateDir) -> Result<(), StateError> {
        state.save(FILE, &self)
    }

    /// The later of two.
    pub(crate) fn later(self, other: Self) -> Self {
        Self { passed_ms: self.passed_ms.max(other.passed_ms) }
    }

    /// The machine's time, unless its clock has lost it.
    pub(crate) fn correct(self, machine_ms: i64) -> i64 {
        machine_ms.max(self.passed_ms)
    }

    /// Learns from an authenticated answer. A clock that has not lost the time is never overtaken: a
    /// server whose clock runs years ahead must not make good certificates look expired for ever.
    pub(crate) fn hear(self, machine_ms: i64, server_ms: i64) -> Self {
        let passed_ms =
            if machine_ms < self.passed_ms { server_ms } else { server_ms.min(machine_ms) };
        self.later(Self { passed_ms })
    }
}

/// The time of a `Date` or `Retry-After` header (RFC 9110 section 5.6.7), in milliseconds since 1970.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    rfc2822::parse(text.trim()).ok().map(|it| it.timestamp()).map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    /// An answer that took 200 ms, from a server whose clock is ahead.
    fn hear(skew: &mut Skew, machine_ms: i64, ahead_ms: i64) -> Option<Told> {
        let date_ms = (machine_ms + 100 + ahead_ms).div_euclid(1_000) * 1_000;
        skew.hear(machine_ms, machine_ms + 200, date_ms)
    }

    #[test]
    fn a_clock_that_is_right_is_left_alone() {
        let mut skew = Skew::default();
        for offset in 0..2_000 {
            assert_eq!(hear(&mut skew, NOW + offset, 0), None);
            assert_eq!(skew.server_time(NOW), NOW, "an answer has whole seconds only");
        }
    }

    #[test]
    fn jumps_of_the_clock_are_measured_within_a_second_whatever_they_are() {
        for ahead in [-400 * 24 * HOUR, -HOUR, -40_000, 40_000, HOUR, NOW] {
            let mut skew = Skew::default();
            let machine = NOW - ahead;
            let told = hear(&mut skew, machine, ahead).expect("it is worth telling");
            assert_eq!(told.direction, if ahead > 0 { "behind" } else { "ahead" });
            assert!(told.seconds.abs_diff(ahead.unsigned_abs() / 1_000) <= 1, "{told:?}");
            assert!(skew.server_time(machine).abs_diff(NOW) <= 1_000);
        }
    }

    #[test]
    fn a_difference_is_told_once_and_again_when_it_changes_much() {
        let mut skew = Skew::default();
        assert!(hear(&mut skew, NOW, HOUR).is_some());
        for drift in 0..20 {
            assert_eq!(hear(&mut skew, NOW + drift * HOUR, HOUR + drift * 1_000), None);
        }
        assert!(hear(&mut skew, NOW, 2 * HOUR).is_some());
        let right = hear(&mut skew, NOW, 0).expect("it is worth telling");
        assert_eq!(right.direction, "right");
    }

    #[test]
    fn a_slow_answer_and_a_clock_that_is_set_meanwhile_prove_nothing() {
        let mut skew = Skew::default();
        assert_eq!(skew.hear(NOW, NOW + 50_000, NOW), None, "it was dated when it was begun");
        assert_eq!(skew.hear(NOW, NOW - HOUR, NOW - HOUR), None);
        assert_eq!(skew, Skew::default());
        assert_eq!(skew.hear(i64::MIN, i64::MAX, i64::MAX), None, "nothing overflows");
        skew.hear(0, 0, i64::MIN);
    }

    #[test]
    fn a_machine_in_1970_is_at_the_newest_time_that_is_known() {
        let start = KnownTime::default();
        assert_eq!(start.correct(0), PROGRAM_WRITTEN_MS);
        let heard = start.hear(0, NOW);
        assert_eq!(heard.correct(0), NOW);
        assert_eq!(heard.hear(0, NOW - HOUR), heard, "it never goes back");
        assert_eq!(heard.correct(NOW + HOUR), NOW + HOUR, "a clock that is later is believed");
    }

    #[test]
    fn a_server_far_ahead_does_not_carry_a_good_clock_along() {
        let heard = KnownTime::default().hear(NOW, 2 * NOW);
        assert_eq!(heard.correct(NOW), NOW);
    }

    #[test]
    fn the_known_time_outlives_restarts_and_its_file() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        assert_eq!(KnownTime::load(&state), KnownTime::default());
        let heard = KnownTime::default().hear(0, NOW);
        heard.save(&state).expect("writable");
        assert_eq!(KnownTime::load(&state), heard);
        state.save_bytes(FILE, b"{").expect("writable");
        assert_eq!(KnownTime::load(&state), KnownTime::default());
    }

    #[test]
    fn dates_of_http_are_read_and_others_are_none() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for bad in ["", "soon", "Sun, 31 Feb 1994 08:49:37 GMT", "120"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
