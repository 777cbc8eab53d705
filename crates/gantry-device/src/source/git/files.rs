//! The files of a desired state in a commit: the manifest and its documents, and nothing else. A small
//! pack can hold huge files, so none is read before its size is known.

use std::collections::BTreeMap;

use gix::bstr::ByteSlice as _;
use gix::object::tree::EntryKind;
use margo_contract::bundle::LARGEST_UNPACKED;
use margo_contract::digest::Digest;

use super::{GitError, failed};

/// No file is larger, in bytes.
const LARGEST_FILE: u64 = 16 << 20;

/// The manifest, and the documents by digest.
type Files = (Vec<u8>, BTreeMap<Digest, Vec<u8>>);

/// The files; anything else refuses the whole, and so do files that are too large together.
pub(super) fn read(repository: &gix::Repository, tree: &gix::Tree<'_>) -> Result<Files, GitError> {
    let mut reader = Reader { repository, left: LARGEST_UNPACKED };
    let (mut manifest, mut documents) = (None, BTreeMap::new());
    for entry in tree.iter() {
        let entry = entry.map_err(failed("reading the tree"))?;
        let name = entry.filename().to_str_lossy().into_owned();
        match (name.as_str(), entry.mode().kind()) {
            ("manifest.json", EntryKind::Blob) => {
                manifest = Some(reader.file(entry.oid(), &name)?);
            }
            ("deployments", EntryKind::Tree) => {
                let folder = repository.find_tree(entry.oid());
                documents = reader.documents(&folder.map_err(failed("reading the tree"))?)?;
            }
            _ => return Err(GitError::Unexpected(name)),
        }
    }
    Ok((manifest.ok_or(GitError::NoManifest)?, documents))
}

struct Reader<'a> {
    repository: &'a gix::Repository,
    /// How many bytes may yet be read.
    left: u64,
}

impl Reader<'_> {
    fn documents(&mut self, folder: &gix::Tree<'_>) -> Result<BTreeMap<Digest, Vec<u8>>, GitError> {
        let mut documents = BTreeMap::new();
        for entry in folder.iter() {
            let entry = entry.map_err(failed("reading the tree"))?;
            let name = format!("deployments/{}", entry.filename().to_str_lossy());
            let id = name.strip_prefix("deployments/").and_then(|it| it.strip_suffix(".yaml"));
            let has_id = id.is_some_and(|it| uuid::Uuid::try_parse(it).is_ok());
            if !has_id || entry.mode().kind() != EntryKind::Blob {
                return Err(GitError::Unexpected(name));
            }
            let bytes = self.file(entry.oid(), &name)?;
            documents.insert(Digest::of(&bytes), bytes);
        }
        Ok(documents)
    }

    fn file(&mut self, id: &gix::oid, name: &str) -> Result<Vec<u8>, GitError> {
        let header = self.repository.find_header(id).map_err(failed("reading a file"))?;
        let left = self.left.checked_sub(header.size());
        let Some(left) = left.filter(|_| header.size() <= LARGEST_FILE) else {
            return Err(GitError::Unexpected(format!("{name}, which is too large")));
        };
        self.left = left;
        let mut blob = self.repository.find_blob(id).map_err(failed("reading a file"))?;
        Ok(blob.take_data())
    }
}

#[cfg(test)]
mod tests {
    use gix::objs::tree::{Entry, EntryMode};

    use super::*;

    fn repository() -> (tempfile::TempDir, gix::Repository) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let repository = super::super::make(&folder.path().join("copy")).expect("an empty copy");
        (folder, repository)
    }

    fn tree(
        repository: &gix::Repository,
        entries: &[(&str, EntryKind, gix::ObjectId)],
    ) -> gix::ObjectId {
        let entries = entries.iter().map(|(name, kind, oid)| Entry {
            mode: EntryMode::from(*kind),
            filename: (*name).into(),
            oid: *oid,
        });
        let tree = gix::objs::Tree { entries: entries.collect() };
        repository.write_object(tree).expect("writable").detach()
    }

    fn blob(repository: &gix::Repository, size: usize) -> gix::ObjectId {
        repository.write_blob(vec![b' '; size]).expect("writable").detach()
    }

    fn told(repository: &gix::Repository, root: gix::ObjectId) -> String {
        let root = repository.find_tree(root).expect("it was written");
        read(repository, &root).map_or_else(|error| error.to_string(), |_| "good".to_owned())
    }

    #[test]
    fn files_that_are_too_large_alone_or_together_are_refused_unread() {
        let (_folder, repository) = repository();
        let small = blob(&repository, 10);
        let manifest = ("manifest.json", EntryKind::Blob, small);
        let with = |repository: &gix::Repository, documents: u128, size: usize| {
            let document = blob(repository, size);
            let names: Vec<String> =
                (0..documents).map(|it| format!("{}.yaml", uuid::Uuid::from_u128(it))).collect();
            let entries: Vec<_> =
                names.iter().map(|name| (name.as_str(), EntryKind::Blob, document)).collect();
            let folder = tree(repository, &entries);
            tree(repository, &[("deployments", EntryKind::Tree, folder), manifest])
        };
        let good = with(&repository, 3, 16 << 20);
        assert_eq!(told(&repository, good), "good");
        for (documents, size) in [(1, (16 << 20) + 1), (4, 16 << 20)] {
            let root = with(&repository, documents, size);
            assert!(told(&repository, root).contains("too large"), "{documents} of {size}");
        }
    }

    #[test]
    fn what_a_desired_state_does_not_have_refuses_the_whole() {
        let (_folder, repository) = repository();
        let small = blob(&repository, 10);
        let manifest = ("manifest.json", EntryKind::Blob, small);
        let odd = tree(&repository, &[("README.md", EntryKind::Blob, small), manifest]);
        assert!(told(&repository, odd).contains("README.md"));
        let link = tree(&repository, &[("manifest.json", EntryKind::Link, small)]);
        assert!(told(&repository, link).contains("manifest.json"));
        let folder = tree(&repository, &[("x.yaml", EntryKind::Blob, small)]);
        let odd = tree(&repository, &[("deployments", EntryKind::Tree, folder), manifest]);
        assert!(told(&repository, odd).contains("deployments/x.yaml"));
    }

    #[test]
    fn an_object_that_claims_to_be_huge_takes_no_memory() {
        let (_folder, repository) = repository();
        let huge = blob(&repository, 33 << 20);
        assert!(repository.find_object(huge).is_err());
    }
}
