//! The documents of the device API as its description shows them: the shapes of the signed profile (contract
//! §16.3). margo-contract reads more than that, the newer shapes and spellings that clients are known to send.

#![expect(
    dead_code,
    reason = "the types are for the description; margo-contract reads and writes documents"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

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

/// What a device is and has. 64 KiB at most.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct DeviceCapabilities {
    /// `device.margo.org/v1alpha1`.
    api_version: Option<String>,
    kind: Option<CapabilitiesKind>,
    properties: DeviceProperties,
    /// For selectors: text, a number, true or false, or a list of texts or of numbers, each.
    labels: Option<BTreeMap<String, Value>>,
}

#[derive(ToSchema)]
enum CapabilitiesKind {
    DeviceCapabilitiesManifest,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct DeviceProperties {
    /// What the client calls the device. A device behind a gateway has the gateway's id before it, with `/` between.
    #[schema(max_length = 255, pattern = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$")]
    id: String,
    #[schema(min_length = 1)]
    vendor: String,
    #[schema(min_length = 1)]
    model_number: String,
    #[schema(min_length = 1)]
    serial_number: String,
    /// What the device runs: `Standalone Device` Compose packages, the clusters charts, a `Gateway` by itself nothing.
    #[schema(min_items = 1)]
    roles: Vec<DeviceRole>,
    /// Needed where a role says that the device runs workloads.
    resources: Option<DeviceResources>,
}

#[derive(ToSchema)]
enum DeviceRole {
    #[schema(rename = "Standalone Cluster")]
    StandaloneCluster,
    #[schema(rename = "Cluster Leader")]
    ClusterLeader,
    #[schema(rename = "Standalone Device")]
    StandaloneDevice,
    Gateway,
}

/// What workloads may use.
#[derive(ToSchema)]
struct DeviceResources {
    cpu: Processor,
    /// Such as `8Gi`.
    #[schema(pattern = "^[0-9]{1,10}[KMGTPE]i$")]
    memory: String,
    /// Such as `64Gi`.
    #[schema(pattern = "^[0-9]{1,10}[KMGTPE]i$")]
    storage: String,
    peripherals: Option<Vec<Peripheral>>,
    interfaces: Option<Vec<Interface>>,
}

#[derive(ToSchema)]
struct Processor {
    #[schema(exclusive_minimum = 0)]
    cores: f64,
    /// Several are alternatives: the cores are those of each.
    architectures: Vec<Architecture>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Architecture {
    Amd64,
    #[schema(rename = "x86_64")]
    X86_64,
    Arm64,
    Arm,
    Riscv64,
    Other,
}

#[derive(ToSchema)]
struct Peripheral {
    #[schema(rename = "type")]
    kind: PeripheralType,
    manufacturer: Option<String>,
    model: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum PeripheralType {
    Gpu,
    Display,
    Camera,
    Microphone,
    Speaker,
    Other,
}

#[derive(ToSchema)]
struct Interface {
    #[schema(rename = "type")]
    kind: InterfaceType,
    manufacturer: Option<String>,
    model: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum InterfaceType {
    Ethernet,
    Wifi,
    Cellular,
    Bluetooth,
    Usb,
    Canbus,
    Rs232,
    Other,
}

/// The desired state of a client: each document by its digest. Written as RFC 8785 says, so that equal manifests are
/// equal bytes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct StateManifest {
    /// Rises with every change of the desired state.
    #[schema(minimum = 1)]
    manifest_version: u64,
    /// All documents in one archive. Null exactly when there are no deployments.
    #[schema(required)]
    bundle: Option<BundleReference>,
    #[schema(max_items = 10_000)]
    deployments: Vec<DocumentReference>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct BundleReference {
    /// `application/vnd.margo.bundle.v1+tar+gzip`.
    media_type: String,
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    digest: String,
    size_bytes: u64,
    /// A path of this origin.
    #[schema(pattern = "^/[^/]")]
    url: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct DocumentReference {
    deployment_id: Uuid,
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    digest: String,
    size_bytes: u64,
    /// A path of this origin.
    #[schema(pattern = "^/[^/]")]
    url: String,
}

/// One application on one device, as it is to run there. In YAML; its bytes are those of its digest.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct ApplicationDeployment {
    /// `application.margo.org/v1alpha1`.
    api_version: String,
    /// `ApplicationDeployment`.
    kind: String,
    metadata: DeploymentMetadata,
    spec: DeploymentSpecification,
}

#[derive(ToSchema)]
struct DeploymentMetadata {
    annotations: DeploymentAnnotations,
    name: String,
    namespace: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct DeploymentAnnotations {
    /// The deployment.
    id: Uuid,
    #[schema(pattern = "^[a-z0-9-]{1,200}$")]
    application_id: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct DeploymentSpecification {
    deployment_profile: DeploymentProfile,
    /// Values by the names of parameters, each with the places that it goes to.
    parameters: Option<BTreeMap<String, Value>>,
}

#[derive(ToSchema)]
struct DeploymentProfile {
    /// `compose` or `helm`.
    #[schema(rename = "type")]
    kind: String,
    /// In the order of installation.
    components: Vec<DeploymentComponent>,
}

#[derive(ToSchema)]
struct DeploymentComponent {
    #[schema(pattern = "^[a-z0-9-]{1,200}$")]
    name: String,
    /// Where its package is, and how it is installed; which members there are depends on the type.
    properties: BTreeMap<String, Value>,
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
