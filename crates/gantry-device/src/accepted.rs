//! The newest desired state that was fetched, verified and taken for good. It is on disk before
//! anything of it is applied, so that the device works on without a network, and an older one is
//! never taken again (contract §6.6).

use std::collections::{BTreeMap, BTreeSet};

use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::digest::Digest;
use margo_contract::document::DocumentError;
use margo_contract::state_manifest::StateManifest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::package;
use crate::source::git::Trust;
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "accepted.json";
const DOCUMENTS: &str = "documents";

/// The desired state in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) manifest_version: u64,
    pub(crate) manifest_digest: Digest,
    pub(crate) deployments: BTreeMap<Uuid, Digest>,
    /// The manifest version from which on every one was seen, with the same document for the deployment.
    /// In one that was missed it may have been ordered otherwise.
    #[serde(default)]
    pub(crate) unchanged_since: BTreeMap<Uuid, u64>,
}

/// A desired state as it was fetched, before it is taken.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) manifest: Vec<u8>,
    /// By digest; each was computed from the bytes.
    pub(crate) documents: BTreeMap<Digest, Vec<u8>>,
    /// What is trusted in Git once this is taken.
    pub(crate) trust: Option<Trust>,
}

/// What came of a fetched desired state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    Accepted(Accepted),
    /// The same version with the same bytes: nothing is new, margo(CW-4).
    Unchanged,
}

/// Why a desired state is refused. What was accepted before stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the manifest is not valid: {0}")]
    Manifest(DocumentError),
    #[error("manifest version {found} does not rise above {accepted}, which is in force")]
    NotNewer { found: u64, accepted: u64 },
    #[error(
        "the document of deployment {0} is missing, or has another digest than the manifest says"
    )]
    Document(Uuid),
    #[error("the document of deployment {id} is not valid: {error}")]
    Deployment { id: Uuid, error: DocumentError },
    #[error("the document of deployment {listed} calls itself {found}")]
    OtherId { listed: Uuid, found: Uuid },
    #[error("deployment {id} is for the device `{device}`, which is not this one")]
    OtherDevice { id: Uuid, device: String },
    #[error("the state cannot be kept")]
    State(#[from] StateError),
}

impl Accepted {
    pub(crate) fn load(state: &StateDir) -> Result<Option<Self>, StateError> {
        state.load(FILE)
    }

    /// Checks a fetched desired state and takes it for good.
    // margo(CW-3, CW-4, CW-6, CW-7, CW-11, W-1, X-38)
    pub(crate) fn take(
        fetched: &Fetched,
        in_force: Option<&Self>,
        device: &str,
        state: &StateDir,
    ) -> Result<Acceptance, Refusal> {
        let manifest = StateManifest::parse(&fetched.manifest).map_err(Refusal::Manifest)?;
        let manifest_digest = Digest::of(&fetched.manifest);
        if let Some(in_force) = in_force {
            if in_force.manifest_digest == manifest_digest {
                return Ok(Acceptance::Unchanged);
            }
            if manifest.manifest_version <= in_force.manifest_version {
                return Err(Refusal::NotNewer {
                    found: manifest.manifest_version,
                    accepted: in_force.manifest_version,
                });
            }
        }
        for listed in &manifest.deployments {
            let id = listed.deployment_id;
            let bytes = fetched.documents.get(&listed.digest).ok_or(Refusal::Document(id))?;
            check_document(id, bytes, device)?;
        }
        for listed in &manifest.deployments {
            // Checked above: it is there.
            if let Some(bytes) = fetched.documents.get(&listed.digest) {
                state.save_bytes(&document_file(&listed.digest), bytes)?;
            }
        }
        let mut accepted = Self {
            manifest_version: manifest.manifest_version,
            manifest_digest,
            deployments: BTreeMap::new(),
            unchanged_since: BTreeMap::new(),
        };
        for listed in &manifest.deployments {
            let (id, digest) = (listed.deployment_id, listed.digest);
            let since =
                in_force.and_then(|it| it.unchanged_until(manifest.manifest_version, id, digest));
            accepted.deployments.insert(id, digest);
            accepted.unchanged_since.insert(id, since.unwrap_or(manifest.manifest_version));
        }
        state.save(FILE, &accepted)?;
        Ok(Acceptance::Accepted(accepted))
    }

