//! Packs: many objects in one stream, made by putting ready entries behind each other.

use crate::object::ObjectError;
use crate::pkt_line;

/// The most data of a packet beside its length and its band.
const LARGEST_CHUNK: usize = pkt_line::LONGEST - 5;
const DATA_BAND: u8 = 1;

/// The section `packfile` of an answer, from its title to the end of the message: the pack in packets
/// on the band for data.
pub fn packfile_section<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, ObjectError> {
    let pack = pack(entries)?;
    let mut section = Vec::with_capacity(pack.len() + 64);
    pkt_line::write(&mut section, b"packfile\n");
    for chunk in pack.chunks(LARGEST_CHUNK) {
        let mut packet = Vec::with_capacity(chunk.len() + 1);
        packet.push(DATA_BAND);
        packet.extend_from_slice(chunk);
        pkt_line::write(&mut section, &packet);
    }
    pkt_line::write_flush(&mut section);
    Ok(section)
}

/// A pack of these entries with its checksum.
fn pack<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, ObjectError> {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        pack.extend_from_slice(entry.as_ref());
    }
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(&pack);
    let checksum = hasher.try_finalize().map_err(|_| ObjectError::Collision)?;
    pack.extend_from_slice(checksum.as_slice());
    Ok(pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_without_objects_is_that_of_git() {
        let pack = pack::<&[u8]>(&[]).expect("a pack");
        assert_eq!(pack.len(), 32);
        assert_eq!(pack[12..16], [0x02, 0x9d, 0x08, 0x82]);
    }

    #[test]
    fn a_long_pack_takes_several_packets() {
        let section = packfile_section(&[vec![7; 100_000]]).expect("a pack");
        let mut rest = section.as_slice();
        let mut packets = 0;
        while let (pkt_line::Packet::Data(_), more) = pkt_line::read(rest).expect("packets") {
            (packets, rest) = (packets + 1, more);
        }
        assert_eq!(packets, 3, "the title and two chunks");
    }
}
