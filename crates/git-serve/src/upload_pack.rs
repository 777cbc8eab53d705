//! The two commands of a fetch in protocol version 2: list the references, and send what is missing.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use gix_hash::ObjectId;

use crate::BRANCH;
use crate::pkt_line::{self, Packet, PacketError};

/// More wants and haves than any client of a linear history sends.
const MOST_NAMED: usize = 4_096;
const MOST_LINES: usize = 2 * MOST_NAMED;

/// A request, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    LsRefs(LsRefs),
    Fetch(Fetch),
}

/// List the references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LsRefs {
    symrefs: bool,
    prefixes: Vec<Vec<u8>>,
}

/// Send what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    wants: Vec<ObjectId>,
    haves: Vec<ObjectId>,
    shallow: Vec<ObjectId>,
    depth: Option<u64>,
    depth_is_relative: bool,
    done: bool,
}

/// The commits of the branch, from the first revision on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub Vec<ObjectId>);

/// The answer to a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing in common so far: the whole answer. The client goes on.
    Negotiate(Vec<u8>),
    /// What comes before [`crate::pack::packfile_section`], and which objects that has to contain.
    Pack { before: Vec<u8>, content: PackContent },
}

/// Which objects a pack has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackContent {
    /// The commit of this revision and everything in its tree.
    pub complete: Option<u64>,
    /// The objects that were first added in these revisions.
    pub added: RangeInclusive<u64>,
}

/// A request that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("the request is not a command of protocol version 2")]
    NoCommand,
    #[error("the command `{0}` is not served")]
    UnknownCommand(String),
    #[error("the argument `{0}` is not served")]
    UnknownArgument(String),
    #[error("`{0}` is not an object id")]
    ObjectId(String),
    #[error("the request has more lines than are served")]
    TooLong,
    #[error("the object {0} is not a commit of this repository")]
    UnknownWant(ObjectId),
    #[error("the request wants nothing")]
    NothingWanted,
    #[error("the repository hashes with SHA-1 only")]
    ObjectFormat,
}

impl Command {
    /// Parses the body of a request to `git-upload-pack`.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let (head, arguments) = lines(body)?;
        let mut head = head.into_iter();
        let command = head.next().ok_or(RequestError::NoCommand)?;
        let command = command.strip_prefix(b"command=").ok_or(RequestError::NoCommand)?;
        for capability in head {
            let format = capability.strip_prefix(b"object-format=");
            if format.is_some_and(|format| format != b"sha1") {
                return Err(RequestError::ObjectFormat);
            }
        }
        match command {
            b"ls-refs" => LsRefs::parse(&arguments).map(Command::LsRefs),
            b"fetch" => Fetch::parse(&arguments).map(Command::Fetch),
            other => Err(RequestError::UnknownCommand(text(other))),
        }
    }
}

impl LsRefs {
    fn parse(arguments: &[&[u8]]) -> Result<Self, RequestError> {
        let mut command = Self::default();
        for argument in arguments {
            match *argument {
                b"symrefs" => command.symrefs = true,
                b"peel" | b"unborn" => {}
                other => {
                    let prefix = other
                        .strip_prefix(b"ref-prefix ")
                        .ok_or_else(|| RequestError::UnknownArgument(text(other)))?;
                    command.prefixes.push(prefix.to_vec());
                }
            }
        }
        Ok(command)
    }

    /// The references of a repository whose newest commit is `head`; none of an empty one.
    pub fn answer(&self, head: Option<ObjectId>) -> Vec<u8> {
        let mut out = Vec::new();
        let symref = if self.symrefs { format!(" symref-target:{BRANCH}") } else { String::new() };
        let asked_for = |name: &str| {
            self.prefixes.is_empty()
                || self.prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix))
        };
        for (name, more) in [("HEAD", symref.as_str()), (BRANCH, "")] {
            if let Some(head) = head.filter(|_| asked_for(name)) {
                pkt_line::write(&mut out, format!("{head} {name}{more}\n").as_bytes());
            }
        }
        pkt_line::write_flush(&mut out);
        out
    }
}

