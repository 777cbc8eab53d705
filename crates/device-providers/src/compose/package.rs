//! The files of a component on the device.
//!
//! ```text
//! <directory>/package/       what the archive held; Compose works here
//! <directory>/variables.env  the parameters; readable by us alone
//! <directory>/model.json     what Compose has made of both, which runs; readable by us alone
//! <directory>/record.json    what of it is ours, and whether installing was finished
//! <directory>/incoming/      the next package and parameters while they are being checked
//! ```
//!
//! A new package is written and checked as a whole beside the old one, then its files are renamed
//! into place. The folder itself is not exchanged: Compose files may bind folders beside them, and
//! what a workload has written there is data, which no update and no removal touches. An
//! interruption in between leaves a record that says so, and installing again ends it well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use margo_contract::compose_archive::ComposeArchive;
use serde::{Deserialize, Serialize};

use super::model::Model;
use crate::files::{self, absent_is_fine, replace_file, storage, sync_folder, write_file};
use crate::{Failure, code};

const COMPOSE_FILE: &str = "compose.yaml";

/// What lies in a component's directory.
#[derive(Debug)]
pub(super) struct Package<'a> {
    directory: &'a Path,
}

/// A package with its parameters, as Compose is told to find it.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) variables: PathBuf,
    pub(super) model: PathBuf,
}

/// What is remembered of a package.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// The files in `package/` that come from an archive.
    files: BTreeSet<String>,
    /// How many containers each service has, once installing was finished.
    pub(super) services: Option<BTreeMap<String, usize>>,
}

impl<'a> Package<'a> {
    pub(super) fn of(directory: &'a Path) -> Self {
        Self { directory }
    }

    /// Writes the package beside the present one, to be looked at first.
    pub(super) fn prepare(
        &self,
        archive: &ComposeArchive,
        variables: &str,
    ) -> Result<Project, Failure> {
        let project = self.incoming();
        let write = || -> io::Result<()> {
            remove_folder(&self.directory.join("incoming"))?;
            for (path, bytes) in archive.files() {
                let path = project.folder.join(path);
                make_folders(&project.folder, &path)?;
                write_file(&path, bytes, 0o644)?;
            }
            write_file(&project.variables, variables.as_bytes(), 0o600)
        };
        write().map_err(|error| storage("cannot store the package", &error))?;
        Ok(project)
    }

    /// Puts what was prepared into the place of the present package.
    pub(super) fn adopt(&self, archive: &ComposeArchive) -> Result<(Project, Record), Failure> {
        let former = self.record();
        let project = self.present();
        let adopt = || -> io::Result<Record> {
            let files: BTreeSet<String> = archive.files().keys().cloned().collect();
            // Until all is in place, all that may be there is ours.
            let all = former.files.union(&files).cloned().collect();
            self.save(&Record { files: all, services: None })?;
            for path in former.files.difference(&files) {
                remove_file(&project.folder, path)?;
            }
            let incoming = self.incoming();
            for path in &files {
                let place = project.folder.join(path);
                make_folders(&project.folder, &place)?;
                fs::rename(incoming.folder.join(path), place)?;
            }
            fs::rename(incoming.variables, &project.variables)?;
            sync_folder(&project.folder)?;
            let record = Record { files, services: None };
            self.save(&record)?;
            remove_folder(&self.directory.join("incoming"))?;
            Ok(record)
        };
        let record = adopt().map_err(|error| storage("cannot put the package in place", &error))?;
        Ok((project, record))
    }

    /// Removes what came from archives, and the folders that are empty then.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        let remove = || -> io::Result<()> {
            let project = self.present();
            for path in &self.record().files {
                remove_file(&project.folder, path)?;
            }
            remove_folder(&self.directory.join("incoming"))?;
            for file in [project.variables, project.model, self.directory.join("record.json")] {
                absent_is_fine(fs::remove_file(file))?;
            }
            // What is not empty holds data of the workload.
            let _ = fs::remove_dir(project.folder);
            let _ = fs::remove_dir(self.directory);
            Ok(())
        };
        remove().map_err(|error| storage("cannot remove the package", &error))
    }

    /// What is known of the package; nothing when there is none, or none that can be read.
    pub(super) fn record(&self) -> Record {
        match fs::read(self.directory.join("record.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(directory = %self.directory.display(), %error,
                    "the record of this package is unreadable; taking it as not installed");
                Record::default()
            }),
            Err(_) => Record::default(),
        }
    }

    /// Writes down the model that is to run.
    pub(super) fn keep_model(&self, model: &Model) -> Result<(), Failure> {
        write_file(&self.present().model, &model.to_bytes(), 0o600)
            .map_err(|error| storage("cannot store the resolved package", &error))
    }

    /// Remembers that installing was finished, with so many containers for each service.
    pub(super) fn finish(
        &self,
        record: Record,
        services: BTreeMap<String, usize>,
    ) -> Result<(), Failure> {
        self.save(&Record { services: Some(services), ..record })
            .map_err(|error| storage("cannot record the installation", &error))
    }

    fn present(&self) -> Project {
        Project {
            folder: self.directory.join("package"),
            variables: self.directory.join("variables.env"),
            model: self.directory.join("model.json"),
        }
    }

    fn incoming(&self) -> Project {
        let incoming = self.directory.join("incoming");
        Project {
            folder: incoming.join("package"),
            variables: incoming.join("variables.env"),
            model: incoming.join("model.json"),
        }
    }

    fn save(&self, record: &Record) -> io::Result<()> {
        replace_file(&self.directory.join("record.json"), &serde_json::to_vec(record)?)
    }
}

impl Project {
    pub(super) fn compose_file(&self) -> PathBuf {
        self.folder.join(COMPOSE_FILE)
    }

    /// The defaults that a package brings along, which Compose leaves out once it is given others.
    pub(super) fn defaults(&self) -> Option<PathBuf> {
        Some(self.folder.join(".env")).filter(|path| path.is_file())
    }
}

/// Reads and checks an archive.
pub(super) fn read_archive(path: &Path) -> Result<ComposeArchive, Failure> {
    let bytes = files::read_archive(path)?;
    // margo(R-35)
    ComposeArchive::read(&bytes)
        .map_err(|error| Failure::new(code::BAD_ARCHIVE, crate::chain(&error)))
}

/// Makes the folders between `folder` and a file below it. Only `folder` may be reached through a
/// link: a workload that can write beside its package must not lead us elsewhere.
fn make_folders(folder: &Path, file: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let below = file.parent().and_then(|parent| parent.strip_prefix(folder).ok());
    let mut path = folder.to_owned();
    for segment in below.into_iter().flatten() {
        path.push(segment);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let why = format!("{} is in the way of a folder", path.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
            }
            Err(_) => {
                fs::create_dir(&path)?;
                fs::set_permissions(&path, Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(())
}

/// Removes a file of the package and the folders that it leaves empty.
fn remove_file(folder: &Path, path: &str) -> io::Result<()> {
    let file = folder.join(path);
    let folders = || file.ancestors().skip(1).take_while(|it| *it != folder);
    // Behind a link lies nothing of ours.
    if folders().any(Path::is_symlink) {
        return Ok(());
    }
    absent_is_fine(fs::remove_file(&file))?;
    for empty in folders() {
        if fs::remove_dir(empty).is_err() {
            break;
        }
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(folder))
}
