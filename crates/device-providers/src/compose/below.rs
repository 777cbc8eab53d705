//! Files below a folder that a workload can write to while we do.
//!
//! A package may mount folders beside its files, so a container can put a link there at any moment.
//! Each folder on the way is opened from the one above it and never through a link: what we write or
//! remove is below the folder, and nowhere else.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

const OPEN: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Renames a file to `path` below `folder`, over what is there. Makes the folders in between.
pub(super) fn put(file: &Path, folder: &Path, path: &str) -> io::Result<()> {
    let (parents, name) = split(path);
    let mut at = open_top(folder)?;
    for segment in parents {
        at = match sys::openat(&at, segment, OPEN, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                sys::mkdirat(&at, segment, Mode::from_raw_mode(0o755))?;
                let made = sys::openat(&at, segment, OPEN, Mode::empty())?;
                // margo(R-34): the same for everybody, whatever the mask of this process is.
                sys::fchmod(&made, Mode::from_raw_mode(0o755))?;
                made
            }
            Err(error) => {
                let why = format!("`{segment}` of `{path}` is in the way of a folder");
                return Err(io::Error::new(io::Error::from(error).kind(), why));
            }
        };
    }
    Ok(sys::renameat(CWD, file, &at, name)?)
}

/// Removes a file at `path` below `folder`, and the folders in between that are empty then. What lies
/// behind a link is not ours, and stays.
pub(super) fn remove(folder: &Path, path: &str) -> io::Result<()> {
    let (parents, name) = split(path);
    let Ok(top) = open_top(folder) else { return Ok(()) };
    let mut way: Vec<(OwnedFd, &str)> = Vec::new();
    let mut at = top;
    for segment in parents {
        let Ok(next) = sys::openat(&at, segment, OPEN, Mode::empty()) else { return Ok(()) };
        way.push((at, segment));
        at = next;
    }
    match sys::unlinkat(&at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    for (parent, segment) in way.iter().rev() {
        if sys::unlinkat(parent, *segment, AtFlags::REMOVEDIR).is_err() {
            break;
        }
    }
    Ok(())
}

fn open_top(folder: &Path) -> io::Result<OwnedFd> {
    // The folder itself is out of every workload's reach.
    Ok(sys::open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn split(path: &str) -> (impl Iterator<Item = &str>, &str) {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    (parents.split('/').filter(|it| !it.is_empty()), name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_put_and_removed_with_the_folders_in_between() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, top) = (folder.path().join("source"), folder.path().join("top"));
        fs::create_dir_all(top.join("kept")).expect("a folder");
        fs::write(&source, "x").expect("a file");
        put(&source, &top, "kept/a/b/file").expect("a free place");
        assert_eq!(fs::read(top.join("kept/a/b/file")).expect("the file"), b"x");
        fs::write(top.join("kept/data"), "data").expect("a file");
        remove(&top, "kept/a/b/file").expect("a file of ours");
        assert!(!top.join("kept/a").exists() && top.join("kept/data").exists());
        remove(&top, "kept/a/b/file").expect("it is gone already");
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, top) = (folder.path().join("source"), folder.path().join("top"));
        let outside = folder.path().join("outside");
        fs::create_dir(&top).expect("a folder");
        fs::create_dir(&outside).expect("a folder");
        fs::write(&source, "x").expect("a file");
        fs::write(outside.join("file"), "theirs").expect("a file");
        symlink(&outside, top.join("link")).expect("a link");
        put(&source, &top, "link/file").expect_err("a link in the way");
        remove(&top, "link/file").expect("nothing of ours");
        assert_eq!(fs::read(outside.join("file")).expect("their file"), b"theirs");
        // At the place of the file itself a link is replaced, and what it leads to stays.
        symlink(outside.join("file"), top.join("file")).expect("a link");
        put(&source, &top, "file").expect("a link is no folder");
        assert!(!top.join("file").is_symlink());
        assert_eq!(fs::read(outside.join("file")).expect("their file"), b"theirs");
    }
}
