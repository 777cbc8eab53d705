//! What a fetch gets: found out from the few commits that the client names, never from the whole
//! history. The two dialects, `v0` and `v2`, read the request and word the answer; what is decided
//! is the same in both.

mod v0;
mod v2;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use gix_hash::ObjectId;

use crate::pack::Framing;
use crate::pkt_line;
use crate::request::{Malformed, Refusal, RequestError, text};

/// More wants, or shallow commits, than any client of a linear history has.
const MOST_NAMED: usize = 4_096;
/// Of the commits that a client has, the first ones are the newest, and one that is ours says all that
/// there is to know. Those after this many count as unknown, which costs no more than a larger pack.
const MOST_HAVES: usize = 1_024;

/// A request for objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    wishes: Wishes,
    dialect: Dialect,
}

/// What a client has and wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wishes {
    wants: Vec<ObjectId>,
    haves: Vec<ObjectId>,
    shallow: Vec<ObjectId>,
    /// How many commits of history the client asks for.
    depth: Option<u64>,
    /// The depth is counted from where its history ends now, not from what it wants.
    depth_is_relative: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V0(v0::Manner),
    V2(v2::Manner),
}

/// What is decided about a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'f> {
    fetch: &'f Fetch,
    /// What the client has of this repository, in the order in which it says so.
    common: Vec<ObjectId>,
    deepening: Option<Deepening>,
    content: PackContent,
}

/// How the history of a shallow clone changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Deepening {
    /// The oldest revision that the client will have.
    boundary: u64,
    /// The client does not have the boundary yet. The first revision is none: nothing is before it.
    boundary_is_new: bool,
    /// Former boundaries, beyond which the history will go on.
    unshallow: Vec<ObjectId>,
}

/// The answer to a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All of it. The client goes on.
    Whole(Vec<u8>),
    /// The beginning of one that goes on with a pack, written by a
    /// [`PackWriter`](crate::pack::PackWriter).
    Pack {
        /// What comes before the pack.
        before: Vec<u8>,
        /// Which objects the pack has to have.
        content: PackContent,
        /// How the pack stands in the answer.
        framing: Framing,
    },
}

/// Which objects a pack has, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackContent {
    /// The commit of this revision and everything in its tree.
    pub complete: Option<u64>,
    /// The objects that these revisions have and the one before each of them does not have.
    pub added: RangeInclusive<u64>,
}

impl Fetch {
    /// The commits whose revisions [`plan`](Self::plan) has to know, each once.
    pub fn commits(&self) -> BTreeSet<ObjectId> {
        let Wishes { wants, haves, shallow, .. } = &self.wishes;
        wants.iter().chain(haves).chain(shallow).copied().collect()
    }

    /// Whether it asks for a part of the history. Then the numbers of revisions are counted with, so they must
    /// have no gaps; else only their order matters.
    pub fn deepens(&self) -> bool {
        self.wishes.depth.is_some()
    }

    /// Decides what the client gets, given the revisions of those [`commits`](Self::commits) that are
    /// in the repository.
    pub fn plan(&self, revisions: &BTreeMap<ObjectId, u64>) -> Result<Plan<'_>, Refusal> {
        let wishes = &self.wishes;
        let mut wanted = BTreeSet::new();
        for want in &wishes.wants {
            wanted.insert(*revisions.get(want).ok_or(Refusal::UnknownWant(*want))?);
        }
        let wanted = match (wanted.first(), wanted.last()) {
            (Some(first), Some(last)) => *first..=*last,
            _ => return Err(Refusal::NothingWanted),
        };
        let common: Vec<ObjectId> =
            wishes.haves.iter().filter(|have| revisions.contains_key(*have)).copied().collect();
        let shallow: BTreeMap<u64, ObjectId> =
            wishes.shallow.iter().filter_map(|it| Some((*revisions.get(it)?, *it))).collect();

        let deepening = wishes.depth.map(|depth| wishes.deepening(depth, &wanted, &shallow));
        let newest_common = common.iter().filter_map(|have| revisions.get(have)).max();
        let had = newest_common.map(|newest| boundary_below(&shallow, *newest)..=*newest);
        let content = content(&wanted, had, deepening.as_ref());
        Ok(Plan { fetch: self, common, deepening, content })
    }
}

