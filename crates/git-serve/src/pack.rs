//! Packs: many objects in one stream, made by putting ready entries behind each other. A pack is
//! written a few objects at a time, so that none has to fit into memory.

use gix_hash::Hasher;

use crate::pkt_line;

/// The band for data, and that for an error that ends it.
const DATA_BAND: u8 = 1;
const ERROR_BAND: u8 = 3;
/// The longest packet of a client that knows side bands, but not long ones.
const LONGEST_SMALL_PACKET: usize = 1_000;
/// Length and band before the data of a packet.
const PACKET_HEADER: usize = 5;

/// How a pack stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As it is, up to the end of the answer.
    Bare,
    /// In packets of up to 1,000 bytes, each with a band.
    SideBand,
    /// In packets as long as they can be, each with a band.
    SideBand64k,
}

/// Writes one pack: its header, entries, and the checksum.
pub struct PackWriter {
    framing: Framing,
    hasher: Hasher,
    announced: u32,
    written: usize,
}

/// A pack cannot be written to its end. The client notices, since the pack has no valid checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A pack counts its objects in 32 bits.
    #[error("{0} objects are more than a pack can have")]
    TooManyObjects(u64),
    /// The objects were not those that had been counted.
    #[error("the pack announces {announced} objects and has {written}")]
    Miscounted {
        /// How many objects the header names.
        announced: u32,
        /// How many objects there are.
        written: usize,
    },
    /// Somebody has prepared the content of the pack.
    #[error("the SHA-1 of the pack looks like a prepared collision")]
    Collision,
}

impl PackWriter {
    /// Begins a pack of `count` objects and appends its header.
    pub fn begin(framing: Framing, count: u64, out: &mut Vec<u8>) -> Result<Self, PackError> {
        let announced = u32::try_from(count).map_err(|_| PackError::TooManyObjects(count))?;
        let hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
        let mut writer = Self { framing, hasher, announced, written: 0 };
        let version = 2_u32;
        let header = [*b"PACK", version.to_be_bytes(), announced.to_be_bytes()].concat();
        writer.append(&header, out);
        Ok(writer)
    }

    /// Appends some entries, each as [`PackedObject`](crate::object::PackedObject) has it.
    pub fn entries<E: AsRef<[u8]>>(&mut self, entries: &[E], out: &mut Vec<u8>) {
        self.written += entries.len();
        let bytes: Vec<u8> = entries.iter().flat_map(AsRef::as_ref).copied().collect();
        self.append(&bytes, out);
    }

    /// Appends what ends the pack and the answer.
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), PackError> {
        if usize::try_from(self.announced) != Ok(self.written) {
            return Err(PackError::Miscounted { announced: self.announced, written: self.written });
        }
        let checksum = self.hasher.try_finalize().map_err(|_| PackError::Collision)?;
        frame(self.framing, DATA_BAND, checksum.as_slice(), out);
        if self.framing != Framing::Bare {
            pkt_line::write_flush(out);
        }
        Ok(())
    }

    /// Appends an error that Git shows to its user and that ends the pack. Without bands there is no
    /// room for one: then the answer has to be broken off.
    pub fn fail(self, sentence: &str, out: &mut Vec<u8>) {
        if self.framing != Framing::Bare {
            frame(self.framing, ERROR_BAND, format!("{sentence}\n").as_bytes(), out);
        }
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.hasher.update(bytes);
        frame(self.framing, DATA_BAND, bytes, out);
    }
}

fn frame(framing: Framing, band: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let longest = match framing {
        Framing::Bare => return out.extend_from_slice(bytes),
        Framing::SideBand => LONGEST_SMALL_PACKET,
        Framing::SideBand64k => pkt_line::LONGEST,
    };
    for chunk in bytes.chunks(longest - PACKET_HEADER) {
        pkt_line::write(out, &[&[band], chunk].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::Packet;

    fn pack(framing: Framing, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer =
            PackWriter::begin(framing, entries.len() as u64, &mut out).expect("few objects");
        for entry in entries {
            writer.entries(&[entry], &mut out);
        }
        writer.end(&mut out).expect("all objects are there");
        out
    }

    /// What the packets of each band carry, and how long the longest packet is.
    fn unframed(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, usize) {
        let (mut bands, mut longest) = (Vec::<(u8, Vec<u8>)>::new(), 0);
        while !bytes.is_empty() {
            let (packet, rest) = pkt_line::read(bytes).expect("packets");
            longest = longest.max(bytes.len() - rest.len());
            bytes = rest;
            let Packet::Data([band, data @ ..]) = packet else { continue };
            match bands.iter_mut().find(|(known, _)| known == band) {
                Some((_, carried)) => carried.extend_from_slice(data),
                None => bands.push((*band, data.to_vec())),
            }
        }
        (bands, longest)
    }

    #[test]
    fn a_pack_without_objects_is_that_of_git() {
        let pack = pack(Framing::Bare, &[]);
        assert_eq!(pack.len(), 32);
        assert_eq!(pack[..12], *b"PACK\0\0\0\x02\0\0\0\0");
        assert_eq!(pack[12..16], [0x02, 0x9d, 0x08, 0x82]);
    }

    #[test]
    fn a_pack_is_the_same_in_every_framing() {
        let entries = [vec![7; 100_000], vec![8; 10]];
        let bare = pack(Framing::Bare, &entries);
        assert_eq!(bare.len(), 12 + 100_010 + 20);
        for (framing, longest) in [(Framing::SideBand, 1_000), (Framing::SideBand64k, 65_520)] {
            let framed = pack(framing, &entries);
            assert!(framed.ends_with(b"0000"), "{framing:?}");
            assert_eq!(unframed(&framed), (vec![(DATA_BAND, bare.clone())], longest));
        }
    }

    #[test]
    fn a_pack_that_lacks_objects_has_no_end() {
        let mut out = Vec::new();
        let mut writer = PackWriter::begin(Framing::Bare, 2, &mut out).expect("few objects");
        writer.entries(&[b"one"], &mut out);
        let before = out.len();
        let error = PackError::Miscounted { announced: 2, written: 1 };
        assert_eq!(writer.end(&mut out), Err(error));
        assert_eq!(out.len(), before);
        let beyond = PackWriter::begin(Framing::Bare, 1 << 32, &mut out);
        assert_eq!(beyond.err(), Some(PackError::TooManyObjects(1 << 32)));
    }

    #[test]
    fn a_failure_has_a_band_of_its_own() {
        for (framing, bands) in [
            (Framing::SideBand64k, vec![(ERROR_BAND, b"broken\n".to_vec())]),
            (Framing::Bare, vec![]),
        ] {
            let mut out = Vec::new();
            let writer = PackWriter::begin(framing, 1, &mut out).expect("few objects");
            out.clear();
            writer.fail("broken", &mut out);
            assert_eq!(unframed(&out).0, bands);
        }
    }
}
