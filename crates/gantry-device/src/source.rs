//! Where the desired state comes from: the client's Git repository, or the manifest endpoints. What
//! is fetched is only bytes here; `accepted` decides whether it is taken.

pub(crate) mod git;
mod http;

use crate::accepted::{Accepted, Fetched};
use crate::config::SourceKind;
use crate::fleet_manager::{FleetManager, LinkError};
use crate::onboarding::Onboarded;
use crate::state_dir::StateDir;

/// Fetches desired states by the way that the owner has chosen.
#[derive(Debug)]
pub(crate) struct Source {
    kind: SourceKind,
    git: git::GitSource,
}

impl Source {
    pub(crate) fn new(kind: SourceKind, state: &StateDir) -> Self {
        Self { kind, git: git::GitSource::new(state.join("repository.git")) }
    }

    /// Fetches the newest desired state; nothing when the one in force is the newest.
    pub(crate) fn fetch(
        &mut self,
        link: &FleetManager,
        client: &Onboarded,
        in_force: Option<&Accepted>,
        now_ms: i64,
    ) -> Result<Option<Fetched>, LinkError> {
        if self.kind == SourceKind::Git {
            match self.git.fetch(link, client, in_force, now_ms) {
                Ok(fetched) => return Ok(fetched),
                // Who is not let in by one way is not let in by the other.
                Err(git::GitError::Link(error @ LinkError::Refused { status: 401 | 403, .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::warn!(error, "fetching with Git failed; using HTTP for this poll");
                }
            }
        }
        http::fetch(link, client, in_force)
    }
}
