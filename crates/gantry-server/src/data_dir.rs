//! The data directory: private to the server, held by one server at a time, and written in steps that
//! survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Holds the data directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDirLock(
    #[expect(dead_code, reason = "the lock lives as long as the file")] File,
);

/// Makes the directory if it is missing and takes it for this server alone.
pub(crate) fn open(folder: &Path) -> Result<DataDirLock> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the data directory {}", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock(file)),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another gantry-server uses the data directory {}; stop it, or choose another directory",
            folder.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// The text of a file, or nothing if there is none.
pub(crate) fn read_text(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// Writes a file that only the server's user can read.
pub(crate) fn write_secret(file: &Path, bytes: &[u8]) -> Result<()> {
    write(file, bytes, 0o600)
}

/// Writes a file that everybody may read.
pub(crate) fn write_public(file: &Path, bytes: &[u8]) -> Result<()> {
    write(file, bytes, 0o644)
}

/// What was done to the name of a file is there after a power cut.
pub(crate) fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// All of the file is there after a power cut, or nothing of it.
fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = file.with_extension("new");
    let steps = || -> io::Result<()> {
        let mut out = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&temporary, file)?;
        sync_folder_of(file)
    };
    steps().with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_do_not_share_a_data_directory() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let path = folder.path().join("data");
        let first = open(&path).expect("nobody else has it");
        let second = open(&path).expect_err("somebody has it");
        assert!(second.to_string().contains("another gantry-server"), "{second}");
        drop(first);
        assert!(open(&path).is_ok());
    }
}