impl Plan<'_> {
    /// The revision whose commit the answer has to name, if there is one.
    pub fn boundary(&self) -> Option<u64> {
        self.deepening.as_ref().filter(|it| it.boundary_is_new).map(|it| it.boundary)
    }

    /// The answer, given the commit of the [`boundary`](Self::boundary).
    pub fn answer(&self, boundary: Option<ObjectId>) -> Answer {
        match self.fetch.dialect {
            Dialect::V0(manner) => manner.answer(self, boundary),
            Dialect::V2(manner) => manner.answer(self, boundary),
        }
    }
}

impl Wishes {
    /// Takes an argument that both dialects have. Others are left to the caller.
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<bool, RequestError> {
        match name {
            b"want" => push(&mut self.wants, "want", value)?,
            b"shallow" => push(&mut self.shallow, "shallow", value)?,
            b"have" => {
                let have = object_id(value)?;
                if self.haves.len() < MOST_HAVES {
                    self.haves.push(have);
                }
            }
            b"deepen" => {
                let depth = text(value).parse().ok().filter(|depth| *depth > 0);
                self.depth = Some(depth.ok_or_else(|| Malformed::Depth(text(value)))?);
            }
            b"deepen-since" | b"deepen-not" | b"filter" => {
                return Err(Refusal::Argument(text(name)).into());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn deepening(
        &self,
        depth: u64,
        wanted: &RangeInclusive<u64>,
        shallow: &BTreeMap<u64, ObjectId>,
    ) -> Deepening {
        // The oldest want counts: then the history is long enough for each.
        let from = if self.depth_is_relative {
            boundary_below(shallow, *wanted.start())
        } else {
            wanted.start() + 1
        };
        let boundary = from.saturating_sub(depth).max(1);
        Deepening {
            boundary,
            boundary_is_new: boundary > 1 && !shallow.contains_key(&boundary),
            // What is newer than the wants is not reached from them, so the pack does not bring what
            // is before it.
            unshallow: shallow
                .iter()
                .filter(|(revision, _)| (boundary + 1..=*wanted.end()).contains(revision))
                .map(|(_, commit)| *commit)
                .collect(),
        }
    }
}

/// The oldest revision that a client has below this one: its history ends at a shallow commit.
fn boundary_below(shallow: &BTreeMap<u64, ObjectId>, revision: u64) -> u64 {
    shallow.range(..=revision).next_back().map_or(1, |(boundary, _)| *boundary)
}

/// The objects for a client that wants these revisions (one, mostly) and has `had` of those before.
fn content(
    wanted: &RangeInclusive<u64>,
    had: Option<RangeInclusive<u64>>,
    deepening: Option<&Deepening>,
) -> PackContent {
    let newest = *wanted.end();
    let oldest = deepening.map_or(*wanted.start(), |it| it.boundary);
    let newer_than = |had: u64| PackContent { complete: None, added: had + 1..=newest };
    match (had, deepening) {
        (Some(had), None) if *had.start() <= oldest => newer_than(*had.end()),
        (Some(had), Some(_)) if had.contains(&oldest) => newer_than(*had.end()),
        (_, Some(_)) if oldest > 1 => {
            PackContent { complete: Some(oldest), added: oldest + 1..=newest }
        }
        _ => newer_than(0),
    }
}

/// `shallow` and `unshallow` lines. They have no newline: libgit2 takes it for a part of the id.
fn write_deepening(out: &mut Vec<u8>, deepening: &Deepening, boundary: Option<ObjectId>) {
    if let Some(commit) = boundary {
        pkt_line::write(out, format!("shallow {commit}").as_bytes());
    }
    for commit in &deepening.unshallow {
        pkt_line::write(out, format!("unshallow {commit}").as_bytes());
    }
}

fn write_line(out: &mut Vec<u8>, line: &str) {
    pkt_line::write(out, format!("{line}\n").as_bytes());
}

fn push(ids: &mut Vec<ObjectId>, name: &'static str, hex: &[u8]) -> Result<(), RequestError> {
    if ids.len() == MOST_NAMED {
        return Err(Refusal::TooMany { name, most: MOST_NAMED }.into());
    }
    ids.push(object_id(hex)?);
    Ok(())
}

fn object_id(hex: &[u8]) -> Result<ObjectId, Malformed> {
    ObjectId::from_hex(hex).map_err(|_| Malformed::ObjectId(text(hex)))
}

/// The word before the first space, and what follows it.
fn split(argument: &[u8]) -> (&[u8], &[u8]) {
    match argument.iter().position(|it| *it == b' ') {
        Some(place) => (&argument[..place], &argument[place + 1..]),
        None => (argument, b""),
    }
}

#[cfg(test)]
mod tests;
