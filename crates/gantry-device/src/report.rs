//! Tells the fleet manager what is in the journal, in order, until it is empty or the way is closed.

use margo_contract::deployment_status::{ComponentStatus, DeploymentStatus, Status, StatusError};
use uuid::Uuid;

use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::journal::{Entry, Journal};
use crate::onboarding::Onboarded;
use crate::running::Deployment;
use crate::state_dir::{StateDir, StateError};

/// No more reports than this are sent in one turn of the loop, which has other things to do as well.
const MOST_AT_ONCE: usize = 100;
/// Ours; servers of another make ignore it (contract §7.4, §16.3).
const ADOPTED: &str = "gantry-adopted-manifest-version";

/// Why reporting stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("the fleet manager did not take a report")]
    Link(#[from] LinkError),
    #[error("the journal cannot be written")]
    State(#[from] StateError),
}

/// A transition of a deployment, ready for the journal.
// margo(S-1, S-2, §7.3).
pub(crate) fn entry(id: Uuid, deployment: &Deployment) -> Entry {
    let error_of = |source: &str, error: &crate::running::Error| StatusError {
        code: error.code.clone(),
        source: source.to_owned(),
        message: error.message.clone(),
    };
    let components = deployment.components.iter().map(|component| ComponentStatus {
        name: component.name.clone(),
        status: Status {
            state: component.state.state(),
            error: component.error.as_ref().map(|error| error_of(&component.name, error)),
        },
    });
    let error = deployment.components.iter().find_map(|it| it.error.as_ref());
    let status = DeploymentStatus {
        deployment_id: id,
        device_id: None,
        adopted_manifest_version: None,
        status: Status {
            state: deployment.overall(),
            error: error.map(|it| error_of(&deployment.name, it)),
        },
        components: components.collect(),
    };
    Entry {
        deployment: id,
        adopted: deployment.adopted,
        state: deployment.overall().name().to_owned(),
        document: status.to_json().to_string(),
    }
}

/// Delivers the oldest entries of the journal, in order; the rest is for the next time, so that a year
/// is not told in one breath. An entry is struck out once the fleet manager took it, or refused it for good.
pub(crate) fn deliver(
    journal: &mut Journal,
    link: &FleetManager,
    client: &Onboarded,
    state: &StateDir,
) -> Result<(), ReportError> {
    for _ in 0..MOST_AT_ONCE {
        let Some(entry) = journal.oldest() else { break };
        let path = client.path(&format!("/deployments/{}/status", entry.deployment));
        let adopted = entry.adopted.to_string();
        let headers = [(ADOPTED, adopted.as_str())];
        match link.send(
            Ask::Report,
            &path,
            &client.client_id,
            &headers,
            Some(entry.document.as_bytes()),
        ) {
            Ok(_) => {}
            // It will never be taken: what follows must not wait for it.
            Err(LinkError::Refused {
                status: status @ (400 | 404 | 413 | 415 | 422),
                detail,
                ..
            }) => {
                tracing::error!(deployment = %entry.deployment, status, detail, "a report is refused for good");
            }
            Err(error) => return Err(error.into()),
        }
        journal.strike_out(state)?;
    }
    Ok(())
}
