//! A fetch in version 2: the arguments of the command, and an answer in sections.

use gix_hash::ObjectId;

use super::{Answer, Dialect, Fetch, Plan, Wishes, split, write_deepening, write_line};
use crate::pack::Framing;
use crate::pkt_line::{self, Packets};
use crate::request::{Malformed, Refusal, RequestError, line, text};

/// A client that has named this many commits, and none of ours, has none: it asks from inside another
/// repository, and would go on to name all of that.
const ENOUGH_STRANGERS: usize = 256;

/// How a client of version 2 wants to be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Manner {
    done: bool,
}

impl Fetch {
    pub(crate) fn parse_v2(arguments: &mut Packets<'_>) -> Result<Self, RequestError> {
        let (mut wishes, mut manner) = (Wishes::default(), Manner::default());
        while let Some(argument) = line(arguments)? {
            let (name, value) = split(argument);
            if wishes.take(name, value)? {
                continue;
            }
            match argument {
                b"done" => manner.done = true,
                b"deepen-relative" => wishes.depth_is_relative = true,
                // Sent by every client; they ask for nothing that changes a pack of whole objects.
                b"thin-pack" | b"no-progress" | b"include-tag" | b"ofs-delta" => {}
                other => return Err(Malformed::Unexpected(text(other)).into()),
            }
        }
        if wishes.wants.is_empty() {
            return Err(Refusal::NothingWanted.into());
        }
        Ok(Self { wishes, dialect: Dialect::V2(manner) })
    }
}

impl Manner {
    pub(super) fn answer(self, plan: &Plan<'_>, boundary: Option<ObjectId>) -> Answer {
        let haves = plan.fetch.wishes.haves.len();
        let mut out = Vec::new();
        if !self.done && haves > 0 {
            write_line(&mut out, "acknowledgments");
            for have in &plan.common {
                write_line(&mut out, &format!("ACK {have}"));
            }
            if plan.common.is_empty() && haves < ENOUGH_STRANGERS {
                write_line(&mut out, "NAK");
                pkt_line::write_flush(&mut out);
                return Answer::Whole(out);
            }
            write_line(&mut out, "ready");
            pkt_line::write_delimiter(&mut out);
        }
        if let Some(deepening) = &plan.deepening {
            write_line(&mut out, "shallow-info");
            write_deepening(&mut out, deepening, boundary);
            pkt_line::write_delimiter(&mut out);
        }
        write_line(&mut out, "packfile");
        Answer::Pack { before: out, content: plan.content.clone(), framing: Framing::SideBand64k }
    }
}
