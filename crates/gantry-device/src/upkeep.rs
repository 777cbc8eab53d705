//! How often a deployment was found out of order since it last ran well for long, and how often it was
//! repaired for that. A repair that is needed again and again is put off longer each time. Pure.

use serde::{Deserialize, Serialize};

use crate::retry;

/// What runs well for so long starts afresh, in milliseconds.
const STEADY_MS: i64 = 60 * 60 * 1000;
/// How long the second repair is put off, in milliseconds; each further one twice as long.
const FIRST_PAUSE_MS: i64 = 10 * 1000;

/// The trouble that a deployment has given lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upkeep {
    /// How often it was found out of order.
    pub(crate) found: u32,
    /// How often it was repaired; it may also have recovered by itself.
    pub(crate) repaired: u32,
    /// When it was first found so, in milliseconds since 1970.
    pub(crate) since: i64,
    /// When it was last in order again, in milliseconds since 1970.
    pub(crate) well_since: i64,
}

impl Upkeep {
    /// It is found out of order, once more if there was trouble before.
    pub(crate) fn found_again(former: Option<Self>, now_ms: i64) -> Self {
        match former.filter(|it| !it.is_over(now_ms)) {
            Some(former) => Self { found: former.found.saturating_add(1), ..former },
            None => Self { found: 1, repaired: 0, since: now_ms, well_since: now_ms },
        }
    }

    /// How long the repair is put off, in milliseconds: the first one not at all.
    pub(crate) fn pause_ms(&self) -> i64 {
        match self.found {
            0 | 1 => 0,
            more => retry::doubled(FIRST_PAUSE_MS, more - 2),
        }
    }

    /// Whether something that is in order has been so for long. Where the clock has jumped nobody knows,
    /// and it starts afresh: a repair must not be put off for ever.
    pub(crate) fn is_over(&self, now_ms: i64) -> bool {
        now_ms.abs_diff(self.well_since) >= STEADY_MS.unsigned_abs()
    }

    /// For a person, once it is no longer the first time.
    pub(crate) fn words(&self, now_ms: i64) -> Option<String> {
        let within = span(now_ms.saturating_sub(self.since));
        let times = |count| if count == 1 { "once".to_owned() } else { format!("{count} times") };
        (self.found > 1).then(|| {
            let (found, repaired) = (times(self.found), times(self.repaired));
            let pause = span(self.pause_ms());
            format!(
                "found out of order {found} and repaired {repaired} within {within}; \
                 left alone for {pause} before the next repair"
            )
        })
    }
}

/// A time in its largest whole unit.
fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const MINUTE: i64 = 60 * 1000;

    #[test]
    fn the_first_repair_comes_at_once_and_each_further_one_later() {
        let mut upkeep = Upkeep::found_again(None, NOW);
        let mut pauses = Vec::new();
        for minute in 1..=13 {
            pauses.push(upkeep.pause_ms() / 1000);
            upkeep = Upkeep::found_again(Some(upkeep), NOW + minute * MINUTE);
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
    }

    #[test]
    fn what_ran_well_for_an_hour_starts_afresh_and_so_it_does_when_the_clock_has_jumped() {
        let upkeep = Upkeep { found: 9, repaired: 9, since: NOW - 99 * MINUTE, well_since: NOW };
        let found = |now| Upkeep::found_again(Some(upkeep), now).found;
        assert_eq!(found(NOW + 59 * MINUTE), 10);
        assert_eq!(found(NOW + 60 * MINUTE), 1);
        assert_eq!(found(NOW - MINUTE), 10, "set back a little");
        assert_eq!(found(0), 1, "it has lost the time");
    }

    #[test]
    fn operators_read_how_often_it_was_repaired_in_what_time() {
        let upkeep = Upkeep { found: 5, repaired: 4, since: NOW - 12 * MINUTE, well_since: NOW };
        assert_eq!(
            upkeep.words(NOW).as_deref(),
            Some(
                "found out of order 5 times and repaired 4 times within 12 min; left alone for 80 s \
                 before the next repair"
            )
        );
        assert_eq!(Upkeep { found: 1, ..upkeep }.words(NOW), None);
    }
}
