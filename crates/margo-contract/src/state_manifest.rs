//! The state manifest: which documents make up a client's desired state (contract §6.1).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::bundle;
use crate::digest::Digest;
use crate::document::{self, DocumentError, Node};

pub const MEDIA_TYPE: &str = "application/vnd.margo.manifest.v1+json";

/// More deployments than any one client has.
const MOST_DEPLOYMENTS: usize = 10_000;

/// The manifest of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateManifest {
    /// At least 1; rises with every change, margo(D-2).
    pub manifest_version: u64,
    /// Null exactly when there are no deployments.
    pub bundle: Option<BundleRef>,
    pub deployments: Vec<DeploymentRef>,
}

/// Where all documents are in one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleRef {
    pub media_type: String,
    pub digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Path-absolute, below the fleet manager's origin, margo(D-8). Others may write a whole URL.
    pub url: String,
}

/// Where the document of one deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentRef {
    pub deployment_id: Uuid,
    pub digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    pub url: String,
}

/// The manifest cannot be written: its version is not exact as a JSON number, margo(D-7).
#[derive(Debug, thiserror::Error)]
#[error("writing the state manifest")]
pub struct UnwritableManifest(#[source] serde_json::Error);

impl StateManifest {
    /// Reads and checks a manifest.
    // margo(SM-4, SM-5, X-14)
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            let manifest_version =
                root.need("manifestVersion").and(root.get_unsigned("manifestVersion"));
            if manifest_version == Some(0) {
                root.fault_of("manifestVersion", "has to be 1 or more");
            }
            if root.value().get("bundle").is_none() {
                root.fault_of("bundle", "is missing; it may be null");
            }
            let bundle = root.get("bundle");
            let deployments = root.need("deployments")?.items();
            if deployments.len() > MOST_DEPLOYMENTS {
                root.fault_of("deployments", format!("has more than {MOST_DEPLOYMENTS} entries"));
                return None;
            }
            if bundle.is_none() != deployments.is_empty() {
                root.fault_of("bundle", "has to be null exactly when there are no deployments");
            }
            let bundle = bundle.map(|it| read_bundle(&it));
            let deployments: Vec<DeploymentRef> =
                deployments.iter().filter_map(read_deployment).collect();
            let mut ids: Vec<Uuid> = deployments.iter().map(|it| it.deployment_id).collect();
            ids.sort_unstable();
            if ids.windows(2).any(|pair| pair[0] == pair[1]) {
                root.fault_of("deployments", "names a deployment twice");
            }
            Some(Self {
                manifest_version: manifest_version?,
                bundle: bundle.unwrap_or(Some(None)).or(Some(None))?,
                deployments,
            })
        })
    }

    /// The manifest as bytes, the same for equal manifests (RFC 8785), margo(D-6, D-7).
    pub fn to_bytes(&self) -> Result<Vec<u8>, UnwritableManifest> {
        serde_json_canonicalizer::to_vec(self).map_err(UnwritableManifest)
    }
}

fn read_bundle(node: &Node<'_>) -> Option<Option<BundleRef>> {
    let media_type = node.need_text("mediaType")?;
    if media_type != bundle::MEDIA_TYPE {
        node.fault_of("mediaType", format!("has to be {}", bundle::MEDIA_TYPE));
    }
    let size_bytes = node.get_unsigned("sizeBytes");
    Some(Some(BundleRef { media_type, digest: digest(node)?, size_bytes, url: url(node)? }))
}

fn read_deployment(node: &Node<'_>) -> Option<DeploymentRef> {
    let id = node.need_text("deploymentId")?;
    let deployment_id = Uuid::try_parse(&id).ok();
    if deployment_id.is_none() {
        node.fault_of("deploymentId", "has to be a UUID");
    }
    let size_bytes = node.get_unsigned("sizeBytes");
    let (digest, url) = (digest(node), url(node));
    Some(DeploymentRef { deployment_id: deployment_id?, digest: digest?, size_bytes, url: url? })
}

fn digest(node: &Node<'_>) -> Option<Digest> {
    let text = node.need_text("digest")?;
    text.parse()
        .map_err(|error: crate::digest::InvalidDigest| node.fault_of("digest", error.to_string()))
        .ok()
}

// margo(D-8): a second slash would name another host. Whether a whole URL is of the fleet manager's
// origin is for the client to say, who knows it.
fn url(node: &Node<'_>) -> Option<String> {
    let url = node.need_text("url")?;
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let is_whole = url.strip_prefix("https://").is_some_and(|it| !it.is_empty());
    let fits = (is_path || is_whole)
        && url
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&it));
    if !fits {
        node.fault_of("url", "has to be a path or an https URL of the fleet manager's own origin");
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MANIFEST: &[u8] = include_bytes!("../tests/fixtures/signed-profile/state-manifest.json");
    const EMPTY: &[u8] = include_bytes!("../tests/fixtures/state-manifest-empty.json");

    // margo(D-6, SM-4, SM-5)
    #[test]
    fn a_manifest_is_written_as_it_was_read() {
        for bytes in [MANIFEST, EMPTY] {
            let manifest = StateManifest::parse(bytes).expect("a good manifest");
            assert_eq!(manifest.to_bytes().expect("it can be written"), bytes);
        }
    }

    // margo(D-7, D-8, H-1, H-4, SM-4, SM-5, X-16)
    #[test]
    fn a_manifest_that_breaks_a_rule_names_the_field() {
        let good: Value = serde_json::from_slice(MANIFEST).expect("JSON");
        let spoiled: [(&str, Value, &str); 12] = [
            ("/manifestVersion", json!(0), "manifestVersion"),
            ("/manifestVersion", json!(1.5), "manifestVersion"),
            ("/manifestVersion", json!("4"), "manifestVersion"),
            ("/bundle", Value::Null, "bundle"),
            ("/bundle/mediaType", json!("application/zip"), "bundle.mediaType"),
            ("/bundle/digest", json!("sha256:00"), "bundle.digest"),
            ("/deployments/0/digest", json!("sha512:00"), "deployments[0].digest"),
            ("/deployments/0/url", json!("//evil.example/x"), "deployments[0].url"),
            ("/deployments/0/url", json!("http://fleet.example/x"), "deployments[0].url"),
            ("/bundle/url", json!("https://"), "bundle.url"),
            ("/bundle/url", json!("bundles/x"), "bundle.url"),
            ("/deployments/0/deploymentId", json!("7"), "deployments[0].deploymentId"),
        ];
        for (pointer, value, field) in spoiled {
            let mut manifest = good.clone();
            *manifest.pointer_mut(pointer).expect("the field is there") = value;
            let error = StateManifest::parse(manifest.to_string().as_bytes()).expect_err(field);
            assert!(error.faults().iter().any(|it| it.field == field), "{field}: {error}");
        }
        let mut twice = good.clone();
        twice["deployments"][1]["deploymentId"] = good["deployments"][0]["deploymentId"].clone();
        assert!(StateManifest::parse(twice.to_string().as_bytes()).is_err());
        assert!(matches!(StateManifest::parse(b"[]"), Err(DocumentError::Malformed(_))));
    }

    // margo(X-16, D-7)
    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let text = r#"{"bundle":null,"deployments":[],"manifestVersion":7.0}"#;
        let manifest = StateManifest::parse(text.as_bytes()).expect("a good manifest");
        assert_eq!(manifest.manifest_version, 7);
    }
}
