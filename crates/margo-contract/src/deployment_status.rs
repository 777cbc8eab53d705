//! The status of a deployment, as a device reports it (contract §7).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::component;
use crate::document::{self, DocumentError, Node};

const API_VERSION: &str = "deployment.margo.org/v1alpha1";
const KIND: &str = "DeploymentStatusManifest";
/// More components than any deployment has.
const MOST_COMPONENTS: usize = 1_000;

/// How far a device has got with one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    pub deployment_id: Uuid,
    pub device_id: Option<String>,
    /// Only in the newer shape.
    // margo(V-1, SP-53)
    pub adopted_manifest_version: Option<u64>,
    pub status: Status,
    pub components: Vec<ComponentStatus>,
}

/// How far one component has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentStatus {
    pub name: String,
    pub status: Status,
}

/// A state and, for a failed one, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub error: Option<StatusError>,
}

/// Why something failed, in the words of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusError {
    pub code: String,
    pub source: String,
    pub message: String,
}

/// The states, from the mildest to the gravest.
// margo(S-2, X-03, DS-2)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Installed,
    Removed,
    Pending,
    Installing,
    Removing,
    Failed,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Installed,
        Self::Removed,
        Self::Pending,
        Self::Installing,
        Self::Removing,
        Self::Failed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Removed => "removed",
            Self::Pending => "pending",
            Self::Installing => "installing",
            Self::Removing => "removing",
            Self::Failed => "failed",
        }
    }

    /// Reads a state; the oldest documents begin it with a capital.
    // margo(SP-47, SP-50)
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name.to_ascii_lowercase())
    }

    /// The state of a deployment by those of its components: the gravest.
    // margo(S-2)
    pub fn overall(components: impl IntoIterator<Item = Self>) -> Option<Self> {
        components.into_iter().max()
    }
}

impl DeploymentStatus {
    /// Reads and checks a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| read(root, None))
    }

    /// As [`DeploymentStatus::parse`]; the document has to be about this deployment.
    pub fn parse_about(bytes: &[u8], deployment: Uuid) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            fault_of_another(root, deployment);
            read(root, None)
        })
    }

    /// As [`DeploymentStatus::parse_about`]; the components have to be those of the deployment.
    pub fn parse_of(
        bytes: &[u8],
        deployment: Uuid,
        components: &[&str],
    ) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            fault_of_another(root, deployment);
            read(root, Some(components))
        })
    }

    /// The document in the shape of the signed profile.
    // margo(SP-46)
    pub fn to_json(&self) -> Value {
        let components: Vec<Value> = self
            .components
            .iter()
            .map(|it| {
                let mut component = written(&it.status);
                component["name"] = it.name.as_str().into();
                component
            })
            .collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "deploymentId": self.deployment_id.to_string(),
            "status": written(&self.status),
            "components": components,
        })
    }
}

fn written(status: &Status) -> Value {
    let mut written = json!({"state": status.state.name()});
    if let Some(error) = &status.error {
        written["error"] =
            json!({"code": error.code, "source": error.source, "message": error.message});
    }
    written
}

// margo(DS-1)
fn fault_of_another(root: &Node<'_>, deployment: Uuid) {
    let named = root.value().get("deploymentId").and_then(Value::as_str);
    let named = named.and_then(|it| Uuid::try_parse(it).ok());
    if let Some(named) = named.filter(|it| *it != deployment) {
        root.fault_of("deploymentId", format!("`{named}` is not the {deployment} of the path"));
    }
}

// margo(SP-46, DS-2, DS-4)
fn read(root: &Node<'_>, expected: Option<&[&str]>) -> Option<DeploymentStatus> {
    if let Some(kind) = root.get_text("kind").filter(|it| it != KIND && it != "DeploymentStatus") {
        root.fault_of("kind", format!("`{kind}` has to be {KIND}"));
    }
    let id = root.need_text("deploymentId");
    let parsed = id.as_deref().and_then(|it| Uuid::try_parse(it).ok());
    if id.is_some() && parsed.is_none() {
        root.fault_of("deploymentId", "has to be a UUID");
    }
    let adopted_manifest_version = root.get_unsigned("adoptedManifestVersion");
    if adopted_manifest_version == Some(0) {
        root.fault_of("adoptedManifestVersion", "has to be 1 or more");
    }
    let status = root.need("status").and_then(|it| read_status(&it));
    let entries = root.need("components").map(|it| it.items()).unwrap_or_default();
    if entries.len() > MOST_COMPONENTS {
        root.fault_of("components", format!("has more than {MOST_COMPONENTS} entries"));
        return None;
    }
    let mut names = Vec::new();
    let mut components = Vec::new();
    for entry in &entries {
        let (name, status) = (component::read_name(entry), read_status(entry));
        if let Some(name) = &name {
            check_name(entry, name, &names, expected);
            names.push(name.clone());
        }
        components.extend(name.zip(status).map(|(name, status)| ComponentStatus { name, status }));
    }
    for left_out in expected.unwrap_or_default().iter().filter(|it| names.iter().all(|n| n != *it))
    {
        root.fault_of("components", format!("`{left_out}` is left out"));
    }
    if components.len() == entries.len() {
        check_overall(root, status.as_ref(), &components);
    }
    Some(DeploymentStatus {
        deployment_id: parsed?,
        device_id: root.get_text("deviceId"),
        adopted_manifest_version,
        status: status?,
        components,
    })
}

// margo(S-1, S-3): each component of the deployment once, and no other.
fn check_name(entry: &Node<'_>, name: &str, before: &[String], expected: Option<&[&str]>) {
    if before.iter().any(|it| it == name) {
        entry.fault_of("name", format!("`{name}` is reported twice"));
    } else if component::is_name(name) && expected.is_some_and(|it| !it.contains(&name)) {
        entry.fault_of("name", format!("`{name}` is not part of the deployment"));
    }
}

