//! The files of a component on the device.
//!
//! ```text
//! <directory>/values.json  the parameters while Helm reads them; readable by us alone
//! <directory>/record.json  which revision was installed, from what, and what it looked like
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use margo_contract::digest::Digest;
use serde::{Deserialize, Serialize};

use super::likeness::Likeness;
use crate::Failure;
use crate::files::{absent_is_fine, replace_file, storage};

/// What lies in a component's directory.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    directory: &'a Path,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Helm's number.
    pub(super) revision: u32,
    /// Of the chart and the values.
    pub(super) content: Digest,
    /// In the cluster, once it was installed. A record that says nothing of it is of a former version of ours, or
    /// of something that did not run.
    #[serde(default)]
    pub(super) likeness: Option<Likeness>,
}

impl<'a> Folder<'a> {
    pub(super) fn of(directory: &'a Path) -> Self {
        Self { directory }
    }

    /// What is known to be installed; nothing when there is no record, or none that can be read.
    pub(super) fn record(&self) -> Option<Record> {
        let bytes = fs::read(self.directory.join("record.json")).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| {
                tracing::warn!(directory = %self.directory.display(), %error,
                    "the record of this component is unreadable; taking it as not installed");
            })
            .ok()
    }

    pub(super) fn remember(&self, record: &Record) -> Result<(), Failure> {
        let save =
            || replace_file(&self.directory.join("record.json"), &serde_json::to_vec(record)?);
        save().map_err(|error| storage("cannot record the installation", &error))
    }

    /// Writes the values down for Helm to read.
    pub(super) fn keep_values(&self, values: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.values();
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.directory)?;
            replace_file(&path, values)
        };
        write().map_err(|error| storage("cannot store the parameters", &error))?;
        Ok(path)
    }

    /// Forgets the values, which may be secret.
    pub(super) fn drop_values(&self) {
        if let Err(error) = absent_is_fine(fs::remove_file(self.values())) {
            tracing::warn!(directory = %self.directory.display(), %error, "cannot remove the values");
        }
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        absent_is_fine(fs::remove_dir_all(self.directory))
            .map_err(|error| storage("cannot remove the record of the component", &error))
    }

    fn values(&self) -> PathBuf {
        self.directory.join("values.json")
    }
}
