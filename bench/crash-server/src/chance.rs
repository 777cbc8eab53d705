//! Chance that can be had again: the same seed brings the same choices.

use std::time::Duration;

/// A line of choices (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A line of its own for somebody else, so that who is faster does not change what others choose.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below this one, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// A time up to this one, by the microsecond.
    pub(crate) fn within(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(longest + 1))
    }

    /// One of these; there is at least one.
    pub(crate) fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        let place = self.below(some.len() as u64);
        &some[usize::try_from(place).expect("it is the place of something in memory")]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_brings_the_same_choices_and_another_one_others() {
        let choices = |seed| {
            let mut chance = Chance::of(seed);
            let mut branch = chance.branch();
            [chance.below(1_000_000), branch.below(1_000_000), chance.below(1_000_000)]
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
    }

    #[test]
    fn every_choice_comes_up() {
        let mut chance = Chance::of(1);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[*chance.pick(&[0_usize, 1, 2, 3, 4])] += 1;
        }
        assert!(seen.iter().all(|it| *it > 100), "{seen:?}");
    }
}
