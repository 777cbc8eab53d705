//! Packages of components: fetched from where the document says, checked, and kept on disk, so that a
//! workload can be made true again without a network.
//!
//! ```text
//! fleet manager ─┐
//! https URL ─────┤                                         ┌─ OpenPGP, where a key is named
//! OCI registry ──┼─► which bytes? ─► download ─► digest ───┴─► in its place ─► provider
//! charts' index ─┘                    goes on where it broke off
//! ```

mod challenge;
mod chart_repository;
mod download;
mod failure;
mod hosts;
mod origin;
mod place;
mod registry;
mod secret;
mod signature;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::component::{Component, ProfileType, Source};
use margo_contract::digest::Digest;
use ring::digest::{Context as Hasher, SHA256};

use crate::accepted;
use crate::config::PackagesConfig;
use crate::fleet_manager::{Ask, FleetManager};
use crate::state_dir::{StateDir, StateError};

use self::download::{Download, Files};
pub(crate) use self::failure::PackageError;
use self::hosts::Hosts;
use self::origin::{At, Own};
use self::place::Place;
use self::registry::Reference;
use self::signature::{Seal, SignatureError, Trust, Trusted};

/// Where packages are kept in the state directory.
pub(crate) const FOLDER: &str = "packages";
/// How much of a package is in memory at once, in bytes.
const PIECE: usize = 16 << 10;

/// A component whose package is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Whose it is: keys are pinned for an application.
    pub(crate) application: &'a str,
    pub(crate) kind: ProfileType,
    pub(crate) component: &'a Component,
}

/// Fetches packages, as far as its owner lets it.
pub(crate) struct Packages<'a> {
    pub(crate) link: &'a FleetManager,
    pub(crate) state: &'a StateDir,
    pub(crate) config: &'a PackagesConfig,
    /// Who we are at the fleet manager; nobody while it is not a time to fetch anything.
    pub(crate) keyid: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn all(document: &'a ApplicationDeployment) -> impl Iterator<Item = Self> {
        document.components.iter().map(|component| Self {
            application: &document.application_id,
            kind: document.kind,
            component,
        })
    }

    /// The names in [`FOLDER`] of what belongs to it.
    pub(crate) fn file_names(&self) -> [String; 3] {
        let name = self.name();
        ["tar.gz", "part", "json"].map(|it| accepted::file_name(&name, it))
    }

    fn files(&self) -> Files {
        let [whole, part, note] = self.file_names().map(|it| format!("{FOLDER}/{it}"));
        Files { whole, part, note }
    }

    /// The same place is the same package: without a digest there is nothing better to go by. Where a key
    /// is named what lies here has been checked, and for this application.
    fn name(&self) -> Digest {
        let text = match &self.component.source {
            Source::Package { location, key_location: None } => {
                return promised_digest(location)
                    .unwrap_or_else(|| Digest::of(location.as_bytes()));
            }
            Source::Package { location, key_location: Some(key) } => {
                format!("{location}\n{key}\n{}", self.application)
            }
            Source::Registry { repository, revision } => {
                format!("{}\n{repository}\n{revision}", self.kind.name())
            }
            Source::ChartRepository { repository, revision } => {
                format!("{repository}\n{}\n{revision}", self.component.name)
            }
        };
        Digest::of(text.as_bytes())
    }
}

