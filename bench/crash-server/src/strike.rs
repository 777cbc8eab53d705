//! What is killed, and when.

use std::time::Duration;

use crate::chance::Chance;

/// So many orders and statuses are acknowledged before a kill at most. It is counted in these, since machines
/// differ in how much they do in a time.
const MOST_GRANTED: u64 = 60;
/// What comes next is at most so long under way: longer than a transaction takes, with its wait for the disk.
const LONGEST_DELAY: Duration = Duration::from_millis(20);
/// Within this time a server that starts opens its store and begins to answer.
const LONGEST_START: Duration = Duration::from_millis(150);
/// One time of so many the server is killed once more while it starts again.
const WHILE_IT_STARTS: u64 = 8;

/// One interruption of the fleet manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How much is acknowledged first.
    pub(crate) granted: u64,
    /// And how long after that it comes.
    pub(crate) delay: Duration,
    /// How long the server has been starting when it is killed again, if it is.
    pub(crate) again_after: Option<Duration>,
}

impl Strike {
    /// Chooses one, of so many kills at most.
    pub(crate) fn choose(chance: &mut Chance, most: u64) -> Self {
        let (granted, delay) = (chance.below(MOST_GRANTED + 1), chance.within(LONGEST_DELAY));
        let again_after = chance.one_in(WHILE_IT_STARTS).then(|| chance.within(LONGEST_START));
        Self { granted, delay, again_after: again_after.filter(|_| most > 1) }
    }

    /// How many times the server is killed.
    pub(crate) fn kills(self) -> u64 {
        1 + u64::from(self.again_after.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(most: u64) -> Vec<Strike> {
        let mut chance = Chance::of(7);
        (0..1_000).map(|_| Strike::choose(&mut chance, most)).collect()
    }

    #[test]
    fn a_server_is_killed_again_now_and_then_where_a_kill_is_left() {
        let again = choices(2).iter().filter(|it| it.kills() == 2).count();
        assert!((50..300).contains(&again), "{again}");
        assert!(choices(1).iter().all(|it| it.kills() == 1));
    }
}
