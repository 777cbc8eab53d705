//! The places of a client's revisions in its history, for whoever counts along it. A revision's number is its
//! place, until versions were lost: then numbers leave a gap (see [`super::super::lost`]).

use std::ops::RangeInclusive;

/// Leads from the number of a revision to its place and back. The first place is 1.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Numbers without a revision, in order.
    gaps: Vec<RangeInclusive<u64>>,
}

impl Places {
    pub(super) fn with_gaps(gaps: Vec<RangeInclusive<u64>>) -> Self {
        Self { gaps }
    }

    /// The place of a revision.
    pub(super) fn of(&self, revision: u64) -> u64 {
        let before = self.gaps.iter().filter(|it| *it.end() < revision);
        revision - before.map(length).sum::<u64>()
    }

    /// The number of the revision at a place; behind the last one as if numbers went on there.
    pub(super) fn revision_at(&self, place: u64) -> u64 {
        let skip = |number: u64, gap: &RangeInclusive<u64>| {
            if number < *gap.start() { number } else { number + length(gap) }
        };
        self.gaps.iter().fold(place, skip)
    }
}

fn length(gap: &RangeInclusive<u64>) -> u64 {
    gap.end() - gap.start() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_revision_has_its_place_and_each_place_its_revision() {
        let gaps = vec![1..=2, 5..=9, 11..=11];
        let revisions = [3, 4, 10, 12, 13];
        let places = Places::with_gaps(gaps);
        for (place, revision) in (1..).zip(revisions) {
            assert_eq!(places.of(revision), place);
            assert_eq!(places.revision_at(place), revision);
        }
        assert_eq!(Places::default().of(7), 7);
        assert_eq!(Places::default().revision_at(7), 7);
    }
}
