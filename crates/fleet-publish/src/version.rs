//! Which `manifestVersion` a revision gets: one more than the last, and above all that was lost where a
//! client knows of more.
//!
//! A store that was restored from an older backup does not know the versions that it has given out since,
//! and a device never takes one that does not rise. Where nobody can say which were lost, time does: a
//! version made of the seconds since 1970 is above all that were given out before now, however often and
//! from whichever backup the store was restored.

use fleet_domain::ids::RevisionNumber;

/// More than a client is published in one second.
const PER_SECOND: u64 = 1 << 10;
/// How far a version may be off: a clock that was set back, or a lift on top of a lift.
const MARGIN: u64 = 1 << 20;
const DAY: i64 = 24 * 60 * 60;

/// Versions that a client may have seen and the store has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The client has seen versions up to this one.
    UpTo(RevisionNumber),
    /// Nobody knows how many.
    Unknown,
}

impl Lost {
    /// The version to go on with after `newest`; nothing where that is above all that was lost.
    pub(crate) fn recover(
        self,
        newest: Option<RevisionNumber>,
        now: i64,
    ) -> Option<RevisionNumber> {
        let newest = newest.map_or(0, RevisionNumber::get);
        match self {
            Self::UpTo(seen) if seen.get() <= newest => None,
            // A version is left out: whoever misses one knows that what he has told may be lost, too.
            Self::UpTo(seen) => RevisionNumber::new(seen.get().saturating_add(2)),
            Self::Unknown => RevisionNumber::new(newest.saturating_add(MARGIN).max(at(now))),
        }
    }

    /// Whether a client can have seen versions up to this one: what it says must not use up the versions
    /// that there are.
    pub fn is_credible(seen: RevisionNumber, newest: Option<RevisionNumber>, now: i64) -> bool {
        let newest = newest.map_or(0, RevisionNumber::get);
        seen.get() <= newest.max(at(now)).saturating_add(MARGIN)
    }

    /// Whether a client that shows something unknown, and no version, may be believed: after a day at the
    /// earliest. What a client shows may be nonsense, and each time costs a revision.
    pub fn is_likely(newest: Option<RevisionNumber>, now: i64) -> bool {
        newest.map_or(0, RevisionNumber::get) < at(now.saturating_sub(DAY))
    }
}

/// The version that stands for a time.
fn at(now: i64) -> u64 {
    u64::try_from(now).unwrap_or_default().saturating_mul(PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn number(number: u64) -> RevisionNumber {
        RevisionNumber::new(number).expect("a revision number")
    }

    #[test]
    fn what_a_client_has_seen_is_passed_and_a_version_is_left_out() {
        let recover = |seen, newest| Lost::UpTo(number(seen)).recover(newest, NOW);
        assert_eq!(recover(9, Some(number(7))), Some(number(11)));
        assert_eq!(recover(9, None), Some(number(11)));
        assert_eq!(recover(9, Some(number(9))), None, "nothing is lost");
        assert_eq!(recover(i64::MAX as u64, None), None, "there is no higher one");
    }

    #[test]
    fn what_nobody_knows_is_passed_at_every_restore_again() {
        let backup = Some(number(7));
        let first = Lost::Unknown.recover(backup, NOW).expect("there are versions left");
        let lost_again = number(first.get() + 500);
        let second = Lost::Unknown.recover(backup, NOW + 1).expect("there are versions left");
        assert!(second > lost_again, "the same backup, a second and 500 revisions later");
        let clock_is_back = Lost::Unknown.recover(Some(second), 0);
        assert!(clock_is_back.expect("there are versions left") > second);
        assert!(second.get() < 1 << 53, "every reader of JSON can hold it");
    }

    #[test]
    fn a_client_is_believed_as_far_as_it_can_be_true() {
        let newest = Some(number(7));
        let restored = Lost::Unknown.recover(newest, NOW).expect("there are versions left");
        for seen in [8, 1 << 20, restored.get(), restored.get() + 1000] {
            assert!(Lost::is_credible(number(seen), newest, NOW), "{seen}");
        }
        for seen in [i64::MAX as u64, 1 << 53, restored.get() + (2 << 20)] {
            assert!(!Lost::is_credible(number(seen), newest, NOW), "{seen}");
        }
        assert!(Lost::is_credible(number(1 << 53), Some(number(1 << 53)), NOW));
    }

    #[test]
    fn something_unknown_counts_once_a_day() {
        assert!(Lost::is_likely(None, NOW));
        assert!(Lost::is_likely(Some(number(7)), NOW));
        let lifted = Lost::Unknown.recover(Some(number(7)), NOW);
        assert!(!Lost::is_likely(lifted, NOW + DAY));
        assert!(Lost::is_likely(lifted, NOW + DAY + 1));
    }
}
