//! How fast the client goes: the interval, the back-off after errors, and what the server asked for.

use std::time::Duration;

/// A server cannot keep a client away for longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How fast the owner lets the client go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) interval: Duration,
    /// How far an interval may stray, in percent of it.
    pub(crate) jitter_percent: u8,
    /// No two attempts are closer than this, whatever the server does.
    pub(crate) shortest_pause: Duration,
    /// The first pause after an error is at most this long; each further one may be twice as long.
    pub(crate) first_pause: Duration,
    /// The longest pause after errors.
    pub(crate) longest_pause: Duration,
}

// margo(PO-5)
impl Default for Rate {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            jitter_percent: 10,
            shortest_pause: Duration::from_secs(1),
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(300),
        }
    }
}

/// How the last contacts went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Errors in a row.
    pub(crate) failures: u32,
    /// How long the server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the same request would fail again: it waits for the next regular contact.
    pub(crate) is_final: bool,
}

/// Why the next contact is not earlier, as far as the pace goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pacing {
    Interval,
    BackOff { failures: u32 },
    AskedByServer,
}

impl Rate {
    /// The pause until the next contact. `chance` is a random number from 0 to 1: it spreads a fleet that
    /// was cut off together.
    // margo(RT-2, RT-3, PO-4, W-3)
    pub(crate) fn pause(&self, pace: Pace, chance: f64) -> (Duration, Pacing) {
        let earliest = self.interval.saturating_sub(self.longest_stray());
        let regular = earliest.saturating_add(self.longest_stray().mul_f64(2.0 * chance));
        let (pause, pacing) = match pace.failures {
            0 => (regular, Pacing::Interval),
            failures => {
                let doubled = 2_u32.saturating_pow((failures - 1).min(31));
                let longest = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
                (longest.mul_f64(chance), Pacing::BackOff { failures })
            }
        };
        let pause = pause.max(self.shortest_pause);
        match pace.retry_after.map(|it| it.min(LONGEST_RETRY_AFTER)) {
            Some(asked_for) if asked_for > pause => (asked_for, Pacing::AskedByServer),
            // margo(RT-2)
            None if pace.is_final && regular > pause => (regular, Pacing::Interval),
            _ => (pause, pacing),
        }
    }

    /// How far an interval may stray.
    pub(crate) fn longest_stray(&self) -> Duration {
        self.interval.mul_f64(f64::from(self.jitter_percent) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(failures: u32, retry_after: Option<u64>, chance: f64) -> (u128, Pacing) {
        let retry_after = retry_after.map(Duration::from_secs);
        let pace = Pace { failures, retry_after, is_final: false };
        let (pause, pacing) = Rate::default().pause(pace, chance);
        (pause.as_millis(), pacing)
    }

    // margo(PO-4, PO-5)
    #[test]
    fn an_interval_strays_by_its_jitter_and_no_more() {
        assert_eq!(pause(0, None, 0.0), (54_000, Pacing::Interval));
        assert_eq!(pause(0, None, 0.5), (60_000, Pacing::Interval));
        assert_eq!(pause(0, None, 1.0), (66_000, Pacing::Interval));
    }

    // margo(RT-3)
    #[test]
    fn pauses_after_errors_grow_up_to_a_bound_and_are_never_short() {
        let after = |failures, chance| {
            let (pause, pacing) = pause(failures, None, chance);
            assert_eq!(pacing, Pacing::BackOff { failures });
            pause
        };
        assert_eq!(after(1, 1.0), 2_000);
        assert_eq!(after(4, 1.0), 16_000);
        assert_eq!(after(4, 0.5), 8_000);
        assert_eq!(after(50, 1.0), 300_000);
        assert_eq!(after(u32::MAX, 0.0), 1_000);
    }

    // margo(RT-2)
    #[test]
    fn what_would_fail_again_waits_for_the_next_regular_contact() {
        let pause = |failures, retry_after, chance| {
            let pace = Pace { failures, retry_after, is_final: true };
            let (pause, pacing) = Rate::default().pause(pace, chance);
            (pause.as_secs(), pacing)
        };
        assert_eq!(pause(1, None, 0.0), (54, Pacing::Interval));
        assert_eq!(pause(9, None, 1.0), (300, Pacing::BackOff { failures: 9 }));
        let asked_for = Some(Duration::from_secs(5));
        assert_eq!(
            pause(1, asked_for, 0.0),
            (5, Pacing::AskedByServer),
            "while it is not approved"
        );
    }

    // margo(RT-2)
    #[test]
    fn the_server_may_ask_for_more_time_but_not_for_ever() {
        assert_eq!(pause(1, Some(30), 0.0), (30_000, Pacing::AskedByServer));
        assert_eq!(pause(0, Some(5), 0.5), (60_000, Pacing::Interval));
        assert_eq!(pause(1, Some(u64::MAX), 0.0), (24 * 60 * 60 * 1_000, Pacing::AskedByServer));
    }
}
