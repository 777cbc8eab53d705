//! The desired state over HTTP: the manifest, then the bundle or the documents one by one.

use std::collections::{BTreeMap, BTreeSet};

use margo_contract::digest::Digest;
use margo_contract::state_manifest::{DeploymentRef, StateManifest};
use margo_contract::{bundle, state_manifest};

use crate::accepted::{Accepted, Fetched};
use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::onboarding::Onboarded;

/// When more documents than this are new, the bundle is fetched instead of each.
const MOST_SINGLE_DOCUMENTS: usize = 3;

pub(crate) fn fetch(
    link: &FleetManager,
    client: &Onboarded,
    in_force: Option<&Accepted>,
) -> Result<Option<Fetched>, LinkError> {
    let etag = in_force.map(|it| it.manifest_digest.etag());
    let mut headers = vec![("accept", state_manifest::MEDIA_TYPE)];
    if let Some(etag) = &etag {
        headers.push(("if-none-match", etag));
    }
    let path = client.path("/deployments");
    let answer = link.send(Ask::Manifest, &path, &client.client_id, &headers, None)?;
    if answer.status == 304 {
        return Ok(None);
    }
    // margo(H-5): the manifest's ETag is the digest of its body.
    let promised = answer.header("etag").map(|it| it.trim_matches('"').to_owned());
    let digest = Digest::of(&answer.body);
    if promised.as_deref().is_some_and(|it| it != digest.to_string()) {
        return Err(LinkError::Nonsense(
            "the manifest does not have the digest of its ETag".to_owned(),
        ));
    }
    let manifest = StateManifest::parse(&answer.body)
        .map_err(|error| LinkError::Nonsense(format!("the manifest is not valid: {error}")))?;
    let documents = documents(link, client, &manifest)?;
    Ok(Some(Fetched { manifest: answer.body, documents, trust: None }))
}

fn documents(
    link: &FleetManager,
    client: &Onboarded,
    manifest: &StateManifest,
) -> Result<BTreeMap<Digest, Vec<u8>>, LinkError> {
    let distinct: BTreeSet<Digest> = manifest.deployments.iter().map(|it| it.digest).collect();
    if distinct.len() > MOST_SINGLE_DOCUMENTS
        && let Some(reference) = &manifest.bundle
    {
        let archive = link.send(Ask::Bundle, &reference.url, &client.client_id, &[], None)?.body;
        if Digest::of(&archive) != reference.digest {
            return Err(LinkError::Nonsense(
                "the bundle does not have the manifest's digest".to_owned(),
            ));
        }
        return bundle::read(&archive, manifest)
            .map_err(|error| LinkError::Nonsense(error.to_string()));
    }
    let mut documents = BTreeMap::new();
    for listed in &manifest.deployments {
        documents.insert(listed.digest, document(link, client, listed)?);
    }
    Ok(documents)
}

fn document(
    link: &FleetManager,
    client: &Onboarded,
    listed: &DeploymentRef,
) -> Result<Vec<u8>, LinkError> {
    let bytes = link.send(Ask::Document, &listed.url, &client.client_id, &[], None)?.body;
    if Digest::of(&bytes) != listed.digest {
        let detail =
            format!("the document {} does not have the manifest's digest", listed.deployment_id);
        return Err(LinkError::Nonsense(detail));
    }
    Ok(bytes)
}
