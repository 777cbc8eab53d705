//! Archives that no packing program would write.

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::EntryType;

/// A tar.gz of these entries, whatever their kinds and paths are. Links lead to `/etc/passwd`.
pub fn packed(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (kind, path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        // The checked setter would refuse what a hostile archive holds.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").expect("a short link");
        }
        header.set_cksum();
        archive.append(&header, *bytes).expect("writing to memory");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("writing to memory")
}