    /// Since when the deployment has had this document, if it had it in each version before this one.
    fn unchanged_until(&self, version: u64, id: Uuid, digest: Digest) -> Option<u64> {
        let is_next = self.manifest_version.checked_add(1) == Some(version);
        let is_same = self.deployments.get(&id) == Some(&digest);
        self.unchanged_since.get(&id).copied().filter(|_| is_next && is_same)
    }

    /// A document that is in force and need not be fetched again.
    pub(crate) fn held_document(&self, digest: &Digest, state: &StateDir) -> Option<Vec<u8>> {
        let is_in_force = self.deployments.values().any(|it| it == digest);
        // What cannot be read is fetched.
        is_in_force.then(|| kept_document(digest, state).ok().flatten()).flatten()
    }

    /// The document of a deployment.
    pub(crate) fn document(
        &self,
        id: &Uuid,
        state: &StateDir,
    ) -> Result<ApplicationDeployment, Refusal> {
        let digest = self.deployments.get(id).ok_or(Refusal::Document(*id))?;
        let bytes = kept_document(digest, state)?.ok_or(Refusal::Document(*id))?;
        ApplicationDeployment::parse(&bytes).map_err(|error| Refusal::Deployment { id: *id, error })
    }
}

/// Lets go of documents and packages that the desired state in force does not name: a device that is
/// followed for years must not fill up.
pub(crate) fn tidy(accepted: &Accepted, state: &StateDir) -> Result<(), StateError> {
    let documents = accepted.deployments.values().map(|digest| file_name(digest, "yaml"));
    state.keep_only(DOCUMENTS, &documents.collect())?;
    let mut packages = BTreeSet::new();
    for id in accepted.deployments.keys() {
        // Where a document cannot be read nobody knows what it needs.
        let Ok(document) = accepted.document(id, state) else { return Ok(()) };
        packages.extend(package::file_names(&document));
    }
    state.keep_only(package::FOLDER, &packages)
}

// margo(CW-7, SP-11, SP-54)
fn check_document(id: Uuid, bytes: &[u8], device: &str) -> Result<(), Refusal> {
    let document =
        ApplicationDeployment::parse(bytes).map_err(|error| Refusal::Deployment { id, error })?;
    if document.id != id {
        return Err(Refusal::OtherId { listed: id, found: document.id });
    }
    match document.device_id {
        Some(other) if other != device => Err(Refusal::OtherDevice { id, device: other }),
        _ => Ok(()),
    }
}

fn kept_document(digest: &Digest, state: &StateDir) -> Result<Option<Vec<u8>>, StateError> {
    let bytes = state.load_bytes(&document_file(digest))?;
    Ok(bytes.filter(|it| Digest::of(it) == *digest))
}

fn document_file(digest: &Digest) -> String {
    format!("{DOCUMENTS}/{}", file_name(digest, "yaml"))
}

