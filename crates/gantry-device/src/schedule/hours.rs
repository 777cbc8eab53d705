//! The owner's hours: when the client may talk, when it may look for changes, and what keeps it from
//! either. Times are judged by the device's own clock, in the owner's time zone.

use jiff::tz::TimeZone;

use super::span::{self, Span};
use super::window::{HORIZON_DAYS, Window};

/// The most steps from one closed stretch to the next before a search says how far it got.
const MOST_STEPS: usize = 4_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What the owner has configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hours {
    pub(crate) zone: TimeZone,
    /// Windows in which the client looks for changes; without any, always.
    pub(crate) periods: Vec<Window>,
    pub(crate) downtimes: Vec<Downtime>,
}

/// A time in which nothing is said at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Downtime {
    pub(crate) reason: String,
    pub(crate) when: When,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Once(Span),
    Recurring(Window, TimeZone),
}

/// What the client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Fetch: changes, packages.
    Look,
    /// Say anything at all, such as how workloads are.
    Talk,
}

/// Why it is not a time for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Nothing is said.
    Downtime { reason: String },
    /// Nothing is fetched.
    OutsidePollingPeriod,
}

/// When it is a time for it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    At(i64),
    /// None was found before this.
    NotBefore(i64),
}

impl Opening {
    pub(crate) fn at(self) -> i64 {
        match self {
            Self::At(at) | Self::NotBefore(at) => at,
        }
    }
}

impl Downtime {
    /// The stretch of it that is in force.
    pub(crate) fn in_force(&self, at_ms: i64) -> Option<Span> {
        match &self.when {
            When::Once(span) => Some(*span).filter(|it| it.contains(at_ms)),
            When::Recurring(window, zone) => window.open_at(at_ms, zone),
        }
    }

    /// The next stretch of it that begins after this.
    pub(crate) fn next_after(&self, at_ms: i64) -> Option<Span> {
        match &self.when {
            When::Once(span) => Some(*span).filter(|it| it.start > at_ms),
            When::Recurring(window, zone) => window.next_after(at_ms, zone),
        }
    }
}

impl Hours {
    /// An instant as a clock on the owner's wall shows it, in whole seconds.
    pub(crate) fn local(&self, at_ms: i64) -> String {
        let timestamp = jiff::Timestamp::from_second(at_ms.div_euclid(1000)).unwrap_or_default();
        timestamp.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// What keeps the client from it, and until when at least. A downtime is named before the polling
    /// period, and of several the one that lasts longest.
    // margo(PO-2, PO-3)
    pub(crate) fn closed_at(&self, at_ms: i64, purpose: Purpose) -> Option<(Closed, i64)> {
        let in_force = self.downtimes.iter().filter_map(|it| Some((it, it.in_force(at_ms)?)));
        if let Some((downtime, span)) = in_force.max_by_key(|(_, span)| span.end) {
            return Some((Closed::Downtime { reason: downtime.reason.clone() }, span.end));
        }
        if purpose == Purpose::Talk || self.periods.is_empty() {
            return None;
        }
        if self.periods.iter().any(|it| it.open_at(at_ms, &self.zone).is_some()) {
            return None;
        }
        let starts = self.periods.iter().filter_map(|it| it.next_after(at_ms, &self.zone));
        let next = starts.map(|it| it.start).min();
        let next = next.unwrap_or_else(|| at_ms.saturating_add(HORIZON_DAYS * DAY_MS));
        Some((Closed::OutsidePollingPeriod, next))
    }

    /// The first time for it from `from_ms` on, and what kept it closed last.
    pub(crate) fn opening(&self, from_ms: i64, purpose: Purpose) -> (Opening, Option<Closed>) {
        let horizon = from_ms.saturating_add(HORIZON_DAYS * DAY_MS);
        let (mut at, mut why) = (from_ms, None);
        for _ in 0..MOST_STEPS {
            match self.closed_at(at, purpose) {
                None => return (Opening::At(at), why),
                Some((closed, until)) => {
                    (at, why) = (until, Some(closed));
                    if until >= horizon {
                        break;
                    }
                }
            }
        }
        (Opening::NotBefore(at), why)
    }

    /// Whether every week is closed for all of it, whatever the dates: then the client never looks.
    pub(crate) fn never_open(&self) -> bool {
        let weekly = |it: &&Downtime| match &it.when {
            When::Recurring(window, _) => window.is_weekly(),
            When::Once(_) => false,
        };
        if !self.periods.iter().all(Window::is_weekly) {
            return false;
        }
        let downtimes = self.downtimes.iter().filter(weekly).cloned().collect();
        let weekly = Self { downtimes, ..self.clone() };
        // Any two weeks without a change of clocks would do.
        let monday = jiff::civil::date(2024, 1, 15).at(0, 0, 0, 0);
        let Some(start) = span::instant(monday, span::Edge::Start, &self.zone) else {
            return false;
        };
        weekly.opening(start, Purpose::Look).0.at() >= start + 14 * DAY_MS
    }
}
