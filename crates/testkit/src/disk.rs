//! A disk that is soon full.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;

/// What is written at a time to fill a disk.
const PIECE: usize = 64 << 10;

/// A file system of a given size, in memory; dropping it takes it away.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at a path where nothing is yet; `size` is as `mount` takes it, such as `512k`.
    pub fn mount(at: PathBuf, size: &str) -> Self {
        fs::create_dir(&at).expect("a free name");
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at);
        programs::stdout_of(&mut mount);
        Self(at)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Uses up all the room that is left.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file can be made");
        let mut size = PIECE;
        while size > 0 {
            match file.write_all(&vec![7; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("filling a disk: {error}"),
            }
        }
    }

    /// Gives the room back that [`fill`](Self::fill) has taken.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        programs::run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}
