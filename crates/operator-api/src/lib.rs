//! What operators and the fleet manager say to each other: the JSON bodies of the operator API, which
//! the server answers and the command line reads. Times are RFC 3339 in UTC.

mod change;
mod conflict;
mod contact;
mod number;
mod placement;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use change::{ChangeKind, DeploymentChange, OrderRollback, ParameterChange, Rollback};
pub use conflict::{Conflict, OrderMeanwhile, ParameterText};
pub use contact::{Contact, ContactStanding, Quiet};
pub use placement::{MOST_PLACES, OrderDeployments, Place, PlaceOutcome, PlaceRefusal};

/// Where every path of this API begins.
pub const BASE_PATH: &str = "/operator/v1";

/// A list of resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What to ask for with `after` to get what follows; absent at the end of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// All that there is.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Whoami {
    pub name: String,
    pub role: String,
}

/// Somebody who may operate the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operator {
    pub name: String,
    /// `viewer`, `operator` or `administrator`.
    pub role: String,
}

/// Add an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddOperator {
    /// 1 to 64 letters, digits, `.`, `_`, `@` and `-`.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub name: String,
    /// `viewer`, `operator` or `administrator`.
    #[schema(pattern = "^(viewer|operator|administrator)$")]
    pub role: String,
}

/// An operator who was added just now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewOperator {
    pub name: String,
    pub role: String,
    /// Told this once; only its hash is kept.
    pub token: String,
}

/// The token stays out of logs.
impl std::fmt::Debug for NewOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewOperator").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a client may talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Waiting,
    Approved,
    Rejected,
    Revoked,
}

/// A client: the identity that talks for a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    pub id: String,
    /// The common name of its certificate. A help for people, no proof.
    pub name: String,
    pub standing: Standing,
    /// SHA-256 of its certificate; compare it with what the device shows before you approve.
    pub certificate_fingerprint: String,
    /// When its certificate ends: then it is refused until it comes with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_at: Option<String>,
    /// SHA-256 of the certificate with which it is to come next, as an operator announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_fingerprint: Option<String>,
    pub onboarded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    pub contact: Contact,
    /// The newest revision of its desired state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What the client last refused for safety's sake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_event: Option<SecurityEvent>,
    pub devices: Vec<Device>,
}

/// A refusal of a client, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityEvent {
    /// When the fleet manager heard of it.
    pub at: String,
    pub what: String,
}

/// Where a client's desired state can be fetched with Git, and what opens it for a while.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryAccess {
    pub url: String,
    pub branch: String,
    pub username: String,
    /// For reading this repository alone.
    pub token: String,
    pub expires_at: String,
    /// The SSH public keys that sign its commits.
    pub signers: Vec<String>,
}

/// The token stays out of logs.
impl std::fmt::Debug for RepositoryAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A key that signs the commits of desired states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// As in `ssh-ed25519 AAAA…`.
    pub public_key: String,
    /// The line for a file that Git's `gpg.ssh.allowedSignersFile` names.
    pub allowed_signers_line: String,
    /// Whether it is the newest, which signs. A client's next revision after a rotation is still signed by
    /// the key before it and introduces this one.
    pub in_use: bool,
}

/// A device that a client speaks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub id: String,
    /// The capabilities exactly as they were reported.
    #[schema(value_type = Object)]
    pub capabilities: Value,
    pub reported_at: String,
}

/// A certificate that an operator brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GivenCertificate {
    /// One X.509 certificate in PEM.
    #[schema(min_length = 1)]
    pub certificate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A certificate authority that vouches for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedAuthority {
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// The common name of its certificate.
    pub name: String,
    /// When its certificate ends: then it vouches for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    pub added_by: String,
    pub added_at: String,
}

/// What a client said of a device once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilitiesReport {
    pub device_id: String,
    pub at: String,
    /// Exactly as they were reported. Absent where the client took the device back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub capabilities: Option<Value>,
    /// What differs from the report before it; empty for the first one.
    pub changes: Vec<CapabilitiesChange>,
}

/// A field that differs between two reports of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilitiesChange {
    /// Such as `properties.memory`.
    pub field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Why something is decided or ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Decision {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One version of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    pub id: String,
    pub version: String,
    /// What people call it.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// SHA-256 of its description.
    pub digest: String,
    pub added_at: String,
    pub added_by: String,
    pub profiles: Vec<Profile>,
    pub parameters: Vec<Parameter>,
}

/// One way to run an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub id: String,
    /// `helm`, `compose` or `custom`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Names, in the order of installation.
    pub components: Vec<String>,
}

