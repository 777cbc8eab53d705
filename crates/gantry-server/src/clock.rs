//! The one place of this program that reads the time. Everywhere else it is an argument.

use jiff::Timestamp;

/// Seconds since 1970, now.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// RFC 3339 in UTC, from seconds since 1970.
pub(crate) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|it| it.to_string()).unwrap_or_default()
}
