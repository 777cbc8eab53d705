//! Where a download comes from: the fleet manager, or a place elsewhere. What a failure means differs: one
//! between us and the fleet manager is no fault of the package.

use super::failure::PackageError;
use super::hosts::{Hosts, Server};
use super::place::Place;
use crate::fleet_manager::{Ask, FleetManager, Incoming, LinkError};

/// How an answer is asked for: with these headers more.
pub(super) type Headers<'a> = &'a [(&'a str, &'a str)];

/// The server that a download comes from.
pub(super) trait Origin {
    /// Opens the download.
    fn open(&mut self, headers: Headers<'_>) -> Result<Incoming, PackageError>;

    /// What it means that the answer breaks off.
    fn broken(&self, error: LinkError) -> PackageError;
}

/// A package that the fleet manager keeps.
pub(super) struct Own<'a> {
    pub(super) link: &'a FleetManager,
    pub(super) path: &'a str,
    pub(super) keyid: &'a str,
}

impl Origin for Own<'_> {
    fn open(&mut self, headers: Headers<'_>) -> Result<Incoming, PackageError> {
        let opened = self.link.open(Ask::Package, self.path, self.keyid, headers, None);
        opened.map_err(|error| self.broken(error))
    }

    /// What fails between us and the fleet manager passes; only a clear no is about the package.
    fn broken(&self, error: LinkError) -> PackageError {
        match error {
            LinkError::Refused { status: 400 | 404 | 410 | 422, .. } => PackageError::Fetch(error),
            LinkError::Refused { .. }
            | LinkError::Unreachable(_)
            | LinkError::Nonsense(_)
            | LinkError::Quiet(_) => PackageError::NotNow(Some(error)),
        }
    }
}

/// A file at a place elsewhere.
pub(super) struct At<'a> {
    server: Server<'a>,
    place: Place,
}

impl<'a> At<'a> {
    pub(super) fn new(hosts: &'a Hosts<'a>, place: Place) -> Self {
        Self { server: hosts.server(&place.host), place }
    }
}

impl Origin for At<'_> {
    fn open(&mut self, headers: Headers<'_>) -> Result<Incoming, PackageError> {
        self.server.get_place(Ask::Package, &self.place, headers)
    }

    fn broken(&self, error: LinkError) -> PackageError {
        self.server.failed(error.into())
    }
}