impl History {
    fn revision_of(&self, commit: &ObjectId) -> Option<u64> {
        let place = self.0.iter().rposition(|it| it == commit)?;
        Some(place as u64 + 1)
    }

    fn commit_at(&self, revision: u64) -> Option<ObjectId> {
        let place = usize::try_from(revision.checked_sub(1)?).ok()?;
        self.0.get(place).copied()
    }
}

impl Fetch {
    fn parse(arguments: &[&[u8]]) -> Result<Self, RequestError> {
        let mut command = Self::default();
        for argument in arguments {
            let (name, value) = match argument.iter().position(|it| *it == b' ') {
                Some(place) => (&argument[..place], &argument[place + 1..]),
                None => (*argument, &b""[..]),
            };
            match name {
                b"want" => command.wants.push(object_id(value)?),
                b"have" => command.haves.push(object_id(value)?),
                b"shallow" => command.shallow.push(object_id(value)?),
                b"deepen" => {
                    let depth = text(value).parse().ok().filter(|depth| *depth > 0);
                    let unreadable = || RequestError::UnknownArgument(text(argument));
                    command.depth = Some(depth.ok_or_else(unreadable)?);
                }
                b"deepen-relative" => command.depth_is_relative = true,
                b"done" => command.done = true,
                // Sent by every client; they ask for nothing that changes a pack of whole objects.
                b"thin-pack" | b"no-progress" | b"include-tag" | b"ofs-delta" => {}
                _ => return Err(RequestError::UnknownArgument(text(argument))),
            }
        }
        let longest = command.wants.len().max(command.haves.len()).max(command.shallow.len());
        if longest > MOST_NAMED {
            return Err(RequestError::TooLong);
        }
        if command.wants.is_empty() {
            return Err(RequestError::NothingWanted);
        }
        Ok(command)
    }

    /// Decides what the client gets.
    pub fn answer(&self, history: &History) -> Result<Answer, RequestError> {
        let mut wanted = 0;
        for want in &self.wants {
            let revision = history.revision_of(want).ok_or(RequestError::UnknownWant(*want))?;
            wanted = wanted.max(revision);
        }
        let common: BTreeSet<u64> =
            self.haves.iter().filter_map(|have| history.revision_of(have)).collect();
        let mut before = Vec::new();
        if !self.done {
            pkt_line::write(&mut before, b"acknowledgments\n");
            if common.is_empty() {
                pkt_line::write(&mut before, b"NAK\n");
                pkt_line::write_flush(&mut before);
                return Ok(Answer::Negotiate(before));
            }
            for have in self.haves.iter().filter(|it| history.revision_of(it).is_some()) {
                pkt_line::write(&mut before, format!("ACK {have}\n").as_bytes());
            }
            // History is linear: one commit in common says all that there is to know.
            pkt_line::write(&mut before, b"ready\n");
            pkt_line::write_delimiter(&mut before);
        }

        let shallow: BTreeSet<u64> =
            self.shallow.iter().filter_map(|it| history.revision_of(it)).collect();
        let boundary = self.boundary(wanted, shallow.first().copied());
        if let Some(boundary) = boundary {
            write_shallow_info(&mut before, history, boundary, &shallow);
        }
        let content = content(wanted, common.last().copied(), shallow.first().copied(), boundary);
        Ok(Answer::Pack { before, content })
    }

    /// The oldest revision that the client will have when it asks for a depth.
    fn boundary(&self, wanted: u64, shallow: Option<u64>) -> Option<u64> {
        let depth = self.depth?;
        let from = if self.depth_is_relative { shallow.unwrap_or(1) } else { wanted + 1 };
        Some(from.saturating_sub(depth).max(1))
    }
}