impl Packages<'_> {
    /// The file of a component's package; it is fetched unless it is there.
    pub(crate) fn fetch(&self, wanted: &Wanted<'_>) -> Result<PathBuf, PackageError> {
        let files = wanted.files();
        let whole = self.state.join(&files.whole);
        if is_kept(&whole, kept_digest(&wanted.component.source))? {
            return Ok(whole);
        }
        let keyid = self.keyid.ok_or(PackageError::NotNow(None))?;
        let hosts = Hosts::new(self.link.elsewhere(), &self.config.registries);
        match &wanted.component.source {
            Source::Package { location, key_location } => {
                let signed = key_location.as_deref().map(|key| (wanted.application, key));
                self.archive(location, signed, keyid, &hosts, &files)
            }
            Source::Registry { repository, revision } => {
                let reference = Reference::parse(repository, revision)?;
                let mut blob = reference.resolve(&hosts, wanted.kind, self.config.largest)?;
                let digest = Some(blob.digest);
                let download = self.download(&files, blob.digest.to_string(), digest);
                download.run(&mut blob)?;
                Ok(download.keep()?)
            }
            Source::ChartRepository { repository, revision } => {
                let name = &wanted.component.name;
                let chart = chart_repository::find(&hosts, repository, name, revision)?;
                let identity = chart.digest.map_or(chart.place.to_string(), |it| it.to_string());
                let download = self.download(&files, identity, chart.digest);
                download.run(&mut At::new(&hosts, chart.place))?;
                Ok(download.keep()?)
            }
        }
    }

    /// A package at a URL: at the fleet manager, or elsewhere.
    fn archive(
        &self,
        location: &str,
        signed: Option<(&str, &str)>,
        keyid: &str,
        hosts: &Hosts<'_>,
        files: &Files,
    ) -> Result<PathBuf, PackageError> {
        let digest = promised_digest(location);
        let download = self.download(files, location.to_owned(), digest);
        let own = location.strip_prefix(self.link.url()).filter(|it| it.starts_with('/'));
        if let Some(path) = own {
            if signed.is_some() {
                // Nothing lies beside what the fleet manager keeps.
                return Err(SignatureError::Missing(location.to_owned()).into());
            }
            download.run(&mut Own { link: self.link, path, keyid })?;
            return Ok(download.keep()?);
        }
        let place = place_of(location)?;
        // The small things first: where they are wanting, the package is not fetched for nothing.
        let seal = signed.map(|(application, key)| self.seal(application, key, &place, hosts));
        let seal = seal.transpose()?;
        download.run(&mut At::new(hosts, place))?;
        if let Some(seal) = seal
            && let Err(error) = self.trust().check(&seal, &download.part())
        {
            // Perhaps only the signature is wrong: the next attempt is not to fetch all of it again.
            download.hold()?;
            return Err(error.into());
        }
        Ok(download.keep()?)
    }

    /// What a package is checked with.
    fn seal<'s>(
        &self,
        application: &'s str,
        key_location: &str,
        place: &Place,
        hosts: &Hosts<'_>,
    ) -> Result<Seal<'s>, PackageError> {
        let trusted = self.trust().for_application(application)?;
        let keys = match &trusted {
            Trusted::Keys(_) => Vec::new(),
            _ => {
                let key = place_of(key_location)?;
                hosts.read(Ask::SigningKey, &key).map_err(|error| match error.status() {
                    Some(404 | 410) => SignatureError::NoKey(key.to_string()).into(),
                    _ => error,
                })?
            }
        };
        for ending in [".asc", ".sig"] {
            match hosts.read(Ask::SigningKey, &place.beside(ending)) {
                Ok(signature) => {
                    return Ok(self.trust().seal(application, &trusted, &keys, &signature)?);
                }
                Err(error) if matches!(error.status(), Some(404 | 410)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(SignatureError::Missing(place.to_string()).into())
    }

    fn trust(&self) -> Trust<'_> {
        let now = self.link.time_of_certificates();
        Trust { state: self.state, rules: &self.config.signing_keys, now }
    }

    fn download<'d>(
        &'d self,
        files: &'d Files,
        identity: String,
        digest: Option<Digest>,
    ) -> Download<'d> {
        Download { state: self.state, files, identity, digest, largest: self.config.largest }
    }
}

fn place_of(location: &str) -> Result<Place, PackageError> {
    Place::https(location)
        .map_err(|problem| PackageError::Location { location: without_query(location), problem })
}

fn without_query(location: &str) -> String {
    location.split('?').next().unwrap_or_default().to_owned()
}

/// Whether the file is there, and whole as far as its location promises.
fn is_kept(path: &Path, promised: Option<Digest>) -> Result<bool, PackageError> {
    let reading = |cause| disk("read", path, cause);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(reading(cause)),
    };
    match promised {
        Some(promised) => Ok(digest_of(&mut file).map_err(reading)? == promised),
        None => Ok(true),
    }
}

/// The digest of all that there is to read.
fn digest_of(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Hasher::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(finish(hasher)),
            length => hasher.update(&piece[..length]),
        }
    }
}

fn finish(hasher: Hasher) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(hasher.finish().as_ref());
    Digest::from_bytes(digest)
}

fn disk(what: &'static str, path: &Path, cause: io::Error) -> PackageError {
    PackageError::State(StateError::Io { what, path: path.to_owned(), cause })
}

/// The names in [`FOLDER`] of all that deployments need.
pub(crate) fn file_names(document: &ApplicationDeployment) -> BTreeSet<String> {
    Wanted::all(document).flat_map(|it| it.file_names()).collect()
}

fn kept_digest(source: &Source) -> Option<Digest> {
    match source {
        Source::Package { location, .. } => promised_digest(location),
        Source::Registry { .. } | Source::ChartRepository { .. } => None,
    }
}

/// The digest that a location ends with, as those of a fleet manager do.
fn promised_digest(location: &str) -> Option<Digest> {
    location.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
