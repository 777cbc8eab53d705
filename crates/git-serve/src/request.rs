//! The body of a request to `git-upload-pack`, read: what the client wants, whatever version of the
//! protocol it speaks. Every byte comes from a stranger; reading takes time in proportion to their
//! number, and remembers no more than the bounds of [`crate::fetch`] allow.

use gix_hash::ObjectId;

use crate::fetch::Fetch;
use crate::pkt_line::{Packet, PacketError, Packets};
use crate::references::ListReferences;
use crate::version::Version;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Nothing: it says good-bye, or tries whether it would be let in. The answer has no bytes.
    Nothing,
    /// To know which references there are.
    ListReferences(ListReferences),
    /// To get objects.
    Fetch(Fetch),
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No Git sends this: it is answered with status 400.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A Git may ask for this: it is answered with
    /// [an error in the protocol](crate::pkt_line::write_error), which Git shows to its user.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The bytes are not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are not even packets.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A request of version 2 begins with `command=`.
    #[error("the request does not begin with a command of protocol version 2")]
    NoCommand,
    /// A line, or the end of a section, where none may be.
    #[error("`{0}` cannot stand here")]
    Unexpected(String),
    /// An id is 40 hex digits.
    #[error("`{0}` is not an object id")]
    ObjectId(String),
    /// A depth counts commits, from one on.
    #[error("`{0}` is not a depth")]
    Depth(String),
}

/// The request is well-formed, and asks for what there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A way to choose commits or objects that this server does not have.
    #[error("`{0}` is not served here; `--depth` and `--deepen` are")]
    Argument(String),
    /// Only commits of the one branch can be fetched.
    #[error("the object {0} is not a commit of this repository")]
    UnknownWant(ObjectId),
    /// A fetch without a want.
    #[error("the request wants nothing")]
    NothingWanted,
    /// More wants or shallow commits than are looked at.
    #[error("the request names more than {most} commits as `{name}`")]
    TooMany {
        /// The word before the ids.
        name: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// Ids of another length.
    #[error("this repository is hashed with SHA-1 only")]
    ObjectFormat,
}

impl Request {
    /// Reads the body of a request, after decompression.
    pub fn parse(version: Version, body: &[u8]) -> Result<Self, RequestError> {
        let mut packets = Packets::of(body);
        match version {
            Version::V0 | Version::V1 => {
                let fetch = Fetch::parse_v0(&mut packets)?;
                Ok(fetch.map_or(Self::Nothing, Self::Fetch))
            }
            Version::V2 => Self::parse_command(&mut packets),
        }
    }

    fn parse_command(packets: &mut Packets<'_>) -> Result<Self, RequestError> {
        let command = match next(packets)? {
            Packet::Data(line) => line.strip_prefix(b"command=").ok_or(Malformed::NoCommand)?,
            Packet::Flush => return Ok(Self::Nothing),
            Packet::Delimiter => return Err(Malformed::NoCommand.into()),
        };
        let has_arguments = loop {
            match next(packets)? {
                Packet::Data(capability) => check_object_format(capability)?,
                Packet::Delimiter => break true,
                Packet::Flush => break false,
            }
        };
        let mut none = Packets::of(b"0000");
        let arguments = if has_arguments { packets } else { &mut none };
        match command {
            b"ls-refs" => Ok(Self::ListReferences(ListReferences::parse(arguments)?)),
            b"fetch" => Ok(Self::Fetch(Fetch::parse_v2(arguments)?)),
            _ => Err(Malformed::Unexpected(text(command)).into()),
        }
    }
}

/// Refuses a capability that names another hash.
pub(crate) fn check_object_format(capability: &[u8]) -> Result<(), Refusal> {
    match capability.strip_prefix(b"object-format=") {
        None | Some(b"sha1") => Ok(()),
        Some(_) => Err(Refusal::ObjectFormat),
    }
}

/// The next line of a section, or nothing at the end of the message.
pub(crate) fn line<'a>(packets: &mut Packets<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match packets.next()? {
        Packet::Data(line) => Ok(Some(line)),
        Packet::Flush => Ok(None),
        Packet::Delimiter => Err(Malformed::Unexpected("0001".to_owned())),
    }
}

fn next<'a>(packets: &mut Packets<'a>) -> Result<Packet<'a>, Malformed> {
    Ok(packets.next()?)
}

/// Bytes of a stranger, short and harmless enough for an error.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
    text.chars().filter(|it| !it.is_control()).collect()
}

#[cfg(test)]
mod tests;
