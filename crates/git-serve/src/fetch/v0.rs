//! A fetch in versions 0 and 1: wants with capabilities, then haves, round by round. Over HTTP each
//! round is a request that says everything again.

use gix_hash::ObjectId;

use super::{Answer, Dialect, Fetch, Plan, Wishes, split, write_deepening, write_line};
use crate::pack::Framing;
use crate::pkt_line::{self, Packets};
use crate::request::{Malformed, RequestError, check_object_format, line, text};

/// How a client of version 0 wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    acknowledgments: Acknowledgments,
    framing: Framing,
    /// The pack may follow as soon as the server is ready, without another request.
    no_done: bool,
    end: End,
}

/// How much a client wants to know about commits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledgments {
    /// The first one only.
    First,
    /// `multi_ack`: all.
    All,
    /// `multi_ack_detailed`: all, and when there are enough.
    Detailed,
}

/// Where a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After the wants. The client asks for nothing but the new boundary of its history.
    Wants,
    /// After a round of haves.
    Round,
    /// With `done`: the pack has to follow.
    Done,
}

impl Fetch {
    /// Reads a request; nothing when it consists of its end.
    pub(crate) fn parse_v0(packets: &mut Packets<'_>) -> Result<Option<Self>, RequestError> {
        let (mut wishes, mut manner) = (Wishes::default(), Manner::default());
        while let Some(wish) = line(packets)? {
            let (name, value) = split(wish);
            match name {
                b"want" if wishes.wants.is_empty() => {
                    let (id, capabilities) = split(value);
                    wishes.take(name, id)?;
                    manner.take(capabilities, &mut wishes)?;
                }
                // The first line of all is a want.
                b"want" | b"shallow" | b"deepen" | b"deepen-since" | b"deepen-not" | b"filter"
                    if !wishes.wants.is_empty() =>
                {
                    wishes.take(name, value)?;
                }
                _ => return Err(Malformed::Unexpected(text(wish)).into()),
            }
        }
        if wishes.wants.is_empty() {
            return Ok(None);
        }
        manner.end = if packets.is_at_end() { End::Wants } else { haves(packets, &mut wishes)? };
        Ok(Some(Self { wishes, dialect: Dialect::V0(manner) }))
    }
}

/// Takes the haves of one round.
fn haves(packets: &mut Packets<'_>, wishes: &mut Wishes) -> Result<End, RequestError> {
    while let Some(have) = line(packets)? {
        match split(have) {
            (b"done", b"") => return Ok(End::Done),
            (b"have", id) => wishes.take(b"have", id)?,
            _ => return Err(Malformed::Unexpected(text(have)).into()),
        };
    }
    Ok(End::Round)
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            acknowledgments: Acknowledgments::First,
            framing: Framing::Bare,
            no_done: false,
            end: End::Wants,
        }
    }
}

impl Manner {
    fn take(&mut self, capabilities: &[u8], wishes: &mut Wishes) -> Result<(), RequestError> {
        for capability in capabilities.split(|it| *it == b' ') {
            match capability {
                b"multi_ack" if self.acknowledgments == Acknowledgments::First => {
                    self.acknowledgments = Acknowledgments::All;
                }
                b"multi_ack_detailed" => self.acknowledgments = Acknowledgments::Detailed,
                b"side-band" if self.framing == Framing::Bare => self.framing = Framing::SideBand,
                b"side-band-64k" => self.framing = Framing::SideBand64k,
                b"no-done" => self.no_done = true,
                b"deepen-relative" => wishes.depth_is_relative = true,
                // The rest asks for nothing that changes a pack of whole objects.
                other => check_object_format(other)?,
            }
        }
        Ok(())
    }

    pub(super) fn answer(self, plan: &Plan<'_>, boundary: Option<ObjectId>) -> Answer {
        let mut out = Vec::new();
        if let Some(deepening) = &plan.deepening {
            write_deepening(&mut out, deepening, boundary);
            pkt_line::write_flush(&mut out);
        }
        if self.acknowledge(plan, &mut out) {
            let (content, framing) = (plan.content.clone(), self.framing);
            Answer::Pack { before: out, content, framing }
        } else {
            Answer::Whole(out)
        }
    }

    /// Tells which commits are in common, and whether a pack follows.
    fn acknowledge(self, plan: &Plan<'_>, out: &mut Vec<u8>) -> bool {
        if self.end == End::Wants {
            return false;
        }
        let (told, word) = match self.acknowledgments {
            Acknowledgments::First => (1, ""),
            Acknowledgments::All => (usize::MAX, " continue"),
            Acknowledgments::Detailed => (usize::MAX, " common"),
        };
        for have in plan.common.iter().take(told) {
            write_line(out, &format!("ACK {have}{word}"));
        }
        let Some(last) = plan.common.last() else {
            write_line(out, "NAK");
            return self.end == End::Done;
        };
        let one_is_told = self.acknowledgments == Acknowledgments::First;
        if self.end == End::Done {
            if !one_is_told {
                write_line(out, &format!("ACK {last}"));
            }
            return true;
        }
        // History is linear: one commit in common says all that there is to know.
        let is_ready = self.acknowledgments == Acknowledgments::Detailed;
        if is_ready {
            write_line(out, &format!("ACK {last} ready"));
        }
        if !one_is_told {
            write_line(out, "NAK");
        }
        let pack_follows = is_ready && self.no_done;
        if pack_follows {
            write_line(out, &format!("ACK {last}"));
        }
        pack_follows
    }
}