/// A value that can be set when an application is deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What is accepted, for people. Absent for a parameter that cannot be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Cannot change once it was used to install.
    pub immutable: bool,
}

/// An application in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSummary {
    pub id: String,
    pub version: String,
    pub name: String,
    pub added_at: String,
    pub added_by: String,
}

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ParameterInput {
    /// Text that the server reads as the parameter's schema says, for people at a command line.
    Text { text: String },
    /// Text, a number, true or false, or a list of one of these. Null takes back what was set before.
    Json(Value),
}

/// Order a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderDeployment {
    /// A UUID chosen by the caller. Sending the same order with the same id again is sending it once,
    /// so a caller that got no answer may repeat it. The server chooses one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub id: Option<String>,
    #[schema(pattern = "^[a-z0-9-]{1,200}$")]
    pub application_id: String,
    /// The newest one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$")]
    pub version: Option<String>,
    #[schema(format = Uuid)]
    pub client_id: String,
    /// Needed when the client speaks for several devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, pattern = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$")]
    pub device_id: Option<String>,
    /// The application's id where it is absent. Unique among the client's deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    pub name: Option<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterInput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Order new content for a deployment. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UpdateDeployment {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$")]
    pub version: Option<String>,
    pub parameters: BTreeMap<String, ParameterInput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The deployment's `orderedEvent` as the caller has seen it. Where it has another one by now nothing is
    /// ordered, and 409 tells what was ordered meanwhile. Without it the order holds whatever that was.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::optional_whole")]
    pub ordered_event: Option<u64>,
}

/// How far a deployment or a component has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The device has not spoken of the newest order yet.
    Ordered,
    Pending,
    Installing,
    Installed,
    Failed,
    Removing,
    Removed,
}

/// Why something failed, in the words of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusError {
    pub code: String,
    pub source: String,
    pub message: String,
}

/// How far a component has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    pub name: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StatusError>,
}

/// One application on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    pub id: String,
    pub name: String,
    pub client_id: String,
    pub device_id: String,
    pub application_id: String,
    pub application_version: String,
    /// False once it was withdrawn.
    pub wanted: bool,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StatusError>,
    pub components: Vec<ComponentStatus>,
    #[schema(value_type = Object)]
    pub parameters: BTreeMap<String, Value>,
    /// The revision that first carried the newest order; absent until it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    pub ordered_by: String,
    pub ordered_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<String>,
    /// The sequence number of the event of the newest order: what comes after it is about it. Send it with a
    /// change, so that the change is refused where somebody has ordered something else meanwhile.
    pub ordered_event: u64,
}

/// What happened to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Ordered,
    Updated,
    Withdrawn,
    Published,
    Reported,
    /// Withdrawn before its device was ever told of it: there is nothing to remove.
    Forgotten,
}

/// Something that happened to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentEvent {
    /// Rises by one with each event of the deployment.
    pub sequence: u64,
    pub at: String,
    pub what: EventKind,
    /// The state of the deployment after the event.
    pub state: State,
    /// The revision, of a publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The components, of a report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StatusError>,
    /// The operator, of an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A revision of a client's desired state, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSummary {
    /// The `manifestVersion`.
    pub number: u64,
    pub commit: String,
    pub published_at: String,
    /// The first line of the commit message.
    pub subject: String,
    pub manifest_digest: String,
}

/// A revision of a client's desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    #[serde(flatten)]
    pub summary: RevisionSummary,
    /// The whole commit message.
    pub message: String,
    #[schema(value_type = Object)]
    pub manifest: Value,
    pub documents: Vec<RevisionDocument>,
}

/// The document of one deployment in a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionDocument {
    pub deployment_id: String,
    /// What the deployment is called.
    pub name: String,
    pub application_id: String,
    pub application_version: String,
    /// The values that operators had given.
    #[schema(value_type = Object)]
    pub parameters: BTreeMap<String, Value>,
    pub digest: String,
    pub yaml: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_is_json_or_text_to_be_typed() {
        let read = |value: Value| serde_json::from_value::<ParameterInput>(value).expect("a value");
        assert_eq!(read(json!({"text": "8080"})), ParameterInput::Text { text: "8080".to_owned() });
        for value in [json!(8080), json!("8080"), json!([1, 2]), json!(true)] {
            assert_eq!(read(value.clone()), ParameterInput::Json(value));
        }
    }

    #[test]
    fn a_misspelt_field_of_an_order_is_refused() {
        let order = json!({"applicationId": "a", "clientId": "c", "paramters": {}});
        let error = serde_json::from_value::<OrderDeployment>(order).expect_err("misspelt");
        assert!(error.to_string().contains("paramters"), "{error}");
    }
}
