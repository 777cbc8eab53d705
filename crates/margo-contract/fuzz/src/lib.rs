//! Lets any bytes be an archive: mutated bytes are hardly ever a tar with good checksums, or a gzip.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

const BLOCK: usize = 512;

/// A tar.gz of these bytes, with a good checksum in each header.
pub fn tar_gz(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|it| u32::from(*it)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = header[124..136].iter().filter(|it| (b'0'..=b'7').contains(it));
        let size = size.fold(0_usize, |sum, it| sum.wrapping_mul(8) + usize::from(it - b'0'));
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if at > tar.len() - BLOCK.min(tar.len()) {
            break;
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}
