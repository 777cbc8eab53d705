//! Makes a desired state fetchable: manifest, bundle and commit of one revision, built once, as bytes.
//! The same input gives the same bytes, and nothing here does I/O or reads a clock. Only this crate
//! decides on `manifestVersion`.

mod message;
mod signers;
mod version;

use std::collections::BTreeMap;
use std::io;

use commit_signature::{KeyError, Recovery, Signer, SigningKey};
use fleet_domain::desired_state::{DesiredState, Order};
use fleet_domain::ids::{ClientId, DeploymentId, RevisionNumber, Sha256};
use git_serve::ObjectId;
use git_serve::object::{self, Child, Commit, ObjectError, PackedObject};
use margo_contract::bundle;
use margo_contract::digest::Digest;
use margo_contract::state_manifest::{BundleRef, DeploymentRef, StateManifest, UnwritableManifest};

pub use message::COMMITTER_EMAIL;
pub use version::Lost;

/// What the newest revision of a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    pub number: RevisionNumber,
    pub commit: ObjectId,
    pub documents: BTreeMap<DeploymentId, Sha256>,
    /// Whose signature its commit carries, if any.
    pub signer: Option<Signer>,
    /// Whom its commit introduces as a further signer, if anybody.
    pub introduces: Option<Signer>,
}

/// A revision, ready to be remembered and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub number: RevisionNumber,
    pub manifest: Vec<u8>,
    pub manifest_digest: Sha256,
    /// None for an empty desired state, margo(D-23).
    pub bundle: Option<Bundle>,
    pub commit: PackedObject,
    /// Every other object of the commit's tree, old ones among them.
    pub objects: Vec<PackedObject>,
    /// The commit message.
    pub message: String,
    /// Whose signature the commit carries.
    pub signer: Signer,
}

/// All documents in one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub bytes: Vec<u8>,
    pub digest: Sha256,
}

/// Why no revision was made.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the client has reached the last manifest version that there is")]
    LastVersion,
    #[error("writing the state manifest")]
    Manifest(#[from] UnwritableManifest),
    #[error("packing the bundle")]
    Bundle(#[source] io::Error),
    #[error("making the objects of the commit")]
    Objects(#[from] ObjectError),
    #[error("there is no key to sign the commit with")]
    NoKey,
    #[error("signing the commit")]
    Sign(#[from] KeyError),
}

/// Builds the next revision of a client at `now` (seconds since 1970), or nothing when its desired
/// state has not changed and nothing of it was lost. `orders` say why it has.
// margo(D-2, D-3, D-5, SP-12, G-0): the first manifest is 1, even when it is empty; each change is one more.
pub fn publish(
    client: ClientId,
    previous: Option<&Previous>,
    desired: &DesiredState,
    orders: &[Order],
    keys: &[SigningKey],
    lost: Option<Lost>,
    now: i64,
) -> Result<Option<Revision>, PublishError> {
    let digests: BTreeMap<DeploymentId, Sha256> =
        desired.documents.iter().map(|(id, document)| (*id, document.digest)).collect();
    let recovered = lost.and_then(|it| it.recover(previous.map(|it| it.number), now));
    let number = match (recovered, previous) {
        (Some(number), _) => number,
        (None, None) => RevisionNumber::first(),
        (None, Some(previous)) if previous.documents == digests => return Ok(None),
        (None, Some(previous)) => previous.number.next().ok_or(PublishError::LastVersion)?,
    };

    let bundle = bundle_of(desired)?;
    let manifest = manifest(client, number, desired, bundle.as_ref()).to_bytes()?;
    let (tree, objects) = tree(&manifest, desired)?;
    let signing = signers::choose(previous, keys).ok_or(PublishError::NoKey)?;
    let recovery =
        recovered.map(|_| Recovery { client: client.to_string(), version: number.get() });
    let message = message::of(number, orders, signing.introduces.as_ref(), recovery.as_ref());
    let commit = Commit {
        tree,
        parent: previous.map(|it| it.commit),
        author: message::author(orders, now),
        committer: message::gantry(now),
        message: message.clone(),
    };
    let signature = signing.key.sign(commit.to_text().as_bytes())?;
    let commit = commit.pack(Some(&signature))?;
    let (manifest_digest, signer) = (sha256(&manifest), signing.key.signer());
    Ok(Some(Revision {
        number,
        manifest,
        manifest_digest,
        bundle,
        commit,
        objects,
        message,
        signer,
    }))
}

// margo(D-22, D-23, D-25)
fn bundle_of(desired: &DesiredState) -> Result<Option<Bundle>, PublishError> {
    if desired.documents.is_empty() {
        return Ok(None);
    }
    let documents =
        desired.documents.iter().map(|(id, document)| (id.as_uuid(), document.bytes.as_slice()));
    let bytes = bundle::write(documents).map_err(PublishError::Bundle)?;
    Ok(Some(Bundle { digest: sha256(&bytes), bytes }))
}

// margo(D-1, SM-4, SM-5, SP-9)
fn manifest(
    client: ClientId,
    number: RevisionNumber,
    desired: &DesiredState,
    bundle: Option<&Bundle>,
) -> StateManifest {
    let base = format!("/api/v1/clients/{client}");
    let deployments = desired.documents.iter().map(|(id, document)| DeploymentRef {
        deployment_id: id.as_uuid(),
        digest: Digest::from_bytes(*document.digest.as_bytes()),
        size_bytes: Some(document.bytes.len() as u64),
        url: format!("{base}/deployments/{id}/{}", document.digest),
    });
    StateManifest {
        manifest_version: number.get(),
        bundle: bundle.map(|bundle| BundleRef {
            media_type: bundle::MEDIA_TYPE.to_owned(),
            digest: Digest::from_bytes(*bundle.digest.as_bytes()),
            size_bytes: Some(bundle.bytes.len() as u64),
            url: format!("{base}/bundles/{}", bundle.digest),
        }),
        deployments: deployments.collect(),
    }
}

/// `manifest.json` and `deployments/<id>.yaml`: the id of the tree, and all its objects.
fn tree(
    manifest: &[u8],
    desired: &DesiredState,
) -> Result<(ObjectId, Vec<PackedObject>), ObjectError> {
    let mut objects = vec![object::blob(manifest)?];
    let mut root = vec![("manifest.json", Child::File(objects[0].id))];
    let mut files = Vec::new();
    for (id, document) in &desired.documents {
        let blob = object::blob(&document.bytes)?;
        files.push((format!("{id}.yaml"), Child::File(blob.id)));
        objects.push(blob);
    }
    if !files.is_empty() {
        let files: Vec<(&str, Child)> =
            files.iter().map(|(name, child)| (name.as_str(), child.clone())).collect();
        let folder = object::tree(&files)?;
        root.push(("deployments", Child::Folder(folder.id)));
        objects.push(folder);
    }
    let root = object::tree(&root)?;
    let id = root.id;
    objects.push(root);
    Ok((id, objects))
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(*Digest::of(bytes).as_bytes())
}

#[cfg(test)]
mod tests;