fn write_shallow_info(
    out: &mut Vec<u8>,
    history: &History,
    boundary: u64,
    shallow: &BTreeSet<u64>,
) {
    pkt_line::write(out, b"shallow-info\n");
    // No newline here: libgit2 takes it for a part of the id.
    if boundary > 1
        && !shallow.contains(&boundary)
        && let Some(commit) = history.commit_at(boundary)
    {
        pkt_line::write(out, format!("shallow {commit}").as_bytes());
    }
    for commit in shallow.range(boundary..).filter_map(|revision| {
        let stays = *revision == boundary && boundary > 1;
        if stays { None } else { history.commit_at(*revision) }
    }) {
        pkt_line::write(out, format!("unshallow {commit}").as_bytes());
    }
    pkt_line::write_delimiter(out);
}

/// The objects for a client that wants revision `wanted`, has `common` and everything from `shallow`
/// (or the first revision) up to it, and will have nothing older than `boundary`.
fn content(
    wanted: u64,
    common: Option<u64>,
    shallow: Option<u64>,
    boundary: Option<u64>,
) -> PackContent {
    let oldest_had = common.map(|_| shallow.unwrap_or(1));
    let oldest_wanted = boundary.or(shallow).unwrap_or(1);
    match (common, oldest_had) {
        // Only newer ones are missing.
        (Some(common), Some(oldest_had)) if boundary.is_none_or(|it| it >= oldest_had) => {
            PackContent { complete: None, added: common + 1..=wanted }
        }
        _ if oldest_wanted > 1 => {
            PackContent { complete: Some(oldest_wanted), added: oldest_wanted + 1..=wanted }
        }
        _ => PackContent { complete: None, added: 1..=wanted },
    }
}

type Lines<'a> = Vec<&'a [u8]>;

/// The lines before and after the delimiter, without their newlines.
fn lines(mut body: &[u8]) -> Result<(Lines<'_>, Lines<'_>), RequestError> {
    let (mut head, mut arguments) = (Vec::new(), Vec::new());
    let mut delimited = false;
    loop {
        let (packet, rest) = pkt_line::read(body)?;
        body = rest;
        match packet {
            Packet::Flush => return Ok((head, arguments)),
            Packet::Delimiter if delimited => return Err(RequestError::NoCommand),
            Packet::Delimiter => delimited = true,
            Packet::Data(line) => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let section = if delimited { &mut arguments } else { &mut head };
                if section.len() == MOST_LINES {
                    return Err(RequestError::TooLong);
                }
                section.push(line);
            }
        }
    }
}

fn object_id(hex: &[u8]) -> Result<ObjectId, RequestError> {
    ObjectId::from_hex(hex).map_err(|_| RequestError::ObjectId(text(hex)))
}

