//! Contact with a client: when it was last heard of, and when it said that it would call again. A device is
//! silent for hours or weeks where its owner wants it so; that is not the silence of a device in trouble.
//!
//! ```text
//!             heard of, and it said           `by` has passed
//!   Never ──────────────► Expected ────────────────────► Overdue
//!     │                     ▲  ▲  (with `quiet`, until      │
//!     │ heard of            │  │   `next` has come)         │ heard of, and it said
//!     └──────► Unknown ─────┘  └────────────────────────────┘
//! ```

use crate::client::Standing;
use crate::ids::RevisionNumber;

/// A client cannot say that it calls again later than this, in seconds: a year and a day.
const LONGEST_SILENCE: i64 = 366 * 24 * 60 * 60;
/// How far a client's clock may be behind, in seconds (SP-24 lets signatures be as old).
const CLOCK_TOLERANCE: i64 = 300;

/// When a client was heard of, and what it said then. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub last: i64,
    /// What it last said; nothing of a client of another make.
    pub announcement: Option<Announcement>,
}

/// What a client says of itself when it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// When it means to call again.
    pub next: i64,
    /// By when it will have called if nothing is wrong.
    pub by: i64,
    /// Why the next contact comes later than its interval, if it does.
    pub quiet: Option<Quiet>,
    /// The revision that it has taken up.
    pub revision: Option<RevisionNumber>,
    /// How many reports it has yet to deliver.
    pub undelivered: u64,
}

/// What the owner of a device has agreed to be silent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// The hours in which it looks for changes are over.
    PollingPeriod,
    /// No communication is tried.
    Downtime,
}

/// What an operator has to know of a client's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactStanding {
    /// It was not heard of since it was let in.
    Never,
    /// It has time to call until `by`. With `quiet` it is silent as agreed, until `next`.
    Expected { next: i64, by: i64, quiet: Option<Quiet> },
    /// It should have called by then.
    Overdue { since: i64 },
    /// Nobody can tell: it did not say when it calls again, or it is not let in.
    Unknown,
}

/// Why an announcement is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incredible {
    #[error("the next contact is more than a year away")]
    TooFar,
    #[error("the next contact is over already")]
    Past,
    #[error("the latest time of the next contact is before that contact")]
    Contradiction,
}

impl Announcement {
    /// This announcement, if a client can mean it now.
    pub fn credible(self, now: i64) -> Result<Self, Incredible> {
        if self.by < self.next {
            return Err(Incredible::Contradiction);
        }
        if self.next < now.saturating_sub(CLOCK_TOLERANCE) || self.by < now {
            return Err(Incredible::Past);
        }
        // How long after `next` it may take is bounded as well: else it would never be overdue.
        if self.next > now.saturating_add(LONGEST_SILENCE)
            || self.by > self.next.saturating_add(LONGEST_SILENCE)
        {
            return Err(Incredible::TooFar);
        }
        Ok(self)
    }
}

impl Contact {
    /// Both of two contacts of one client, in whatever order they became known: what it last said stays
    /// said when it calls again without a word.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (earlier, later) = if self.last <= other.last { (self, other) } else { (other, self) };
        Self { last: later.last, announcement: later.announcement.or(earlier.announcement) }
    }
}

impl ContactStanding {
    /// Whether a client's silence is as it should be.
    pub fn of(client: Standing, contact: Option<&Contact>, now: i64) -> Self {
        let Some(Contact { last, announcement }) = contact else { return Self::Never };
        match (client, announcement) {
            (Standing::Waiting | Standing::Rejected | Standing::Revoked, _) | (_, None) => {
                Self::Unknown
            }
            // It came, and did not say when it comes again.
            (Standing::Approved, Some(it)) if *last > it.by => Self::Unknown,
            (Standing::Approved, Some(it)) if now > it.by => Self::Overdue { since: it.by },
            (Standing::Approved, Some(it)) => Self::Expected {
                next: it.next,
                by: it.by,
                quiet: it.quiet.filter(|_| now < it.next),
            },
        }
    }
}

impl Quiet {
    pub const ALL: [Self; 2] = [Self::PollingPeriod, Self::Downtime];

