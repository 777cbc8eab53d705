//! The one place of this program that reads the time. Everywhere else it is an argument.

use jiff::Timestamp;

/// Milliseconds since 1970, by the clock of this machine.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// RFC 3339 in UTC, in whole seconds, from milliseconds since 1970.
pub(crate) fn rfc3339(milliseconds: i64) -> String {
    Timestamp::from_second(milliseconds.div_euclid(1000))
        .map(|it| it.to_string())
        .unwrap_or_default()
}
