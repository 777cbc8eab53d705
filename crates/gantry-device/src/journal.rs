//! What has yet to be reported. Each transition is on disk before anybody is told of it, and stays
//! there until the fleet manager has taken it. The journal is bounded: when it is full, transitions
//! that later ones have overtaken go first.

mod log_file;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::state_dir::{StateDir, StateError};

use self::log_file::{Durability, LogFile};

const FILE: &str = "journal.log";
/// What could not be read of a former file, for a person to look at.
const DAMAGED: &str = "journal.damaged";
const BOUNDS: Bounds = Bounds { entries: 10_000, bytes: 8 << 20, idle_file: 64 << 10 };

/// Transitions that have yet to be reported, the oldest first.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: VecDeque<Numbered>,
    /// What the entries take in the file, about, in bytes.
    bytes: usize,
    next: u64,
    log: LogFile,
    bounds: Bounds,
}

/// How large the journal may get.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: usize,
    /// A file up to this size is not worth tidying, in bytes.
    idle_file: u64,
}

/// One transition of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) deployment: Uuid,
    /// The manifest version whose content the device had taken up.
    pub(crate) adopted: u64,
    /// The name of the deployment's overall state.
    pub(crate) state: String,
    /// The status document as it is sent.
    pub(crate) document: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbered {
    number: u64,
    /// Entries that had to make room for this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    instead_of: Vec<u64>,
    entry: Entry,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Noted(Numbered),
    /// Every entry up to this number was taken.
    TakenUpTo(u64),
}

/// The same, borrowed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum LineRef<'a> {
    Noted(&'a Numbered),
    TakenUpTo(u64),
}

impl Journal {
    pub(crate) fn load(state: &StateDir) -> Result<Self, StateError> {
        Self::load_bounded(state, BOUNDS)
    }

    fn load_bounded(state: &StateDir, bounds: Bounds) -> Result<Self, StateError> {
        let (log, lines) = LogFile::open(FILE, state)?;
        let mut journal = Self { entries: VecDeque::new(), bytes: 0, next: 0, log, bounds };
        for line in lines.whole {
            match line {
                Line::Noted(noted) => journal.push(noted),
                Line::TakenUpTo(number) => journal.forget_up_to(number),
            }
        }
        if let Some(damaged) = lines.damaged {
            tracing::error!(
                readable = journal.len(),
                kept = %state.join(DAMAGED).display(),
                "the journal is damaged: reports are lost, those that can be read are sent"
            );
            state.save_bytes(DAMAGED, &damaged)?;
            journal.rewrite(state)?;
        }
        Ok(journal)
    }

    /// How many transitions have yet to be reported, by the file of a client that does not run. Nothing is
    /// written: one may be about to start.
    pub(crate) fn undelivered(state: &StateDir) -> Result<usize, StateError> {
        let mut numbers = BTreeSet::new();
        for line in LogFile::look(FILE, state)? {
            match line {
                Line::Noted(noted) => {
                    numbers.retain(|it| !noted.instead_of.contains(it));
                    numbers.insert(noted.number);
                }
                Line::TakenUpTo(number) => numbers = numbers.split_off(&number.saturating_add(1)),
            }
        }
        Ok(numbers.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn oldest(&self) -> Option<&Entry> {
        self.entries.front().map(|it| &it.entry)
    }

    /// Writes a transition down. One that says what the last one about its deployment says is none.
    pub(crate) fn append(&mut self, entry: Entry, state: &StateDir) -> Result<(), StateError> {
        let last = self.entries.iter().rev().find(|it| it.entry.deployment == entry.deployment);
        if last.is_some_and(|it| it.entry == entry) {
            return Ok(());
        }
        let instead_of = self.overtaken(entry.weight());
        let noted = Numbered { number: self.next, instead_of, entry };
        // In one line: there is no moment at which the old ones are gone and the new one is not there.
        self.log.append(&LineRef::Noted(&noted), Durability::Now, state)?;
        self.push(noted);
        self.tidy(state);
        Ok(())
    }

    /// Strikes out the oldest transition once it has been taken. Should that not outlive a power cut, it
    /// is sent again, and with it what was sent after it.
    pub(crate) fn strike_out(&mut self, state: &StateDir) -> Result<(), StateError> {
        let Some(oldest) = self.entries.front() else { return Ok(()) };
        let number = oldest.number;
        // It is taken, whether or not that can be written down.
        self.forget_up_to(number);
        let durability = if self.entries.is_empty() { Durability::Now } else { Durability::Later };
        self.log.append(&LineRef::TakenUpTo(number), durability, state)?;
        self.tidy(state);
        Ok(())
    }

    fn push(&mut self, noted: Numbered) {
        if noted.number < self.next {
            return;
        }
        for number in &noted.instead_of {
            if let Ok(place) = self.entries.binary_search_by_key(number, |it| it.number) {
                self.entries.remove(place).inspect(|it| self.bytes -= it.entry.weight());
            }
        }
        self.next = noted.number + 1;
        self.bytes += noted.entry.weight();
        self.entries.push_back(noted);
    }

    fn forget_up_to(&mut self, number: u64) {
        while let Some(taken) = self.entries.pop_front_if(|it| it.number <= number) {
            self.bytes -= taken.entry.weight();
        }
    }

    /// Makes the file small again when most of it is of no use any more.
    fn tidy(&mut self, state: &StateDir) {
        let length = self.log.length();
        if length <= self.bounds.idle_file || length < 4 * self.bytes as u64 {
            return;
        }
        // The file is good as it is, only large.
        if let Err(error) = self.rewrite(state) {
            tracing::warn!(error = crate::chain(&error), "the journal cannot be tidied");
        }
    }

    fn rewrite(&mut self, state: &StateDir) -> Result<(), StateError> {
        let lines: Vec<LineRef<'_>> = self.entries.iter().map(LineRef::Noted).collect();
        self.log.replace(&lines, state)
    }

    /// The numbers of those that have to go for another entry of this weight.
    fn overtaken(&self, weight: usize) -> Vec<u64> {
        let mut left: Vec<&Numbered> = self.entries.iter().collect();
        let mut bytes = self.bytes + weight;
        let mut gone = Vec::new();
        while !left.is_empty() && (left.len() >= self.bounds.entries || bytes > self.bounds.bytes) {
            let overtaken = left.remove(least_wanted(&left));
            bytes -= overtaken.entry.weight();
            gone.push(overtaken.number);
        }
        gone
    }
}

impl Entry {
    /// What it takes in the file, about, in bytes.
    fn weight(&self) -> usize {
        self.document.len() + self.state.len() + 200
    }
}

/// The place of the entry that is missed least: the oldest in the middle of a deployment's same state;
/// else the oldest that is neither the first nor the last of its deployment; else the oldest.
fn least_wanted(entries: &[&Numbered]) -> usize {
    let mut places: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (place, noted) in entries.iter().enumerate() {
        places.entry(noted.entry.deployment).or_default().push(place);
    }
    let state = |place: usize| &entries[place].entry.state;
    let triples = || places.values().flat_map(|it| it.windows(3));
    let in_same_state = triples()
        .filter(|it| state(it[0]) == state(it[1]) && state(it[1]) == state(it[2]))
        .map(|it| it[1])
        .min();
    in_same_state.or_else(|| triples().map(|it| it[1]).min()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