    pub fn name(self) -> &'static str {
        match self {
            Self::PollingPeriod => "polling-period",
            Self::Downtime => "downtime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 60 * 60;

    fn said(next: i64, by: i64, quiet: Option<Quiet>) -> Announcement {
        Announcement { next, by, quiet, revision: None, undelivered: 0 }
    }

    fn standing(contact: &Contact, now: i64) -> ContactStanding {
        ContactStanding::of(Standing::Approved, Some(contact), now)
    }

    #[test]
    fn a_client_is_quiet_as_agreed_then_expected_then_overdue() {
        let announcement = Some(said(NOW + 100, NOW + 110, Some(Quiet::Downtime)));
        let contact = Contact { last: NOW, announcement };
        let expected = |quiet| ContactStanding::Expected { next: NOW + 100, by: NOW + 110, quiet };
        let quiet = expected(Some(Quiet::Downtime));
        assert_eq!(standing(&contact, NOW), quiet);
        assert_eq!(standing(&contact, NOW + 99), quiet);
        assert_eq!(standing(&contact, NOW + 100), expected(None));
        assert_eq!(standing(&contact, NOW + 110), expected(None));
        let overdue = ContactStanding::Overdue { since: NOW + 110 };
        assert_eq!(standing(&contact, NOW + 111), overdue);
        assert_eq!(standing(&contact, NOW + 400 * DAY), overdue);
    }

    #[test]
    fn of_a_client_that_announces_nothing_only_its_last_contact_is_known() {
        let silent = Contact { last: NOW, announcement: None };
        assert_eq!(standing(&silent, NOW), ContactStanding::Unknown);
        assert_eq!(standing(&silent, NOW + 400 * DAY), ContactStanding::Unknown);
        assert_eq!(ContactStanding::of(Standing::Approved, None, NOW), ContactStanding::Never);
    }

    #[test]
    fn a_client_that_came_late_and_said_nothing_is_not_overdue() {
        let contact = Contact { last: NOW, announcement: Some(said(NOW - 60, NOW - 1, None)) };
        assert_eq!(standing(&contact, NOW + DAY), ContactStanding::Unknown);
    }

    #[test]
    fn nothing_is_expected_of_a_client_that_is_not_let_in() {
        let contact = Contact { last: NOW, announcement: Some(said(NOW + 60, NOW + 70, None)) };
        for client in [Standing::Waiting, Standing::Rejected, Standing::Revoked] {
            for now in [NOW, NOW + DAY] {
                let standing = ContactStanding::of(client, Some(&contact), now);
                assert_eq!(standing, ContactStanding::Unknown, "{client:?}");
            }
        }
    }

    #[test]
    fn what_a_client_cannot_mean_is_not_believed() {
        let check = |next: i64, by: i64| said(next, by, None).credible(NOW).map(|_| ());
        for (next, by) in
            [(NOW + 60, NOW + 60), (NOW - 300, NOW), (NOW + 365 * DAY, NOW + 700 * DAY)]
        {
            assert_eq!(check(next, by), Ok(()), "{next} {by}");
        }
        assert_eq!(check(NOW + 367 * DAY, NOW + 367 * DAY), Err(Incredible::TooFar));
        assert_eq!(check(NOW + 60, NOW + 400 * DAY), Err(Incredible::TooFar));
        assert_eq!(check(i64::MAX, i64::MAX), Err(Incredible::TooFar));
        assert_eq!(check(NOW - 301, NOW + 60), Err(Incredible::Past));
        assert_eq!(check(NOW - 60, NOW - 1), Err(Incredible::Past));
        assert_eq!(check(i64::MIN, i64::MIN), Err(Incredible::Past));
        assert_eq!(check(NOW + 61, NOW + 60), Err(Incredible::Contradiction));
    }

    #[test]
    fn the_later_contact_counts_and_what_was_said_stays_said() {
        let with = |last, next| Contact { last, announcement: Some(said(next, next, None)) };
        let silent = Contact { last: NOW + 2, announcement: None };
        assert_eq!(with(NOW, 1).and(with(NOW + 1, 2)), with(NOW + 1, 2));
        assert_eq!(with(NOW + 1, 2).and(with(NOW, 1)), with(NOW + 1, 2));
        assert_eq!(with(NOW, 1).and(silent.clone()), with(NOW + 2, 1));
        assert_eq!(silent.and(with(NOW, 1)), with(NOW + 2, 1));
        // Within one second the one that is given second is the later one.
        assert_eq!(with(NOW, 1).and(with(NOW, 2)), with(NOW, 2));
    }
}
