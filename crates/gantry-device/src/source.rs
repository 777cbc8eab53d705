//! Where the desired state comes from: the client's Git repository, or the manifest endpoints. What
//! is fetched is verified as far as its source can tell; `accepted` decides whether it is taken.

pub(crate) mod git;
mod http;

use crate::accepted::{Accepted, Fetched};
use crate::config::{DesiredStateConfig, SourceKind};
use crate::fleet_manager::{FleetManager, LinkError};
use crate::onboarding::Onboarded;
use crate::state_dir::{StateDir, StateError};

use self::git::{FirstContact, GitError, GitSource, Trust};

/// Fetches desired states by the way that the owner has chosen.
#[derive(Debug)]
pub(crate) struct Source {
    kind: SourceKind,
    git: GitSource,
    signatures_required: bool,
}

/// Why there is no desired state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("fetching with Git failed, and without it there are no signatures")]
    Git(#[source] GitError),
    /// Somebody offers what must not be taken.
    #[error("the desired state in Git is refused")]
    Refused(#[source] GitError),
}

impl Source {
    pub(crate) fn new(config: &DesiredStateConfig, state: &StateDir) -> Result<Self, StateError> {
        let signatures_required = config.require_signatures;
        let first_contact = FirstContact { signers: config.signers.clone(), signatures_required };
        let git = GitSource::new(state, first_contact)?;
        Ok(Self { kind: config.source, git, signatures_required })
    }

    /// Fetches the newest desired state; nothing when the one in force is the newest.
    pub(crate) fn fetch(
        &mut self,
        link: &FleetManager,
        client: &Onboarded,
        in_force: Option<&Accepted>,
        state: &StateDir,
        now_ms: i64,
    ) -> Result<Option<Fetched>, SourceError> {
        if self.kind == SourceKind::Git {
            let version = in_force.map(|it| it.manifest_version);
            match self.git.fetch(link, client, version, now_ms) {
                Ok(fetched) => return Ok(fetched),
                // Who is not let in by one way is not let in by the other.
                Err(GitError::Link(error @ LinkError::Refused { status: 401 | 403, .. })) => {
                    return Err(error.into());
                }
                // Who wants to be left alone is not asked by the other way.
                Err(GitError::Link(error) | GitError::Fetch(error))
                    if error.retry_after().is_some() =>
                {
                    return Err(error.into());
                }
                // What Git refuses must not come in by the other way.
                Err(error) if error.is_refusal() => return Err(SourceError::Refused(error)),
                // The other way is no way either.
                Err(error) if let Some(why) = link.is_quiet() => {
                    let error = crate::chain(&error);
                    tracing::info!(error, "a fetch ended because nothing is to be said now");
                    return Err(LinkError::Quiet(why).into());
                }
                Err(error) if self.signatures_required => return Err(SourceError::Git(error)),
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::warn!(error, "fetching with Git failed; using HTTP for this poll");
                }
            }
        }
        Ok(http::fetch(link, client, in_force, state)?)
    }

    /// Trusts what was fetched from now on: its desired state was taken.
    pub(crate) fn keep(&mut self, trust: Trust, state: &StateDir) -> Result<(), StateError> {
        self.git.keep(trust, state)
    }
}
