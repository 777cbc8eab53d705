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
/// One time of so many the database is killed, where it can be.
const DATABASE: u64 = 10;

/// One interruption of the fleet manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How much is acknowledged first.
    pub(crate) granted: u64,
    /// And how long after that it comes.
    pub(crate) delay: Duration,
    pub(crate) victim: Victim,
    /// How long the server has been starting when it is killed again, if it is.
    pub(crate) again_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Server,
    /// The server has to stay up and to recover.
    Database,
    Both,
}

impl Strike {
    /// Chooses one, of so many kills at most.
    pub(crate) fn choose(chance: &mut Chance, is_database_mortal: bool, most: u64) -> Self {
        let (granted, delay) = (chance.below(MOST_GRANTED + 1), chance.within(LONGEST_DELAY));
        let again_after = chance.one_in(WHILE_IT_STARTS).then(|| chance.within(LONGEST_START));
        let mut victim = Victim::Server;
        if is_database_mortal && chance.one_in(DATABASE) {
            victim = *chance.pick(&[Victim::Database, Victim::Both]);
        }
        let strike = Self { granted, delay, victim, again_after: None };
        let again_after = again_after.filter(|_| victim != Victim::Database);
        let again = Self { again_after, ..strike };
        if again.kills() <= most { again } else { strike }
    }

    /// How many times something is killed; both at once are one time.
    pub(crate) fn kills(self) -> u64 {
        1 + u64::from(self.again_after.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(is_database_mortal: bool, most: u64) -> Vec<Strike> {
        let mut chance = Chance::of(7);
        (0..1_000).map(|_| Strike::choose(&mut chance, is_database_mortal, most)).collect()
    }

    #[test]
    fn a_database_that_is_a_file_is_never_killed_and_a_server_now_and_then() {
        assert!(choices(false, 9).iter().all(|it| it.victim == Victim::Server));
        let strikes = choices(true, 9);
        for victim in [Victim::Database, Victim::Both] {
            let times = strikes.iter().filter(|it| it.victim == victim).count();
            assert!((20..100).contains(&times), "{victim:?}: {times}");
        }
    }

    #[test]
    fn a_server_is_killed_again_where_it_was_killed_and_a_kill_is_left() {
        let strikes = choices(true, 2);
        let again = |it: &&Strike| it.again_after.is_some();
        assert!(strikes.iter().filter(again).count() > 50);
        assert!(!strikes.iter().filter(again).any(|it| it.victim == Victim::Database));
        assert!(choices(true, 1).iter().all(|it| it.kills() == 1));
    }
}
