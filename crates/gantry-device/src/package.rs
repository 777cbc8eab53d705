//! Packages of components: fetched from where the document says, checked, and kept on disk, so that a
//! workload can be made true again without a network.

use std::path::PathBuf;

use margo_contract::component::Source;
use margo_contract::digest::Digest;

use crate::accepted;
use crate::fleet_manager::{FleetManager, LinkError};
use crate::state_dir::{StateDir, StateError};

/// Where packages are kept in the state directory.
pub(crate) const FOLDER: &str = "packages";
/// The largest package, in bytes.
const LARGEST: u64 = 64 << 20;

/// Why a package is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("packages from OCI registries are not supported yet; use a packageLocation")]
    Registry,
    #[error("the package signature key `{0}` cannot be checked yet; leave keyLocation out")]
    Signed(String),
    #[error("the package location `{0}` is not an https URL")]
    NotHttps(String),
    /// No fault of the package: it is fetched when it is a time for it, and the fleet manager is there.
    #[error("the package cannot be fetched now")]
    NotNow(#[source] Option<LinkError>),
    #[error("the package cannot be fetched")]
    Fetch(#[source] LinkError),
    #[error("the package does not have the digest {0} that its location names")]
    Digest(Digest),
    #[error("the package cannot be kept")]
    State(#[from] StateError),
}

/// The file of a component's package; it is fetched unless it is there. Without a `keyid` it is not a
/// time to fetch anything.
pub(crate) fn fetch(
    source: &Source,
    link: &FleetManager,
    keyid: Option<&str>,
    state: &StateDir,
) -> Result<PathBuf, PackageError> {
    let location = match source {
        Source::Registry { .. } => return Err(PackageError::Registry),
        Source::Package { key_location: Some(key), .. } => {
            return Err(PackageError::Signed(key.clone()));
        }
        Source::Package { location, key_location: None } => location,
    };
    if !location.starts_with("https://") {
        return Err(PackageError::NotHttps(location.clone()));
    }
    let promised = promised_digest(location);
    let file = format!("{FOLDER}/{}", name_of(location));
    if let Some(bytes) = state.load_bytes(&file)?
        && promised.is_none_or(|it| it == Digest::of(&bytes))
    {
        return Ok(state.join(&file));
    }
    let keyid = keyid.ok_or(PackageError::NotNow(None))?;
    let own = location.strip_prefix(link.origin()).filter(|it| it.starts_with('/'));
    let bytes = match own {
        Some(path) => {
            let answer = link.send_bounded("GET", path, keyid, &[], None, LARGEST);
            answer.map_err(of_fleet_manager)?.body
        }
        None => link.download(location, LARGEST).map_err(|error| match link.is_quiet() {
            Some(_) => PackageError::NotNow(Some(error)),
            None => PackageError::Fetch(error),
        })?,
    };
    if let Some(promised) = promised.filter(|it| *it != Digest::of(&bytes)) {
        return Err(PackageError::Digest(promised));
    }
    state.save_bytes(&file, &bytes)?;
    Ok(state.join(&file))
}

/// What a component's package is called in its folder.
pub(crate) fn file_name(source: &Source) -> Option<String> {
    match source {
        Source::Package { location, .. } => Some(name_of(location)),
        Source::Registry { .. } => None,
    }
}

/// The digest that a location ends with, as those of a fleet manager do.
fn promised_digest(location: &str) -> Option<Digest> {
    location.rsplit('/').next()?.parse().ok()
}

/// Without a digest the location stands for what is there: the same place is the same package.
fn name_of(location: &str) -> String {
    let name = promised_digest(location).unwrap_or_else(|| Digest::of(location.as_bytes()));
    accepted::file_name(&name, "tar.gz")
}

/// What fails between us and the fleet manager passes; only a clear no is about the package.
fn of_fleet_manager(error: LinkError) -> PackageError {
    match error {
        LinkError::Refused { status: 400 | 404 | 410 | 422, .. } => PackageError::Fetch(error),
        LinkError::Refused { .. }
        | LinkError::Unreachable(_)
        | LinkError::Nonsense(_)
        | LinkError::Quiet(_) => PackageError::NotNow(Some(error)),
    }
}
