//! A window that comes again: on which days it begins, from when to when.

use std::ops::RangeInclusive;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::span::{self, Edge, Span};

/// How many days ahead windows are looked for. What comes later is as good as never.
pub(crate) const HORIZON_DAYS: i64 = 800;

/// A window. It belongs to the day on which it begins, also when it lasts over midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// The days of the week and the dates on which it begins: on either. Without any, every day.
    pub(crate) days: Vec<Weekday>,
    pub(crate) dates: Vec<RangeInclusive<Date>>,
    /// Minutes since midnight, below 1440.
    pub(crate) from: u16,
    /// Minutes since midnight, up to 1440; on the next day when it is not after `from`.
    pub(crate) to: u16,
}

impl Window {
    /// Whether it begins on days of the week alone, so that one week is like the next.
    pub(crate) fn is_weekly(&self) -> bool {
        self.dates.is_empty()
    }

    fn begins_on(&self, date: Date) -> bool {
        let always = self.days.is_empty() && self.dates.is_empty();
        always
            || self.days.contains(&date.weekday())
            || self.dates.iter().any(|it| it.contains(&date))
    }

    /// The window of one day. Where clocks leave all of it out there is none.
    fn of(&self, date: Date, zone: &TimeZone) -> Option<Span> {
        if !self.begins_on(date) {
            return None;
        }
        let end_date =
            if self.to <= self.from || self.to == 24 * 60 { date.tomorrow().ok()? } else { date };
        let start = span::instant(at(date, self.from), Edge::Start, zone)?;
        let end = span::instant(at(end_date, self.to % (24 * 60)), Edge::End, zone)?;
        (start < end).then_some(Span { start, end })
    }

    /// The window that is open at `at_ms`: of two, the one that lasts longer.
    pub(crate) fn open_at(&self, at_ms: i64, zone: &TimeZone) -> Option<Span> {
        // Two days back, since an island once left a whole day out.
        days_from(at_ms, 2, zone)
            .take(4)
            .filter_map(|date| self.of(date, zone))
            .filter(|it| it.contains(at_ms))
            .max_by_key(|it| it.end)
    }

    /// The first window that begins after `at_ms`.
    pub(crate) fn next_after(&self, at_ms: i64, zone: &TimeZone) -> Option<Span> {
        let days = usize::try_from(HORIZON_DAYS).unwrap_or_default();
        days_from(at_ms, 1, zone)
            .take(days)
            .filter_map(|date| self.of(date, zone))
            .find(|it| it.start > at_ms)
    }
}

/// The days from some days before an instant on.
fn days_from(at_ms: i64, before: i64, zone: &TimeZone) -> impl Iterator<Item = Date> + use<> {
    let today = span::civil(at_ms, zone).date();
    let first = today.checked_sub(jiff::Span::new().days(before)).ok();
    std::iter::successors(first, |date| date.tomorrow().ok())
}

fn at(date: Date, minutes: u16) -> DateTime {
    let (hour, minute) = (i8::try_from(minutes / 60), i8::try_from(minutes % 60));
    let time = match (hour, minute) {
        (Ok(hour), Ok(minute)) => Time::new(hour, minute, 0, 0).unwrap_or_default(),
        _ => Time::midnight(),
    };
    date.to_datetime(time)
}
