//! The state directory: what has to outlive power cuts. Small documents in files of their own, each
//! replaced as a whole: it is there as it was, or as it shall be, and never half.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often, and after which pause, the lock is tried for again. A client that was killed in the middle of
/// starting a program has left a child that holds it until it has become that program.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The folder, held by this client alone.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: Option<File>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("another gantry-device uses the state directory {}; stop it first", .0.display())]
    InUse(PathBuf),
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} is damaged", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
}

impl StateDir {
    /// Makes the folder if it is missing and takes it for this client alone.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |what| {
            let path = path.to_owned();
            move |cause| StateError::Io { what, path, cause }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed("lock"))?;
        let mut tries = 0..TRIES;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: Some(lock) }),
                Err(fs::TryLockError::WouldBlock) if tries.next().is_some() => {
                    thread::sleep(PAUSE);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(StateError::InUse(path.to_owned()));
                }
                Err(fs::TryLockError::Error(cause)) => return Err(failed("lock")(cause)),
            }
        }
    }

    /// Looks into the folder while another client may use it.
    pub(crate) fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), _lock: None }
    }

    /// A path in the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a document, or nothing if there is none.
    pub(crate) fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.load_bytes(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|cause| StateError::Damaged { path: self.join(name), cause })
    }

    pub(crate) fn load_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        match fs::read(self.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(StateError::Io { what: "read", path: self.join(name), cause }),
        }
    }

    /// Replaces a document.
    pub(crate) fn save<T: Serialize>(&self, name: &str, document: &T) -> Result<(), StateError> {
        let bytes = serde_json::to_vec_pretty(document)
            .map_err(|cause| StateError::Damaged { path: self.join(name), cause })?;
        self.save_bytes(name, &bytes)
    }

    /// Replaces a file with these bytes. What is there already is not written again: flash wears out.
    pub(crate) fn save_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        if self.load_bytes(name).ok().flatten().as_deref() == Some(bytes) {
            return Ok(());
        }
        let failed = |cause| StateError::Io { what: "write", path: self.join(name), cause };
        self.save_pieces(name, |file| file.write_all(bytes).map_err(failed))
    }

    /// Replaces a file with what `write` writes: beside it, synced, renamed over it, and the folder
    /// synced. When anything fails, the file is as it was and nothing lies beside it.
    pub(crate) fn save_pieces<E: From<StateError>>(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.join(name);
        let temporary = path.with_extension("new");
        let failed = |cause| StateError::Io { what: "write", path: path.clone(), cause };
        let steps = || -> Result<(), E> {
            let folder = self.folder_of(&path).map_err(failed)?;
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(failed)?;
            write(&mut file)?;
            file.sync_all().map_err(failed)?;
            fs::rename(&temporary, &path).map_err(failed)?;
            Ok(sync(&folder).map_err(failed)?)
        };
        steps().inspect_err(|_| {
            // What was written in vain must not take the room that is wanting.
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Opens a file that grows over several attempts; it is made, with its folder, where it is missing.
    pub(crate) fn open_growing(&self, name: &str) -> Result<File, StateError> {
        let path = self.join(name);
        let open = || {
            self.folder_of(&path)?;
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true).mode(0o600).open(&path)
        };
        open().map_err(|cause| StateError::Io { what: "write", path: path.clone(), cause })
    }

    /// Puts a file that has grown whole in its place: synced, renamed, and the folder synced.
    pub(crate) fn put_in_place(&self, from: &str, to: &str) -> Result<(), StateError> {
        let (from, path) = (self.join(from), self.join(to));
        let put = || {
            File::open(&from)?.sync_all()?;
            fs::rename(&from, &path)?;
            sync(&self.folder_of(&path)?)
        };
        put().map_err(|cause| StateError::Io { what: "write", path: path.clone(), cause })
    }

    /// The folder of a file; one that is made here is there after a power cut.
    fn folder_of(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = path.parent().unwrap_or(&self.path).to_owned();
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            sync(folder.parent().unwrap_or(&self.path))?;
        }
        Ok(folder)
    }

    /// Removes a file or a folder, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { what: "remove", path, cause: error })
            }
            _ => Ok(()),
        }
    }

    /// Removes a folder, if it is there and nothing is in it.
    pub(crate) fn remove_if_empty(&self, name: &str) -> Result<(), StateError> {
        let path = self.join(name);
        match fs::remove_dir(&path) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(StateError::Io { what: "remove", path, cause: error })
            }
            _ => Ok(()),
        }
    }
}

impl StateDir {
    /// Removes the files of a folder that are not named.
    pub(crate) fn keep_only(
        &self,
        folder: &str,
        names: &BTreeSet<String>,
    ) -> Result<(), StateError> {
        let Ok(entries) = fs::read_dir(self.join(folder)) else { return Ok(()) };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !names.contains(&name) {
                self.remove(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_not_there_is_nothing() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
        assert_eq!(state.load::<u64>("number.json").expect("readable"), None);
        state.save("deep/number.json", &7).expect("writable");
        assert_eq!(state.load::<u64>("deep/number.json").expect("readable"), Some(7));
        state.remove("deep").expect("removable");
        state.remove("deep").expect("gone already");
        assert_eq!(state.load::<u64>("deep/number.json").expect("readable"), None);
    }

    #[test]
    fn a_full_disk_keeps_the_old_document_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        state.save("number.json", &7).expect("writable");
        // Whatever is written there finds no room.
        std::os::unix::fs::symlink("/dev/full", state.join("number.new")).expect("a link");
        let error = state.save("number.json", &8).expect_err("no room");
        let StateError::Io { cause, .. } = &error else { panic!("{error}") };
        assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
        assert_eq!(state.load::<u64>("number.json").expect("readable"), Some(7));
        assert!(state.join("number.new").symlink_metadata().is_err());
        state.save("number.json", &8).expect("there is room again");
        assert_eq!(state.load::<u64>("number.json").expect("readable"), Some(8));
    }

    #[test]
    fn what_fails_in_the_middle_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        state.save_bytes("few/bytes", b"old").expect("writable");
        let failed = state.save_pieces("few/bytes", |file| {
            file.write_all(b"ne").expect("there is room");
            Err(StateError::InUse(PathBuf::new()))
        });
        assert!(matches!(failed, Err(StateError::InUse(_))));
        assert_eq!(state.load_bytes("few/bytes").expect("readable").as_deref(), Some(&b"old"[..]));
        assert_eq!(fs::read_dir(state.join("few")).expect("readable").count(), 1);
    }

    #[test]
    fn what_is_not_to_be_kept_goes() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        let kept = BTreeSet::from(["a.json".to_owned(), "missing.json".to_owned()]);
        state.keep_only("few", &kept).expect("no folder is no trouble");
        for name in ["few/a.json", "few/b.json", "few/b.new"] {
            state.save(name, &1).expect("writable");
        }
        state.keep_only("few", &kept).expect("removable");
        let left: Vec<_> = fs::read_dir(state.join("few")).expect("readable").collect();
        assert_eq!(left.len(), 1);
        assert!(state.join("few/a.json").is_file());
    }

    #[test]
    fn two_clients_do_not_share_a_state_directory() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let first = StateDir::open(folder.path()).expect("nobody else has it");
        assert!(matches!(StateDir::open(folder.path()), Err(StateError::InUse(_))));
        drop(first);
        assert!(StateDir::open(folder.path()).is_ok());
    }

    #[test]
    fn a_damaged_document_is_named() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        state.save_bytes("number.json", b"{").expect("writable");
        let error = state.load::<u64>("number.json").expect_err("damaged");
        assert!(error.to_string().contains("number.json"), "{error}");
    }
}