/// A file that is called after a digest.
pub(crate) fn file_name(digest: &Digest, extension: &str) -> String {
    format!("{}.{extension}", digest.to_string().trim_start_matches("sha256:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "c2f8a9d4-61b3-4e77-8a0c-3e94d75b1c22";

    fn document(value: &str) -> String {
        format!(
            "apiVersion: application.margo.org/v1alpha1\nkind: ApplicationDeployment\nmetadata:\n  \
             annotations: {{id: {ID}, applicationId: web}}\n  name: web\n  namespace: default\nspec:\n  \
             deploymentProfile:\n    type: compose\n    components:\n      - name: web\n        \
             properties: {{packageLocation: \"https://x.example/web.tar.gz\"}}\n  parameters:\n    \
             greeting: {{value: {value}, targets: [{{pointer: GREETING, components: [web]}}]}}\n"
        )
    }

    fn fetched(version: u64, text: &str) -> Fetched {
        let digest = Digest::of(text.as_bytes());
        let manifest = serde_json::json!({
            "manifestVersion": version,
            "bundle": {"mediaType": margo_contract::bundle::MEDIA_TYPE, "digest": digest, "url": "/b"},
            "deployments": [{"deploymentId": ID, "digest": digest, "url": "/d"}],
        });
        Fetched {
            manifest: manifest.to_string().into_bytes(),
            documents: BTreeMap::from([(digest, text.as_bytes().to_vec())]),
            trust: None,
        }
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        (folder, state)
    }

    fn take(
        fetched: &Fetched,
        in_force: Option<&Accepted>,
        state: &StateDir,
    ) -> Result<Acceptance, Refusal> {
        Accepted::take(fetched, in_force, "press-7", state)
    }

    // margo(CW-11, W-1, X-38)
    #[test]
    fn what_is_accepted_is_there_after_a_restart() {
        let (_folder, state) = state();
        let Ok(Acceptance::Accepted(accepted)) = take(&fetched(4, &document("a")), None, &state)
        else {
            panic!("a good desired state");
        };
        assert_eq!(Accepted::load(&state).expect("readable"), Some(accepted.clone()));
        let id = ID.parse().expect("a UUID");
        assert_eq!(accepted.document(&id, &state).expect("it was kept").name, "web");
    }

    #[test]
    fn what_is_no_longer_named_does_not_stay_on_the_disk() {
        let (_folder, state) = state();
        let mut in_force = None;
        for (version, value) in [(1, "a"), (2, "b")] {
            let taken = take(&fetched(version, &document(value)), in_force.as_ref(), &state);
            let Ok(Acceptance::Accepted(accepted)) = taken else { panic!("a good desired state") };
            in_force = Some(accepted);
        }
        for old in ["old.tar.gz", "old.part", "old.json"] {
            state.save_bytes(&format!("packages/{old}"), b"old").expect("writable");
        }
        let in_force = in_force.expect("it was accepted");
        let id: Uuid = ID.parse().expect("a UUID");
        let document = in_force.document(&id, &state).expect("it was kept");
        for needed in package::file_names(&document) {
            state.save_bytes(&format!("packages/{needed}"), b"needed").expect("writable");
        }

        tidy(&in_force, &state).expect("removable");
        let files = |folder: &str| std::fs::read_dir(state.join(folder)).expect("readable").count();
        assert_eq!((files("documents"), files("packages")), (1, 3));
        assert!(in_force.document(&id, &state).is_ok());
    }

    // margo(CW-3, CW-4)
    #[test]
    fn only_a_greater_version_is_taken_and_the_same_one_is_calm() {
        let (_folder, state) = state();
        let four = fetched(4, &document("a"));
        let Ok(Acceptance::Accepted(accepted)) = take(&four, None, &state) else {
            panic!("a good desired state");
        };
        assert!(matches!(take(&four, Some(&accepted), &state), Ok(Acceptance::Unchanged)));
        for version in [1, 3, 4] {
            let other = fetched(version, &document("b"));
            assert!(matches!(
                take(&other, Some(&accepted), &state),
                Err(Refusal::NotNewer { accepted: 4, .. })
            ));
        }
        assert_eq!(Accepted::load(&state).expect("readable"), Some(accepted.clone()));
        assert!(matches!(
            take(&fetched(5, &document("b")), Some(&accepted), &state),
            Ok(Acceptance::Accepted(_))
        ));
    }

    #[test]
    fn what_a_missed_version_may_have_changed_counts_as_new() {
        let (_folder, state) = state();
        let id: Uuid = ID.parse().expect("a UUID");
        let mut in_force: Option<Accepted> = None;
        for (version, value, since) in [
            (2, "a", 2),
            (3, "a", 2),
            (4, "b", 4),
            (5, "b", 4),
            (7, "b", 7),
            (8, "b", 7),
            (9, "a", 9),
        ] {
            let taken = take(&fetched(version, &document(value)), in_force.as_ref(), &state);
            let Ok(Acceptance::Accepted(accepted)) = taken else { panic!("a good desired state") };
            assert_eq!(accepted.unchanged_since[&id], since, "at version {version}");
            in_force = Some(accepted);
        }
    }

    // margo(CW-6, CW-7, SP-54)
    #[test]
    fn a_document_that_is_not_what_the_manifest_says_refuses_the_whole() {
        let (_folder, state) = state();
        let mut missing = fetched(4, &document("a"));
        missing.documents.clear();
        assert!(matches!(take(&missing, None, &state), Err(Refusal::Document(_))));

        let other_id = document("a").replace(ID, "00000000-0000-4000-8000-000000000001");
        assert!(matches!(take(&fetched(4, &other_id), None, &state), Err(Refusal::OtherId { .. })));
        let other_device =
            document("a").replace("  name: web\n  n", "  name: web\n  deviceId: lathe-2\n  n");
        assert!(matches!(
            take(&fetched(4, &other_device), None, &state),
            Err(Refusal::OtherDevice { .. })
        ));
        let broken = document("a").replace("type: compose", "type: submarine");
        assert!(matches!(
            take(&fetched(4, &broken), None, &state),
            Err(Refusal::Deployment { .. })
        ));
        assert_eq!(Accepted::load(&state).expect("readable"), None);
    }
}
