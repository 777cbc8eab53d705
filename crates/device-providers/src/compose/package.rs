//! The files of a component on the device.
//!
//! ```text
//! <directory>/package/        what the archive held; Compose works here
//! <directory>/defaults.env    the defaults of parameters that the package brings along, its `.env`
//! <directory>/variables.env   the parameters; readable by us alone
//! <directory>/model.json      what Compose has made of all that, which runs; readable by us alone
//! <directory>/record.json     what of it is ours, and whether installing was finished
//! <directory>/installed/      the archive and parameters that ran last, to put them back
//! <directory>/incoming/       the next package and parameters while they are being checked
//! ```
//!
//! A new package is written and checked as a whole beside the old one, then its files are renamed
//! into place. The folder itself is not exchanged: Compose files may bind folders beside them, and
//! what a workload has written there is data, which no update and no removal touches. An
//! interruption in between leaves a record that says so, and installing again ends it well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use margo_contract::compose_archive::ComposeArchive;
use serde::{Deserialize, Serialize};

use super::below;
use super::model::Model;
use crate::files::{self, absent_is_fine, replace_file, storage, sync_folder, write_file};
use crate::{Failure, code};

/// margo(R-31): this one alone. A `compose.override.yaml` beside it is a file like any other.
pub(super) const COMPOSE_FILE: &str = "compose.yaml";
const DEFAULTS: &str = ".env";

/// What lies in a component's directory.
#[derive(Debug)]
pub(super) struct Package<'a> {
    directory: &'a Path,
}

/// A package with its parameters, as Compose is told to find it.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    /// There only where the package brings a `.env` along. It lies outside of the package's folder,
    /// so that no container can put a link to other variables in its place.
    defaults: PathBuf,
    variables: PathBuf,
    pub(super) model: PathBuf,
}

/// What a component is made of.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) archive: ComposeArchive,
    /// The archive's bytes.
    packed: Vec<u8>,
    /// The parameters, as the text of a file for Compose.
    pub(super) variables: String,
}

/// What is remembered of a package.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// The files in `package/` that come from an archive.
    files: BTreeSet<String>,
    /// How many containers each service has, once installing was finished.
    pub(super) services: Option<BTreeMap<String, usize>>,
    /// The containers that were there then, to look at them with one question.
    #[serde(default)]
    pub(super) containers: Vec<String>,
    /// Those that have done their work, each in its last run.
    #[serde(default)]
    pub(super) done: BTreeSet<String>,
}

impl<'a> Package<'a> {
    pub(super) fn of(directory: &'a Path) -> Self {
        Self { directory }
    }

    /// Writes the package beside the present one, to be looked at first.
    pub(super) fn prepare(&self, content: &Content) -> Result<Project, Failure> {
        let project = self.incoming();
        let write = || -> io::Result<Project> {
            remove_folder(&self.directory.join("incoming"))?;
            fs::create_dir_all(&project.folder)?;
            for (path, bytes) in content.archive.files() {
                let path = project.folder.join(path);
                fs::create_dir_all(path.parent().unwrap_or(&project.folder))?;
                write_file(&path, bytes, 0o644)?;
            }
            if let Some(defaults) = content.archive.files().get(DEFAULTS) {
                write_file(&project.defaults, defaults, 0o600)?;
            }
            write_file(&project.variables, content.variables.as_bytes(), 0o600)?;
            // As Compose will write it.
            let folder = project.folder.canonicalize()?;
            Ok(Project { folder, ..project })
        };
        write().map_err(|error| storage("cannot store the package", &error))
    }

    /// Writes down what Compose has made of what was prepared.
    pub(super) fn keep_model(&self, model: &Model) -> Result<(), Failure> {
        write_file(&self.incoming().model, &model.to_bytes(), 0o600)
            .map_err(|error| storage("cannot store the resolved package", &error))
    }

    /// The model that runs, or was to run.
    pub(super) fn model(&self) -> Option<Model> {
        Model::parse(&fs::read(self.present().model).ok()?).ok()
    }