// margo(S-2, S-3): the gravest component speaks for the whole, which may fail before any of them.
fn check_overall(root: &Node<'_>, status: Option<&Status>, components: &[ComponentStatus]) {
    let gravest = State::overall(components.iter().map(|it| it.status.state));
    let (Some(status), Some(gravest)) = (status, gravest) else { return };
    if status.state != gravest && status.state != State::Failed {
        let (state, gravest) = (status.state.name(), gravest.name());
        let message = format!("cannot be `{state}` while a component is `{gravest}`");
        root.fault_of("status.state", message);
    }
}

fn read_status(node: &Node<'_>) -> Option<Status> {
    let name = node.need_text("state")?;
    let state = State::parse(&name);
    if state.is_none() {
        node.fault_of("state", format!("`{name}` is not a state"));
    }
    // margo(DS-3): devices also send an empty error while nothing is wrong; then nobody reads it.
    let error = node.get("error").filter(|_| state == Some(State::Failed)).map(|it| StatusError {
        code: it.get_text("code").unwrap_or_default(),
        source: it.get_text("source").unwrap_or_default(),
        message: it.get_text("message").unwrap_or_default(),
    });
    Some(Status { state: state?, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWER: &[u8] = include_bytes!("../tests/fixtures/deployment-status.json");
    const SIGNED: &[u8] = include_bytes!("../tests/fixtures/signed-profile/deployment-status.json");

    // margo(SP-46, SP-53, V-1)
    #[test]
    fn both_shapes_are_read() {
        let newer = DeploymentStatus::parse(NEWER).expect("a good status");
        assert_eq!(newer.adopted_manifest_version, Some(4));
        assert_eq!(newer.status.state, State::Failed);
        let error = newer.components[1].status.error.as_ref().expect("it failed");
        assert_eq!(error.code, "CHART_PULL_TIMEOUT");

        let signed = DeploymentStatus::parse(SIGNED).expect("a good status");
        assert_eq!(signed.adopted_manifest_version, None);
        assert_eq!(signed.status, Status { state: State::Installing, error: None });
    }

    // margo(SP-46)
    #[test]
    fn what_is_written_is_read_the_same() {
        let mut status = DeploymentStatus::parse(NEWER).expect("a good status");
        status.adopted_manifest_version = None;
        status.device_id = None;
        let written = status.to_json().to_string();
        assert_eq!(DeploymentStatus::parse(written.as_bytes()), Ok(status));
    }

    // margo(DS-3, SP-47, SP-50)
    #[test]
    fn an_empty_error_means_that_nothing_is_wrong() {
        let text = r#"{"kind": "DeploymentStatus",
            "deploymentId": "a3e2f5dc-912e-494f-8395-52cf3769bc06",
            "status": {"state": "Pending", "error": {"code": ""}},
            "components": [{"name": "db", "state": "pending", "error": {}}]}"#;
        let status = DeploymentStatus::parse(text.as_bytes()).expect("a good status");
        assert_eq!(status.status, Status { state: State::Pending, error: None });
    }

    // margo(S-2, X-03)
    #[test]
    fn the_gravest_component_speaks_for_the_deployment() {
        assert_eq!(State::overall([State::Installed, State::Removed]), Some(State::Removed));
        assert_eq!(
            State::overall([State::Pending, State::Failed, State::Removing]),
            Some(State::Failed)
        );
        assert_eq!(State::overall([]), None);
    }

    // margo(S-1, S-2, S-3, DS-4)
    #[test]
    fn all_that_a_report_breaks_is_told_with_its_field() {
        let text = r#"{"deploymentId": "a3e2f5dc-912e-494f-8395-52cf3769bc06",
            "status": {"state": "installed"}, "components": [
                {"name": "web", "state": "installed"}, {"name": "web", "state": "removing"},
                {"name": "cache", "state": "pending"}, {"name": "Db", "state": "pending"}]}"#;
        let id = Uuid::from_u128(1);
        let error = DeploymentStatus::parse_of(text.as_bytes(), id, &["web", "db"]);
        let error = error.expect_err("it is full of faults");
        let fields: Vec<&str> = error.faults().iter().map(|it| it.field.as_str()).collect();
        let expected = [
            "deploymentId",
            "components[1].name",
            "components[2].name",
            "components[3].name",
            "components",
            "status.state",
        ];
        assert_eq!(fields, expected, "{error}");
        // What the deployment consists of is known to who calls `parse_of` alone.
        let error = DeploymentStatus::parse(text.as_bytes()).expect_err("it contradicts itself");
        let fields: Vec<&str> = error.faults().iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["components[1].name", "components[3].name", "status.state"]);
    }

    // margo(DS-2)
    #[test]
    fn each_broken_rule_names_its_field() {
        for (pointer, value, field) in [
            ("/kind", json!("Status"), "kind"),
            ("/deploymentId", json!("7"), "deploymentId"),
            ("/status/state", json!("running"), "status.state"),
            ("/components/0/state", json!("running"), "components[0].state"),
            ("/components/0/name", json!(7), "components[0].name"),
            ("/components", Value::Null, "components"),
        ] {
            let mut document: Value = serde_json::from_slice(SIGNED).expect("JSON");
            *document.pointer_mut(pointer).expect("the field is there") = value;
            let error = DeploymentStatus::parse(document.to_string().as_bytes()).expect_err(field);
            assert!(error.faults().iter().any(|it| it.field == field), "{field}: {error}");
        }
    }
}
