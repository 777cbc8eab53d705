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