    /// Puts what was prepared into the place of the present package.
    pub(super) fn adopt(&self, archive: &ComposeArchive) -> Result<(Project, Record), Failure> {
        let former = self.record();
        let project = self.present();
        let adopt = || -> io::Result<Record> {
            let files: BTreeSet<String> = archive.files().keys().cloned().collect();
            // Until all is in place, all that may be there is ours.
            let all = former.files.union(&files).cloned().collect();
            self.save(&Record { files: all, ..Record::default() })?;
            fs::create_dir_all(&project.folder)?;
            for path in former.files.difference(&files) {
                below::remove(&project.folder, path)?;
            }
            let incoming = self.incoming();
            for path in &files {
                below::put(&incoming.folder.join(path), &project.folder, path)?;
            }
            absent_is_fine(fs::remove_file(&project.defaults))?;
            absent_is_fine(fs::rename(incoming.defaults, &project.defaults))?;
            fs::rename(incoming.variables, &project.variables)?;
            fs::rename(incoming.model, &project.model)?;
            sync_folder(&project.folder)?;
            let record = Record { files, ..Record::default() };
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
                below::remove(&project.folder, path)?;
            }
            for folder in ["incoming", "installed"] {
                remove_folder(&self.directory.join(folder))?;
            }
            let record = self.directory.join("record.json");
            for file in [project.defaults, project.variables, project.model, record] {
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

    /// Remembers that installing was finished, with what was installed and the containers of it.
    pub(super) fn finish(&self, record: &Record, content: &Content) -> Result<(), Failure> {
        let finish = || -> io::Result<()> {
            let installed = self.directory.join("installed");
            fs::create_dir_all(&installed)?;
            write_file(&installed.join("archive.tar.gz"), &content.packed, 0o600)?;
            write_file(&installed.join("variables.env"), content.variables.as_bytes(), 0o600)?;
            self.save(record)
        };
        finish().map_err(|error| storage("cannot record the installation", &error))
    }

    /// What was installed last, as it was when [`Record::services`] was there.
    pub(super) fn installed(&self) -> Option<Content> {
        let installed = self.directory.join("installed");
        let variables = fs::read_to_string(installed.join("variables.env")).ok()?;
        Content::read(&installed.join("archive.tar.gz"), variables).ok()
    }

    fn present(&self) -> Project {
        Project::at(self.directory)
    }

    fn incoming(&self) -> Project {
        Project::at(&self.directory.join("incoming"))
    }

    /// Remembers which containers have done their work by now.
    pub(super) fn note_done(&self, record: Record, done: BTreeSet<String>) -> Result<(), Failure> {
        self.save(&Record { done, ..record })
            .map_err(|error| storage("cannot record which services have done their work", &error))
    }

    fn save(&self, record: &Record) -> io::Result<()> {
        replace_file(&self.directory.join("record.json"), &serde_json::to_vec(record)?)
    }
}

impl Project {
    fn at(directory: &Path) -> Self {
        Self {
            folder: directory.join("package"),
            defaults: directory.join("defaults.env"),
            variables: directory.join("variables.env"),
            model: directory.join("model.json"),
        }
    }

    pub(super) fn compose_file(&self) -> PathBuf {
        self.folder.join(COMPOSE_FILE)
    }

    /// The files with variables; the last one that has a variable decides. Compose leaves out the
    /// defaults of a package once it is given others.
    pub(super) fn env_files(&self) -> impl Iterator<Item = &Path> {
        let defaults = Some(self.defaults.as_path()).filter(|it| it.is_file());
        defaults.into_iter().chain([self.variables.as_path()])
    }
}

impl Content {
    /// Reads and checks an archive.
    pub(super) fn read(path: &Path, variables: String) -> Result<Self, Failure> {
        let packed = files::read_archive(path)?;
        // margo(R-35)
        let archive = ComposeArchive::read(&packed);
        let archive =
            archive.map_err(|error| Failure::new(code::BAD_ARCHIVE, crate::chain(&error)))?;
        Ok(Self { archive, packed, variables })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.packed == other.packed && self.variables == other.variables
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(folder))
}
