//! What has yet to be reported. Each transition is on disk before anybody is told of it, and stays
//! there until the fleet manager has taken it. The journal is bounded: when it is full, transitions
//! that later ones have overtaken go first.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::state_dir::{StateDir, StateError};

const FILE: &str = "journal.json";
/// More transitions than this are not kept.
const MOST_ENTRIES: usize = 10_000;

/// Transitions that have yet to be reported, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
}

/// One transition of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) deployment: Uuid,
    /// The manifest version whose content the device had taken up.
    pub(crate) adopted: u64,
    /// The status document.
    pub(crate) status: Value,
}

impl Journal {
    pub(crate) fn load(state: &StateDir) -> Result<Self, StateError> {
        Ok(Self { entries: state.load(FILE)?.unwrap_or_default() })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// Writes a transition down. One that says what the last one about its deployment says is none.
    pub(crate) fn append(&mut self, entry: Entry, state: &StateDir) -> Result<(), StateError> {
        let last = self.entries.iter().rev().find(|it| it.deployment == entry.deployment);
        if last == Some(&entry) {
            return Ok(());
        }
        if self.entries.len() >= MOST_ENTRIES {
            self.make_room();
        }
        self.entries.push_back(entry);
        state.save(FILE, &self.entries)
    }

    /// Strikes out the oldest transition once it has been taken.
    pub(crate) fn strike_out(&mut self, state: &StateDir) -> Result<(), StateError> {
        self.entries.pop_front();
        state.save(FILE, &self.entries)
    }

    /// Drops the oldest transition that is neither the first nor the last of its deployment; with none
    /// such, the oldest of all.
    fn make_room(&mut self) {
        let of_same = |place: usize| {
            let deployment = self.entries[place].deployment;
            let before = self.entries.iter().take(place).any(|it| it.deployment == deployment);
            let after = self.entries.iter().skip(place + 1).any(|it| it.deployment == deployment);
            before && after
        };
        let place = (0..self.entries.len()).find(|place| of_same(*place)).unwrap_or(0);
        self.entries.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(deployment: u128, state: &str) -> Entry {
        Entry { deployment: Uuid::from_u128(deployment), adopted: 1, status: json!(state) }
    }

    fn journal() -> (tempfile::TempDir, StateDir, Journal) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        let journal = Journal::load(&state).expect("an empty journal");
        (folder, state, journal)
    }

    #[test]
    fn what_is_written_down_is_there_in_order_until_it_is_struck_out() {
        let (_folder, state, mut journal) = journal();
        for it in ["pending", "installing", "installed", "installed"] {
            journal.append(entry(1, it), &state).expect("writable");
        }
        assert_eq!(journal.len(), 3, "saying the same again is no transition");
        let mut again = Journal::load(&state).expect("readable");
        for expected in ["pending", "installing", "installed"] {
            assert_eq!(again.oldest().expect("there is more").status, json!(expected));
            again.strike_out(&state).expect("writable");
        }
        assert_eq!(Journal::load(&state).expect("readable").len(), 0);
    }

    #[test]
    fn a_full_journal_keeps_the_first_and_the_last_of_each_deployment() {
        let (_folder, _state, mut journal) = journal();
        for it in [(1, "a"), (2, "x"), (1, "b"), (1, "c"), (2, "y")] {
            journal.entries.push_back(entry(it.0, it.1));
        }
        journal.make_room();
        let left: Vec<&Value> = journal.entries.iter().map(|it| &it.status).collect();
        assert_eq!(left, ["a", "x", "c", "y"]);
    }
}
