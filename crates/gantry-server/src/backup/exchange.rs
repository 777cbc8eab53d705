//! Puts what was restored in place of what the data directory holds, which is moved into a folder beside it.
//!
//! Everything is made ready in one folder. Its renaming is the moment at which the restore holds: before that
//! nothing has changed, and after it each step can be taken again until all are done, by another restore or
//! by the next start of the server.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archive;
use crate::data_dir;

/// Where a restore is made ready; without meaning when it was cut off.
const UNREADY: &str = "restore.new";
/// Where it waits to be put in place, until that is done.
const READY: &str = "restore.ready";
/// In the latter: the name of the folder for what was there before.
const ASIDE: &str = "aside";

/// What SQLite keeps beside a database; without it the database that is put aside would not be whole.
const OF_THE_DATABASE: [&str; 3] = ["gantry.db-wal", "gantry.db-shm", "gantry.db-journal"];

/// An empty folder to make a restore ready in.
pub(super) fn new_folder(data_dir: &Path) -> Result<PathBuf> {
    let folder = data_dir.join(UNREADY);
    let make = || {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(&folder)
    };
    make().with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// From now on the restore holds, whatever happens.
pub(super) fn commit(data_dir: &Path, now: i64) -> Result<()> {
    let (unready, ready) = (data_dir.join(UNREADY), data_dir.join(READY));
    data_dir::write_secret(&unready.join(ASIDE), format!("before-restore-{now}").as_bytes())?;
    fs::rename(&unready, &ready)
        .and_then(|()| data_dir::sync_folder_of(&ready))
        .with_context(|| format!("making {}", ready.display()))
}

/// Puts a restore that holds in place, if there is one; gives the folder with what was there before, if
/// anything was. The caller holds the data directory.
pub(crate) fn finish(data_dir: &Path) -> Result<Option<PathBuf>> {
    let ready = data_dir.join(READY);
    let Some(aside) = data_dir::read_text(&ready.join(ASIDE))? else { return Ok(None) };
    let aside = data_dir.join(aside.trim());
    let put = || -> std::io::Result<()> {
        // The database goes last: as long as it waits, what lies in its place is the former one.
        if ready.join(archive::DATABASE).exists() {
            for name in OF_THE_DATABASE {
                put_aside(data_dir, name, &aside)?;
            }
        }
        for name in [archive::CA_KEY, archive::CA_CERTIFICATE, archive::DATABASE] {
            if ready.join(name).exists() {
                put_aside(data_dir, name, &aside)?;
                fs::rename(ready.join(name), data_dir.join(name))?;
            }
        }
        data_dir::sync_folder_of(&ready)?;
        fs::remove_dir_all(&ready)?;
        data_dir::sync_folder_of(&ready)
    };
    put().with_context(|| {
        format!("putting the restored files into {}; start again to go on", data_dir.display())
    })?;
    Ok(aside.exists().then_some(aside))
}

/// Moves a file out of the way. Once it is done there is nothing to move any more.
fn put_aside(data_dir: &Path, name: &str, aside: &Path) -> std::io::Result<()> {
    let file = data_dir.join(name);
    if !file.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(aside)?;
    fs::rename(file, aside.join(name))?;
    data_dir::sync_folder_of(&aside.join(name))?;
    data_dir::sync_folder_of(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["ca.key", "ca.pem", "gantry.db", "gantry.db-wal"];

    fn content(folder: &Path) -> Vec<Option<String>> {
        NAMES.iter().map(|it| fs::read_to_string(folder.join(it)).ok()).collect()
    }

    /// A data directory with a former fleet, and a restore that holds.
    fn scene() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        for name in NAMES {
            fs::write(folder.path().join(name), "former").expect("writable");
        }
        let new = new_folder(folder.path()).expect("it can be made");
        for name in ["ca.key", "ca.pem", "gantry.db"] {
            fs::write(new.join(name), "restored").expect("writable");
        }
        commit(folder.path(), 7).expect("it can be renamed");
        folder
    }

    fn assert_done(folder: &Path) {
        let restored = Some("restored".to_owned());
        assert_eq!(content(folder), [restored.clone(), restored.clone(), restored, None]);
        let former = vec![Some("former".to_owned()); 4];
        assert_eq!(content(&folder.join("before-restore-7")), former);
        assert!(!folder.join(READY).exists());
    }

    #[test]
    fn what_was_there_is_put_aside_with_all_that_belongs_to_it() {
        let folder = scene();
        let aside = finish(folder.path()).expect("it can be done");
        assert_eq!(aside, Some(folder.path().join("before-restore-7")));
        assert_done(folder.path());
        assert_eq!(finish(folder.path()).expect("there is nothing to do"), None);
    }

    #[test]
    fn an_exchange_that_was_cut_off_anywhere_is_gone_on_with() {
        // Each renaming, in the order in which they are done.
        let steps = [
            ("gantry.db-wal", "before-restore-7/gantry.db-wal"),
            ("ca.key", "before-restore-7/ca.key"),
            ("restore.ready/ca.key", "ca.key"),
            ("ca.pem", "before-restore-7/ca.pem"),
            ("restore.ready/ca.pem", "ca.pem"),
            ("gantry.db", "before-restore-7/gantry.db"),
            ("restore.ready/gantry.db", "gantry.db"),
        ];
        for done in 0..=steps.len() {
            let folder = scene();
            let aside = folder.path().join("before-restore-7");
            fs::create_dir(aside).expect("it can be made");
            for (from, to) in &steps[..done] {
                fs::rename(folder.path().join(from), folder.path().join(to)).expect("movable");
            }
            finish(folder.path()).expect("it can be done");
            assert_done(folder.path());
        }
    }

    #[test]
    fn a_restore_that_was_cut_off_before_it_held_has_changed_nothing() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        fs::write(folder.path().join("gantry.db"), "former").expect("writable");
        let new = new_folder(folder.path()).expect("it can be made");
        fs::write(new.join("gantry.db"), "half").expect("writable");
        assert_eq!(finish(folder.path()).expect("there is nothing to do"), None);
        let kept = fs::read_to_string(folder.path().join("gantry.db")).expect("it is there");
        assert_eq!(kept, "former");
        let again = new_folder(folder.path()).expect("it can be made again");
        assert!(!again.join("gantry.db").exists());
    }
}
