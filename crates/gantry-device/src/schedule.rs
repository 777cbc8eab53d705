//! When to talk next. Pure functions of the time, what happened, and the configuration.

use std::time::Duration;

use crate::config::PollingConfig;

/// No two attempts are closer than this, whatever the server does.
const SHORTEST_PAUSE_MS: f64 = 1_000.0;
/// The first pause after an error is at most this long; each further one may be twice as long.
const FIRST_PAUSE_MS: f64 = 2_000.0;
/// A server cannot keep a client away for longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How the last contacts went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Errors in a row.
    pub(crate) failures: u32,
    /// How long the server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// When the next contact is due, in milliseconds since 1970. `chance` is a random number from 0 to 1:
/// it spreads a fleet that was cut off together.
pub(crate) fn next_contact(now_ms: i64, pace: Pace, polling: &PollingConfig, chance: f64) -> i64 {
    let interval = millis(polling.interval);
    let pause = if pace.failures == 0 {
        let stray = interval * f64::from(polling.jitter_percent) / 100.0;
        interval + stray * (2.0 * chance - 1.0)
    } else {
        let doublings = i32::try_from(pace.failures - 1).unwrap_or(i32::MAX).min(30);
        let longest = (FIRST_PAUSE_MS * 2_f64.powi(doublings)).min(millis(polling.longest_pause));
        longest * chance
    };
    let asked_for = pace.retry_after.map(|it| millis(it.min(LONGEST_RETRY_AFTER)));
    let pause = pause.max(SHORTEST_PAUSE_MS).max(asked_for.unwrap_or_default());
    #[expect(clippy::cast_possible_truncation, reason = "a pause is at most a year")]
    now_ms.saturating_add(pause as i64)
}

/// Milliseconds to wait until `due`. A clock that jumped back must not make the client sleep for ever:
/// no wait is longer than the longest one that could have been meant.
pub(crate) fn wait(now_ms: i64, due_ms: i64, polling: &PollingConfig) -> Duration {
    let longest = polling.interval.max(polling.longest_pause).max(LONGEST_RETRY_AFTER) * 2;
    let wait = u64::try_from(due_ms.saturating_sub(now_ms)).unwrap_or_default();
    Duration::from_millis(wait).min(longest)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn polling() -> PollingConfig {
        PollingConfig {
            interval: Duration::from_secs(60),
            jitter_percent: 10,
            longest_pause: Duration::from_secs(300),
        }
    }

    fn pause(failures: u32, retry_after: Option<u64>, chance: f64) -> i64 {
        let pace = Pace { failures, retry_after: retry_after.map(Duration::from_secs) };
        next_contact(NOW, pace, &polling(), chance) - NOW
    }

    #[test]
    fn an_interval_strays_by_its_jitter_and_no_more() {
        assert_eq!(pause(0, None, 0.0), 54_000);
        assert_eq!(pause(0, None, 0.5), 60_000);
        assert_eq!(pause(0, None, 1.0), 66_000);
    }

    #[test]
    fn pauses_after_errors_grow_up_to_a_bound_and_are_never_short() {
        assert_eq!(pause(1, None, 1.0), 2_000);
        assert_eq!(pause(4, None, 1.0), 16_000);
        assert_eq!(pause(4, None, 0.5), 8_000);
        assert_eq!(pause(50, None, 1.0), 300_000);
        assert_eq!(pause(u32::MAX, None, 0.0), 1_000);
    }

    #[test]
    fn the_server_may_ask_for_more_time_but_not_for_ever() {
        assert_eq!(pause(1, Some(30), 0.0), 30_000);
        assert_eq!(pause(0, Some(5), 0.5), 60_000);
        assert_eq!(pause(1, Some(u64::MAX), 0.0), 24 * 60 * 60 * 1_000);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_stop_the_client() {
        assert_eq!(wait(NOW, NOW + 5_000, &polling()), Duration::from_secs(5));
        assert_eq!(wait(NOW, NOW - 5_000, &polling()), Duration::ZERO);
        assert!(wait(0, NOW, &polling()) <= Duration::from_secs(48 * 60 * 60));
    }
}
