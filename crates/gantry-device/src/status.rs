//! What the client knows, for a person at the device, shown by `gantry-device status`. The running client
//! tells it over its control socket; on disk is what it was when something of lasting interest last changed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;
use crate::running::Running;
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "status.json";

/// What the client knows. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientStatus {
    /// When it was so.
    pub(crate) as_of: Option<String>,
    pub(crate) server: String,
    pub(crate) client_id: Option<String>,
    pub(crate) certificate_fingerprint: String,
    /// `waiting` until the fleet manager lets the client in, then `onboarded`.
    pub(crate) standing: String,
    pub(crate) last_contact: Option<String>,
    pub(crate) next_contact: Option<String>,
    /// Why the next contact is not earlier.
    pub(crate) because: Option<String>,
    /// Why nothing at all is said now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quiet: Option<String>,
    /// Why the last contact failed, if it did.
    pub(crate) last_error: Option<String>,
    /// The manifest version in force.
    pub(crate) revision: Option<u64>,
    /// What was last refused for safety's sake, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) security_event: Option<String>,
    /// Transitions that have yet to be reported.
    pub(crate) undelivered: usize,
    pub(crate) deployments: Vec<DeploymentLine>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentLine {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) state: String,
    /// What it took lately to keep it running; nothing where it gives no trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repairs: Option<Repairs>,
    pub(crate) components: Vec<ComponentLine>,
}

/// How often a deployment was repaired since it last ran well for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repairs {
    pub(crate) count: u32,
    /// How often it was found out of order; it may also have recovered by itself.
    pub(crate) found: u32,
    /// When the trouble began.
    pub(crate) since: String,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComponentLine {
    pub(crate) name: String,
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl ClientStatus {
    pub(crate) fn load(state: &StateDir) -> Result<Option<Self>, StateError> {
        state.load(FILE)
    }

    pub(crate) fn save(&self, state: &StateDir) -> Result<(), StateError> {
        state.save(FILE, self)
    }

    /// What of it is of lasting interest: not that time passes, nor how each contact went.
    pub(crate) fn lasting(&self) -> Self {
        Self {
            as_of: None,
            last_contact: None,
            next_contact: None,
            because: None,
            quiet: None,
            last_error: None,
            undelivered: 0,
            ..self.clone()
        }
    }

    /// For a person.
    pub(crate) fn to_text(&self) -> String {
        let or_none = |it: &Option<String>| it.clone().unwrap_or_else(|| "none yet".to_owned());
        let mut lines = vec![
            format!("server:        {}", self.server),
            format!("client:        {}", or_none(&self.client_id)),
            format!("certificate:   {}", self.certificate_fingerprint),
            format!("standing:      {}", self.standing),
            format!("last contact:  {}", or_none(&self.last_contact)),
            format!(
                "next contact:  {} ({})",
                self.next_contact.as_deref().unwrap_or("none in sight"),
                self.because.as_deref().unwrap_or("nothing is known of it")
            ),
            format!("revision:      {}", or_none(&self.revision.map(|it| it.to_string()))),
            format!("undelivered:   {}", self.undelivered),
        ];
        if let Some(quiet) = &self.quiet {
            lines.push(format!("quiet now:     {quiet}"));
        }
        if let Some(error) = &self.last_error {
            lines.push(format!("last error:    {error}"));
        }
        if let Some(event) = &self.security_event {
            lines.push(format!("refused:       {event}"));
        }
        lines.push(match self.deployments.as_slice() {
            [] => "deployments:   none".to_owned(),
            _ => "deployments:".to_owned(),
        });
        for deployment in &self.deployments {
            let repairs = deployment.repairs.as_ref().map(|it| {
                let Repairs { count, found, since } = it;
                format!("; found out of order {found} times, repaired {count} times since {since}")
            });
            let repairs = repairs.unwrap_or_default();
            let DeploymentLine { name, id, state, .. } = deployment;
            lines.push(format!("  {name} ({id}): {state}{repairs}"));
            for component in &deployment.components {
                let error = component.error.as_ref().map(|it| format!(": {it}"));
                let error = error.unwrap_or_default();
                lines.push(format!("    {}: {}{error}", component.name, component.state));
            }
        }
        lines.join("\n")
    }
}

/// The deployments, as they are shown.
pub(crate) fn deployments(running: &Running) -> Vec<DeploymentLine> {
    let lines = running.iter().map(|(id, deployment)| DeploymentLine {
        id: *id,
        name: deployment.name.clone(),
        state: deployment.overall().name().to_owned(),
        repairs: deployment.upkeep.map(|it| Repairs {
            count: it.repaired,
            found: it.found,
            since: clock::rfc3339(it.since),
        }),
        components: deployment
            .components
            .iter()
            .map(|it| ComponentLine {
                name: it.name.clone(),
                state: it.state.state().name().to_owned(),
                error: it.error.as_ref().map(|it| format!("{}: {}", it.code, it.message)),
            })
            .collect(),
    });
    lines.collect()
}
