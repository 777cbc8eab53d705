//! The contacts to come, without their jitter, and why each is not earlier.

use super::hours::{Closed, Hours, Opening, Purpose};
use super::pace::{Pacing, Rate};

/// Why a contact is not earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Because {
    /// It is the first one: nothing stands before it.
    Nothing,
    Pace(Pacing),
    Closed(Closed),
}

/// A contact to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) at: Opening,
    pub(crate) because: Because,
}

/// The contact that is due at `due_ms` as far as the pace goes.
pub(crate) fn next(due_ms: i64, pacing: Because, hours: &Hours) -> Expected {
    let (at, closed) = hours.opening(due_ms, Purpose::Look);
    Expected { at, because: closed.map_or(pacing, Because::Closed) }
}

/// The contacts from `from_ms` on, as long as all goes well. Ends early where no further one can be seen.
pub(crate) fn contacts(from_ms: i64, rate: Rate, hours: Hours) -> impl Iterator<Item = Expected> {
    let interval = i64::try_from(rate.interval.as_millis()).unwrap_or(i64::MAX);
    let first = next(from_ms, Because::Nothing, &hours);
    std::iter::successors(Some(first), move |last| match last.at {
        Opening::At(at) => {
            let due = at.saturating_add(interval);
            Some(next(due, Because::Pace(Pacing::Interval), &hours))
        }
        Opening::NotBefore(_) => None,
    })
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Downtime { reason } => write!(f, "downtime: {reason}"),
            Self::OutsidePollingPeriod => f.write_str("outside the polling period"),
        }
    }
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing stands before it"),
            Self::Pace(Pacing::Interval) => f.write_str("the polling interval"),
            Self::Pace(Pacing::BackOff { failures }) => {
                write!(f, "a pause after {failures} failed contacts in a row")
            }
            Self::Pace(Pacing::AskedByServer) => f.write_str("the fleet manager asked for time"),
            Self::Closed(closed) => closed.fmt(f),
        }
    }
}

impl Because {
    /// The same for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Pace(Pacing::Interval) => "interval",
            Self::Pace(Pacing::BackOff { .. }) => "back-off",
            Self::Pace(Pacing::AskedByServer) => "asked-by-server",
            Self::Closed(closed) => closed.code(),
        }
    }
}

impl Closed {
    /// The same for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Downtime { .. } => "downtime",
            Self::OutsidePollingPeriod => "polling-period",
        }
    }
}
