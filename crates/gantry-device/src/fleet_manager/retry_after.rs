//! How long a server asks to be left alone: `Retry-After` in both of its forms (RFC 9110 section
//! 10.2.3), and the member of a problem where the header is missing.

use std::time::Duration;

use margo_contract::problem::Problem;

use crate::skew::http_date;

/// The pause that a refusal asks for. A date counts from `server_ms`, the server's time in milliseconds
/// since 1970; one that has passed asks for none.
// margo(RT-2, PD-2)
pub(super) fn pause(header: Option<&str>, problem: &Problem, server_ms: i64) -> Option<Duration> {
    let Some(header) = header.map(str::trim) else {
        return problem.retry_after_seconds.map(Duration::from_secs);
    };
    if !header.is_empty() && header.bytes().all(|it| it.is_ascii_digit()) {
        // More digits than fit mean "very long".
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let pause = http_date(header)?.saturating_sub(server_ms);
    Some(Duration::from_millis(u64::try_from(pause).unwrap_or_default()))
}

/// Whether the same request may do better soon, margo(RT-2): what the problem says, or else what
/// its status means.
pub(super) fn is_retryable(status: u16, says: Option<bool>) -> bool {
    says.unwrap_or(matches!(status, 429 | 500..=599))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sun, 06 Nov 1994 08:49:37 GMT.
    const THEN: i64 = 784_111_777_000;

    fn seconds(header: Option<&str>, server_ms: i64) -> Option<u64> {
        let problem = Problem { retry_after_seconds: Some(7), ..Problem::default() };
        pause(header, &problem, server_ms).map(|it| it.as_secs())
    }

    // margo(RT-2, PD-2)
    #[test]
    fn seconds_and_dates_are_understood_and_the_header_wins() {
        assert_eq!(seconds(Some("120"), THEN), Some(120));
        assert_eq!(seconds(Some(" 0 "), THEN), Some(0));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(seconds(Some(date), THEN - 90_000), Some(90));
        assert_eq!(seconds(Some(date), THEN + 90_000), Some(0), "it has passed");
        assert_eq!(seconds(None, THEN), Some(7));
        assert_eq!(pause(None, &Problem::default(), THEN), None);
    }

    #[test]
    fn what_is_neither_asks_for_nothing_and_nothing_overflows() {
        for bad in ["", "-1", "1.5", "soon", "12 s"] {
            assert_eq!(seconds(Some(bad), THEN), None, "{bad}");
        }
        assert_eq!(seconds(Some("99999999999999999999999"), THEN), Some(u64::MAX));
        assert!(seconds(Some("Thu, 30 Dec 9999 00:00:00 GMT"), i64::MIN).is_some());
    }

    // margo(RT-2)
    #[test]
    fn only_a_server_in_trouble_is_asked_again_soon_unless_it_says_otherwise() {
        for status in [429, 500, 502, 503, 504] {
            assert!(is_retryable(status, None), "{status}");
            assert!(!is_retryable(status, Some(false)), "{status}");
        }
        for status in [400, 401, 403, 404, 409, 422] {
            assert!(!is_retryable(status, None), "{status}");
            assert!(is_retryable(status, Some(true)), "{status}");
        }
    }
}
