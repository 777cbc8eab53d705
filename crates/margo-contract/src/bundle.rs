//! The bundle: all documents of a manifest in one archive (contract §6.3).

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use uuid::Uuid;

use crate::digest::Digest;
use crate::state_manifest::StateManifest;
use crate::tar_stream;

pub const MEDIA_TYPE: &str = "application/vnd.margo.bundle.v1+tar+gzip";

/// The largest bundle that is unpacked, in bytes of content.
pub const LARGEST_UNPACKED: u64 = 64 << 20;

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("the bundle is not a readable tar.gz")]
    Unreadable(#[source] io::Error),
    #[error("the bundle has the entry `{0}`, which is no regular file in its root")]
    UnexpectedEntry(String),
    #[error("the bundle has `{0}`, whose content the manifest does not name")]
    Extra(String),
    #[error("the bundle unpacks to more than {LARGEST_UNPACKED} bytes")]
    TooLarge,
    #[error("the bundle lacks the document with digest {0}")]
    Missing(Digest),
}

/// Packs documents; the same documents give the same bytes, margo(D-24).
pub fn write<'a>(documents: impl IntoIterator<Item = (Uuid, &'a [u8])>) -> io::Result<Vec<u8>> {
    let sorted: BTreeMap<Uuid, &[u8]> = documents.into_iter().collect();
    let files = sorted.into_iter().map(|(id, bytes)| (format!("{id}.yaml"), bytes));
    tar_gz(files)
}

/// Unpacks the documents that a manifest names, by digest. What is missing, extra, linked, in a
/// folder or too large makes the whole bundle refused, margo(H-2, D-22, D-26).
pub fn read(
    bytes: &[u8],
    manifest: &StateManifest,
) -> Result<BTreeMap<Digest, Vec<u8>>, BundleError> {
    let unreadable = |error| {
        if tar_stream::is_too_large(&error) {
            BundleError::TooLarge
        } else {
            BundleError::Unreadable(error)
        }
    };
    let entries = manifest.deployments.len();
    let mut archive = tar_stream::bounded(GzDecoder::new(bytes), LARGEST_UNPACKED, entries);
    let mut documents = BTreeMap::new();
    let mut left = LARGEST_UNPACKED;
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let in_root = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        if !entry.header().entry_type().is_file() || !in_root {
            return Err(BundleError::UnexpectedEntry(name));
        }
        let mut content = Vec::new();
        entry.take(left + 1).read_to_end(&mut content).map_err(unreadable)?;
        left = left.checked_sub(content.len() as u64).ok_or(BundleError::TooLarge)?;
        let digest = Digest::of(&content);
        let named = manifest.deployments.iter().any(|it| it.digest == digest);
        if !named || documents.insert(digest, content).is_some() {
            return Err(BundleError::Extra(name));
        }
    }
    match manifest.deployments.iter().find(|it| !documents.contains_key(&it.digest)) {
        Some(missing) => Err(BundleError::Missing(missing.digest)),
        None => Ok(documents),
    }
}

/// A tar.gz without times, owners or names of the machine that wrote it.
pub(crate) fn tar_gz<B: AsRef<[u8]>>(
    files: impl IntoIterator<Item = (String, B)>,
) -> io::Result<Vec<u8>> {
    let encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    let mut archive = tar::Builder::new(encoder);
    for (path, bytes) in files {
        let bytes = bytes.as_ref();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes)?;
    }
    let mut encoder = archive.into_inner()?;
    encoder.flush()?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = include_bytes!("../tests/fixtures/signed-profile/state-manifest.json");
    const BUNDLE: &[u8] = include_bytes!("../tests/fixtures/signed-profile/bundle.tar.gz");

    fn manifest() -> StateManifest {
        StateManifest::parse(MANIFEST).expect("a good manifest")
    }

    fn documents() -> BTreeMap<Digest, Vec<u8>> {
        read(BUNDLE, &manifest()).expect("a good bundle")
    }

    fn packed(entries: &[(tar::EntryType, &str, &[u8])]) -> Vec<u8> {
        let encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        for (kind, path, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            // The checked setter would refuse what a hostile archive holds.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if kind.is_symlink() {
                header.set_link_name("/etc/passwd").expect("a short link");
            }
            header.set_cksum();
            archive.append(&header, *bytes).expect("writing to memory");
        }
        archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("writing to memory")
    }

    // margo(D-22, H-2)
    #[test]
    fn a_bundle_holds_the_documents_of_its_manifest() {
        let documents = documents();
        assert_eq!(documents.len(), 2);
        for listed in manifest().deployments {
            assert_eq!(Digest::of(&documents[&listed.digest]), listed.digest);
        }
    }

    // margo(D-24)
    #[test]
    fn equal_documents_give_equal_bundles_in_any_order() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let one = write([(a, &b"a"[..]), (b, &b"b"[..])]).expect("writing to memory");
        let other = write([(b, &b"b"[..]), (a, &b"a"[..])]).expect("writing to memory");
        assert_eq!(one, other);
    }

    // margo(D-22, D-24, D-26)
    #[test]
    fn anything_but_the_named_documents_in_the_root_is_refused() {
        use tar::EntryType::{Link, Regular, Symlink};
        let documents = documents();
        let mut contents = documents.values();
        let first = contents.next().expect("two documents").as_slice();
        let second = contents.next().expect("two documents").as_slice();
        let both = [(Regular, "1.yaml", first), (Regular, "2.yaml", second)];
        assert!(read(&packed(&both), &manifest()).is_ok(), "names do not matter");

        let check = |entries: &[_]| read(&packed(entries), &manifest());
        assert!(matches!(check(&both[..1]), Err(BundleError::Missing(_))));
        let extra = [both[0], both[1], (Regular, "3.yaml", &b"x"[..])];
        assert!(matches!(check(&extra), Err(BundleError::Extra(_))));
        for (kind, path) in [
            (Symlink, "2.yaml"),
            (Link, "2.yaml"),
            (Regular, "../2.yaml"),
            (Regular, "/2.yaml"),
            (Regular, "a/2.yaml"),
        ] {
            let entries = [both[0], (kind, path, second)];
            assert!(matches!(check(&entries), Err(BundleError::UnexpectedEntry(_))), "{path}");
        }
        assert!(matches!(read(b"nothing", &manifest()), Err(BundleError::Unreadable(_))));
    }

    // margo(D-26)
    #[test]
    fn a_bundle_that_swells_is_refused() {
        let zeros = vec![0; usize::try_from(LARGEST_UNPACKED).expect("64 bits") + 1];
        let bomb = packed(&[(tar::EntryType::Regular, "1.yaml", &zeros)]);
        assert!(matches!(read(&bomb, &manifest()), Err(BundleError::TooLarge)));
    }
}
