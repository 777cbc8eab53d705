//! Files that are on the disk once they are said to be.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::{Failure, code};

/// The largest archive that is read, in bytes.
const LARGEST_ARCHIVE: u64 = 64 << 20;

/// Reads the archive of a package.
pub(crate) fn read_archive(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.len() > LARGEST_ARCHIVE {
            return Err(io::Error::other("it has more than 64 MiB"));
        }
        fs::read(path)
    };
    read().map_err(|error| {
        let message = format!("cannot read the archive {}: {error}", path.display());
        Failure::new(code::BAD_ARCHIVE, message)
    })
}

/// Puts a file that only we can read into the place of a former one, as a whole or not at all.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_added_extension("next");
    write_file(&next, bytes, 0o600)?;
    fs::rename(next, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Writes a file with exactly this mode.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    // margo(R-34): the same for everybody, whatever the mask of this process is.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(crate) fn storage(what: &str, error: &io::Error) -> Failure {
    Failure::new(code::STORAGE, format!("{what}: {error}"))
}
