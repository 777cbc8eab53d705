//! What somebody asked the fleet manager for, in order, and what it answered. Whatever it has acknowledged has
//! to be found afterwards. What it had no time to acknowledge may be found or not; after that it is known which.

use std::mem;

/// Things that were asked for one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Ledger<T> {
    entries: Vec<Entry<T>>,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    what: T,
    is_acknowledged: bool,
}

/// What comes of a comparison with what is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled<T> {
    /// Acknowledged, and not found.
    pub(crate) lost: Vec<T>,
    /// How much is found that nobody asked for.
    pub(crate) unasked: usize,
    /// What was not acknowledged: how much of it is found, and how much is not.
    pub(crate) open_and_there: u64,
    pub(crate) open_and_not_there: u64,
}

impl<T> Settled<T> {
    /// Whether nothing else is found than was asked for.
    pub(crate) fn is_well(&self) -> bool {
        self.lost.is_empty() && self.unasked == 0
    }
}

impl<T> Ledger<T> {
    /// Writes down what is about to be asked for.
    pub(crate) fn ask(&mut self, what: T) {
        self.entries.push(Entry { what, is_acknowledged: false });
    }

    /// What was asked for last is acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.entries.last_mut().expect("something was asked for").is_acknowledged = true;
    }

    /// What was asked for last and has not been found missing.
    pub(crate) fn last(&self) -> Option<&T> {
        self.entries.last().map(|it| &it.what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Compares with what is found, which has to be in the same order. What was open is certain from now on, and
    /// what is lost is forgotten.
    pub(crate) fn settle<F>(&mut self, found: &[F], is: impl Fn(&T, &F) -> bool) -> Settled<T> {
        let mut settled =
            Settled { lost: Vec::new(), unasked: 0, open_and_there: 0, open_and_not_there: 0 };
        let mut left = found;
        for entry in mem::take(&mut self.entries) {
            let is_open = !entry.is_acknowledged;
            match left.split_first() {
                Some((first, rest)) if is(&entry.what, first) => {
                    left = rest;
                    settled.open_and_there += u64::from(is_open);
                    self.entries.push(Entry { is_acknowledged: true, ..entry });
                }
                _ if is_open => settled.open_and_not_there += 1,
                _ => settled.lost.push(entry.what),
            }
        }
        settled.unasked = left.len();
        settled
    }
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of what is acknowledged, and of what is not after that.
    fn ledger(acknowledged: &[char], open: &[char]) -> Ledger<char> {
        let mut ledger = Ledger::default();
        for what in acknowledged {
            ledger.ask(*what);
            ledger.acknowledge();
        }
        for what in open {
            ledger.ask(*what);
        }
        ledger
    }

    fn settle(ledger: &mut Ledger<char>, found: &str) -> Settled<char> {
        let found: Vec<char> = found.chars().collect();
        ledger.settle(&found, |what, found| what == found)
    }

    #[test]
    fn what_is_acknowledged_and_found_is_well() {
        let mut ledger = ledger(&['a', 'b'], &[]);
        let settled = settle(&mut ledger, "ab");
        assert_eq!((settled.lost, settled.unasked), (vec![], 0));
        assert_eq!((settled.open_and_there, settled.open_and_not_there), (0, 0));
    }

    #[test]
    fn what_is_acknowledged_and_not_found_is_lost_wherever_it_stood() {
        for (found, lost) in [("bc", 'a'), ("ac", 'b'), ("ab", 'c')] {
            let settled = settle(&mut ledger(&['a', 'b', 'c'], &[]), found);
            assert_eq!((settled.lost, settled.unasked), (vec![lost], 0));
        }
        assert_eq!(settle(&mut ledger(&['a', 'b'], &[]), "").lost, ['a', 'b']);
    }

    #[test]
    fn what_is_found_in_another_order_is_no_longer_what_was_asked_for() {
        let settled = settle(&mut ledger(&['a', 'b'], &[]), "ba");
        assert_eq!((settled.lost, settled.unasked), (vec!['a'], 1));
    }

    #[test]
    fn what_had_no_answer_may_be_there_or_not_and_stays_so() {
        let mut there = ledger(&['a'], &['b']);
        let settled = settle(&mut there, "ab");
        assert_eq!((settled.open_and_there, settled.open_and_not_there), (1, 0));
        assert_eq!(there.last(), Some(&'b'));
        assert_eq!(settle(&mut there, "a").lost, ['b'], "it was there before");

        let mut not_there = ledger(&['a'], &['b']);
        let settled = settle(&mut not_there, "a");
        assert_eq!((settled.open_and_there, settled.open_and_not_there), (0, 1));
        assert_eq!(not_there.last(), Some(&'a'));
        assert_eq!(settle(&mut not_there, "ab").unasked, 1, "it was not there before");
    }
}
