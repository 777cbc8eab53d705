//! The framing of Git's protocol: lines with their length before them.

/// The longest packet, its four digits included.
pub const LONGEST: usize = 65_520;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// What is between two lengths; may be empty.
    Data(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
}

/// The bytes are not packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The length is not a number or not one that a packet can have.
    #[error("a packet does not begin with its length in four hex digits")]
    Length,
    /// There are fewer bytes than the packet announces.
    #[error("the request ends in the middle of a packet")]
    Truncated,
}

/// The packets of a message, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next packet; a line comes without its newline.
    pub(crate) fn next(&mut self) -> Result<Packet<'a>, PacketError> {
        let (packet, rest) = read(self.rest)?;
        self.rest = rest;
        Ok(match packet {
            Packet::Data(line) => Packet::Data(line.strip_suffix(b"\n").unwrap_or(line)),
            end => end,
        })
    }
}

/// Takes the first packet off the bytes and gives what follows it.
pub fn read(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), PacketError> {
    let (digits, rest) = bytes.split_at_checked(4).ok_or(PacketError::Truncated)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(PacketError::Length);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| PacketError::Length)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| PacketError::Length)?;
    match length {
        0 => Ok((Packet::Flush, rest)),
        1 => Ok((Packet::Delimiter, rest)),
        4..=LONGEST => {
            let (data, rest) = rest.split_at_checked(length - 4).ok_or(PacketError::Truncated)?;
            Ok((Packet::Data(data), rest))
        }
        _ => Err(PacketError::Length),
    }
}

/// Appends a packet with this data; longer data than fits into one packet is a mistake of the caller
/// and is cut.
pub fn write(out: &mut Vec<u8>, data: &[u8]) {
    let data = &data[..data.len().min(LONGEST - 4)];
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Appends an error that Git shows to its user. It may stand wherever a line may, and ends the message.
pub fn write_error(out: &mut Vec<u8>, sentence: &str) {
    write(out, format!("ERR {sentence}").as_bytes());
}

/// Appends the end of a message.
pub fn write_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends the end of a section.
pub fn write_delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"want\n");
        write_delimiter(&mut bytes);
        write_flush(&mut bytes);
        let (packet, rest) = read(&bytes).expect("a packet");
        assert_eq!(packet, Packet::Data(b"want\n"));
        let (packet, rest) = read(rest).expect("a packet");
        assert_eq!(packet, Packet::Delimiter);
        assert_eq!(read(rest), Ok((Packet::Flush, &b""[..])));
    }

    #[test]
    fn garbage_is_refused() {
        for (bytes, error) in [
            (&b""[..], PacketError::Truncated),
            (b"000", PacketError::Truncated),
            (b"0005", PacketError::Truncated),
            (b"0002", PacketError::Length),
            (b"0003", PacketError::Length),
            (b"ffff", PacketError::Length),
            (b"+005a", PacketError::Length),
            (b"zzzz", PacketError::Length),
        ] {
            assert_eq!(read(bytes), Err(error), "{bytes:?}");
        }
    }
}
