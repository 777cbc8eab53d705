//! A stretch of time, and the instants at which civil times are.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, tz::Offset};

/// From `start` on, up to and without `end`, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Span {
    pub(crate) fn contains(self, at_ms: i64) -> bool {
        (self.start..self.end).contains(&at_ms)
    }
}

/// Which edge of a window a civil time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// The instant of a civil time, in milliseconds since 1970. Where clocks go forward, a time that is left
/// out is the first instant after the gap. Where they go back, a time that comes twice begins a window the
/// first time and ends it the second time, so that the window covers both.
pub(crate) fn instant(civil: DateTime, edge: Edge, zone: &TimeZone) -> Option<i64> {
    let at = |offset: Offset| offset.to_timestamp(civil).ok();
    let instant = match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        AmbiguousOffset::Fold { before, after } => match edge {
            Edge::Start => at(before),
            Edge::End => at(after),
        },
        AmbiguousOffset::Gap { before, after } => {
            // The civil time by the later offset is still before the gap.
            let gap = zone.following(at(after)?).find(|it| it.offset() == after);
            gap.map(|it| it.timestamp()).or_else(|| at(before))
        }
    };
    instant.map(Timestamp::as_millisecond)
}

/// The civil time of an instant, at the ends of the calendar the nearest that there is.
pub(crate) fn civil(at_ms: i64, zone: &TimeZone) -> DateTime {
    let nearest = at_ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    zone.to_datetime(Timestamp::from_millisecond(nearest).unwrap_or_default())
}
