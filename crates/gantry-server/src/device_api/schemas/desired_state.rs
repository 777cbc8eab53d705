//! The documents of a desired state, as the description shows them.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// The desired state of a client: each document by its digest. Written as RFC 8785 says, so that equal manifests are
/// equal bytes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct StateManifest {
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
pub(crate) struct ApplicationDeployment {
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
