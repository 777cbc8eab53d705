//! Keeps the local copy small however long it is followed: every fetch adds a pack, and nothing before
//! the trusted commit is ever needed again. What is kept is that commit with its tree, as a shallow copy.

use std::fs;
use std::path::Path;

use gix::prelude::Write as _;

use super::{FETCHED, GitError, failed, make};

/// With more packs than this the copy is made anew.
const MOST_PACKS: usize = 24;

/// Makes the copy anew with nothing but `commit`, if it has grown. An interruption leaves either copy, or
/// none; without one the next fetch brings the whole history.
pub(super) fn compact(folder: &Path, commit: gix::ObjectId) -> Result<(), GitError> {
    if packs(folder) <= MOST_PACKS {
        return Ok(());
    }
    let fresh = folder.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    let from = super::open(folder)?;
    let to = make(&fresh)?;
    copy(&from, &to, commit)?;
    fs::write(fresh.join("shallow"), format!("{commit}\n")).map_err(GitError::Local)?;
    to.reference(FETCHED, commit, gix::refs::transaction::PreviousValue::Any, "compacted")
        .map_err(failed("naming the commit"))?;
    fs::remove_dir_all(folder).map_err(GitError::Local)?;
    fs::rename(&fresh, folder).map_err(GitError::Local)
}

/// Lets go of the copy if it has grown by what is refused again and again.
pub(super) fn forget_if_grown(folder: &Path) {
    if packs(folder) > MOST_PACKS {
        // The next fetch makes it anew.
        let _ = fs::remove_dir_all(folder);
    }
}

/// Removes what interrupted fetches have left.
pub(super) fn forget_unfinished_packs(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder.join("objects/pack")) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(".tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn packs(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder.join("objects/pack")) else { return 0 };
    let is_pack = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|it| it == "pack");
    entries.filter_map(Result::ok).filter(is_pack).count()
}

fn copy(
    from: &gix::Repository,
    to: &gix::Repository,
    commit: gix::ObjectId,
) -> Result<(), GitError> {
    let mut left = vec![commit];
    while let Some(id) = left.pop() {
        let object = from.find_object(id).map_err(failed("reading an object"))?;
        match object.kind {
            gix::object::Kind::Commit => {
                let tree = object.clone().into_commit().tree_id();
                left.push(tree.map_err(failed("reading the commit"))?.detach());
            }
            gix::object::Kind::Tree => {
                for entry in object.clone().into_tree().iter() {
                    left.push(entry.map_err(failed("reading the tree"))?.object_id());
                }
            }
            gix::object::Kind::Blob | gix::object::Kind::Tag => {}
        }
        to.write_buf(object.kind, &object.data).map_err(failed("writing an object"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_and_again_does_not_fill_the_disk() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let copy = folder.path().join("repository.git");
        make(&copy).expect("an empty copy");
        let pack = |name: &str| fs::write(copy.join("objects/pack").join(name), b"x");
        for number in 0..MOST_PACKS {
            pack(&format!("pack-{number}.pack")).expect("writable");
        }
        pack(".tmpAbCdEf").expect("writable");
        forget_if_grown(&copy);
        super::super::open(&copy).expect("a copy");
        assert_eq!(packs(&copy), MOST_PACKS);
        assert!(!copy.join("objects/pack/.tmpAbCdEf").exists(), "it was left by an interruption");
        pack("pack-more.pack").expect("writable");
        forget_if_grown(&copy);
        assert!(!copy.exists());
        forget_if_grown(&copy);
    }
}