/// Bytes of a stranger, short enough for an error.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0001" => pkt_line::write_delimiter(&mut out),
                "0000" => pkt_line::write_flush(&mut out),
                line => pkt_line::write(&mut out, format!("{line}\n").as_bytes()),
            }
        }
        out
    }

    fn commit(revision: u64) -> String {
        format!("{revision:040x}")
    }

    fn history() -> History {
        History((1..=9).map(|it| object_id(commit(it).as_bytes()).expect("an id")).collect())
    }

    fn content_for(arguments: &[&str]) -> PackContent {
        let lines = [&["command=fetch", "agent=git/2", "0001"], arguments, &["0000"]].concat();
        let Ok(Command::Fetch(fetch)) = Command::parse(&body(&lines)) else {
            panic!("a fetch: {arguments:?}");
        };
        match fetch.answer(&history()).expect("an answer") {
            Answer::Pack { content, .. } => content,
            Answer::Negotiate(_) => panic!("no pack for {arguments:?}"),
        }
    }

    fn only(added: RangeInclusive<u64>) -> PackContent {
        PackContent { complete: None, added }
    }

    fn from(complete: u64, wanted: u64) -> PackContent {
        PackContent { complete: Some(complete), added: complete + 1..=wanted }
    }

    #[test]
    fn a_client_gets_what_it_lacks() {
        let want = format!("want {}", commit(9));
        let have = format!("have {}", commit(4));
        let shallow = format!("shallow {}", commit(4));
        assert_eq!(content_for(&[&want, "done"]), only(1..=9));
        assert_eq!(content_for(&[&want, &have]), only(5..=9));
        assert_eq!(content_for(&[&want, "deepen 1", "done"]), from(9, 9));
        assert_eq!(content_for(&[&want, "deepen 3", "done"]), from(7, 9));
        assert_eq!(content_for(&[&want, "deepen 99", "done"]), only(1..=9));
        assert_eq!(content_for(&[&want, &have, &shallow]), only(5..=9));
        assert_eq!(content_for(&[&want, &have, &shallow, "deepen 7"]), from(3, 9));
        assert_eq!(
            content_for(&[&want, &have, &shallow, "deepen-relative", "deepen 2"]),
            from(2, 9)
        );
        assert_eq!(content_for(&[&want, &have, &shallow, "deepen 2147483647"]), only(1..=9));
    }

    #[test]
    fn a_client_with_nothing_in_common_is_asked_to_go_on() {
        let lines = [
            "command=fetch",
            "0001",
            &format!("want {}", commit(9)),
            &format!("have {}", commit(77)),
            "0000",
        ];
        let Ok(Command::Fetch(fetch)) = Command::parse(&body(&lines)) else { panic!("a fetch") };
        let answer = fetch.answer(&history()).expect("an answer");
        assert_eq!(answer, Answer::Negotiate(body(&["acknowledgments", "NAK", "0000"])));
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let want = format!("want {}", commit(9));
        for lines in [
            &["0000"][..],
            &["want x", "0000"],
            &["command=push", "0000"],
            &["command=fetch", "object-format=sha256", "0001", &want, "done", "0000"],
            &["command=fetch", "0001", "0000"],
            &["command=fetch", "0001", "want 12", "0000"],
            &["command=fetch", "0001", &want, "deepen 0", "0000"],
            &["command=fetch", "0001", &want, "deepen-since 7", "0000"],
            &["command=fetch", "0001", &want, "filter blob:none", "0000"],
            &["command=fetch", "0001", "0001", "0000"],
            &["command=ls-refs", "0001", "what", "0000"],
            &["command=fetch", "0001", &want],
        ] {
            assert!(Command::parse(&body(lines)).is_err(), "{lines:?}");
        }
        let stranger = format!("want {}", commit(77));
        let lines = ["command=fetch", "0001", &stranger, "done", "0000"];
        let Ok(Command::Fetch(fetch)) = Command::parse(&body(&lines)) else { panic!("a fetch") };
        assert!(matches!(fetch.answer(&history()), Err(RequestError::UnknownWant(_))));
    }

    #[test]
    fn a_request_has_a_bound() {
        let want = format!("want {}", commit(9));
        let mut lines = vec!["command=fetch", "0001"];
        lines.extend(std::iter::repeat_n(want.as_str(), MOST_NAMED + 1));
        lines.push("0000");
        assert_eq!(Command::parse(&body(&lines)), Err(RequestError::TooLong));
    }

    #[test]
    fn references_are_listed_as_asked_for() {
        let head = history().0.last().copied();
        let list = |arguments: &[&str]| {
            let lines = [&["command=ls-refs", "0001"], arguments, &["0000"]].concat();
            let Ok(Command::LsRefs(command)) = Command::parse(&body(&lines)) else { panic!("ls") };
            command.answer(head)
        };
        let (all, branch) = (commit(9) + " HEAD", commit(9) + " refs/heads/main");
        assert_eq!(list(&["peel"]), body(&[&all, &branch, "0000"]));
        assert_eq!(list(&["ref-prefix refs/heads/"]), body(&[&branch, "0000"]));
        assert_eq!(list(&["ref-prefix refs/tags/"]), body(&["0000"]));
        let symref = all + " symref-target:refs/heads/main";
        assert_eq!(list(&["symrefs", "ref-prefix HEAD"]), body(&[&symref, "0000"]));
        assert_eq!(LsRefs::default().answer(None), b"0000");
    }
}
