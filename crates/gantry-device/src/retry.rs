//! How long what went wrong is left alone before it is tried again. Pure.

use device_providers::code;

use crate::code::{BAD_SIGNATURE, KEY_CHANGED, NOT_ELIGIBLE, PACKAGE_TOO_LARGE};

/// No pause is longer, in milliseconds. One that seems to be comes from a clock that has jumped.
pub(crate) const LONGEST_MS: i64 = 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60 * 1000;
const FIRST_MS: i64 = 5 * 1000;
/// The longest pause after a failure that may pass by itself.
const LONGEST_PASSING_MS: i64 = 10 * MINUTE_MS;

/// Failures that somebody has to do something about: another package, another configuration.
const LASTING: [&str; 9] = [
    code::BAD_ARCHIVE,
    code::BAD_PARAMETER,
    code::BAD_PACKAGE,
    code::UNSUPPORTED_TYPE,
    code::NOT_ALLOWED,
    NOT_ELIGIBLE,
    PACKAGE_TOO_LARGE,
    BAD_SIGNATURE,
    KEY_CHANGED,
];

/// The pause in milliseconds after so many failed attempts in a row, of which the last had this code.
// margo(W-6)
pub(crate) fn pause_ms(attempts: u32, code: &str) -> i64 {
    let longest = if LASTING.contains(&code) { LONGEST_MS } else { LONGEST_PASSING_MS };
    doubled(FIRST_MS, attempts.saturating_sub(1)).min(longest)
}

/// A pause that was doubled so many times, up to [`LONGEST_MS`].
pub(crate) fn doubled(first_ms: i64, doublings: u32) -> i64 {
    (first_ms << doublings.min(16)).min(LONGEST_MS)
}

/// Whether it is time, in milliseconds since 1970. A clock that has jumped must not put it off for ever.
pub(crate) fn is_due(retry_at: i64, now_ms: i64) -> bool {
    retry_at <= now_ms || retry_at - now_ms > LONGEST_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_that_is_longer_where_waiting_does_not_help() {
        let pauses = |code| [1, 2, 3, 8, 9, 20, u32::MAX].map(|it| pause_ms(it, code) / 1000);
        assert_eq!(pauses(code::START_FAILED), [5, 10, 20, 600, 600, 600, 600]);
        assert_eq!(pauses(code::NOT_ALLOWED), [5, 10, 20, 640, 1280, 3600, 3600]);
    }

    #[test]
    fn a_retry_further_away_than_any_pause_is_due() {
        let now = 1_800_000_000_000;
        assert!(is_due(0, now) && is_due(now, now));
        assert!(!is_due(now + 1, now) && !is_due(now + LONGEST_MS, now));
        assert!(is_due(now + LONGEST_MS + 1, now), "the clock has jumped back");
    }
}
