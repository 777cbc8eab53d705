//! The documents of the device API as its description shows them: the shapes of the signed profile (contract
//! §16.3). margo-contract reads more than that, the newer shapes and spellings that clients are known to send.

#![expect(
    dead_code,
    reason = "the types are for the description; margo-contract reads and writes documents"
)]

mod capabilities;
mod desired_state;

use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use capabilities::DeviceCapabilities;
pub(super) use desired_state::{ApplicationDeployment, StateManifest};

/// The root certificate that the fleet manager's own certificate hangs on.
#[derive(ToSchema)]
pub(super) struct RootCertificate {
    /// Base64 of the certificate in PEM, without line breaks.
    #[schema(pattern = "^[A-Za-z0-9+/]+={0,2}$")]
    certificate: String,
}

/// A client asks to be let in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct OnboardingRequest {
    /// `onboarding.margo.org/v1alpha1`.
    api_version: Option<String>,
    kind: Option<OnboardingKind>,
    /// Base64 of the client's X.509 certificate in DER, or in PEM, which may go on with its chain: 8 certificates at
    /// most.
    #[schema(min_length = 1)]
    certificate: String,
}

#[derive(ToSchema)]
enum OnboardingKind {
    OnboardingRequest,
}

/// The client is let in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Onboarded {
    /// What the client is called from now on; the same for the same key each time.
    client_id: Uuid,
}

/// How far a device has got with one deployment.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct DeploymentStatus {
    /// `deployment.margo.org/v1alpha1`.
    api_version: Option<String>,
    kind: Option<StatusKind>,
    /// The deployment in the path.
    deployment_id: Uuid,
    device_id: Option<String>,
    /// The version of the manifest that the device has taken up, where the header does not say it.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991u64)]
    adopted_manifest_version: Option<u64>,
    /// The gravest of the components' states.
    status: Status,
    /// Every component of the deployment, once.
    #[schema(max_items = 1_000)]
    components: Vec<ComponentStatus>,
}

#[derive(ToSchema)]
enum StatusKind {
    DeploymentStatusManifest,
    DeploymentStatus,
}

#[derive(ToSchema)]
struct Status {
    state: State,
    error: Option<StatusError>,
}

#[derive(ToSchema)]
struct ComponentStatus {
    #[schema(pattern = "^[a-z0-9-]{1,200}$")]
    name: String,
    state: State,
    error: Option<StatusError>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum State {
    Pending,
    Installing,
    Installed,
    Removing,
    Removed,
    Failed,
}

/// Why something failed. Looked at only where the state is `failed`.
#[derive(ToSchema)]
struct StatusError {
    code: Option<String>,
    source: Option<String>,
    message: Option<String>,
}

/// Where the client's desired state can be fetched with Git.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct RepositoryAccess {
    /// Below this origin; over smart HTTP, for reading alone.
    #[schema(format = "uri")]
    url: String,
    branch: String,
    /// The user name for HTTP Basic: the client's id.
    username: Uuid,
    /// The password for HTTP Basic.
    token: String,
    /// When the token ends; ask for another one before that.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The SSH public keys that sign commits. A client pins them at first contact.
    #[schema(min_items = 1)]
    signers: Vec<String>,
}
