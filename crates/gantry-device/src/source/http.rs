//! The desired state over HTTP: the manifest, then of what is new the bundle or the documents one by one.
//! What is not right is not taken by half: nothing is kept, and the next poll begins anew.

use std::collections::BTreeMap;

use margo_contract::digest::Digest;
use margo_contract::state_manifest::StateManifest;
use margo_contract::{bundle, state_manifest};

use crate::accepted::{Accepted, Fetched};
use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::onboarding::Onboarded;
use crate::state_dir::StateDir;

/// When more documents than this are new, the bundle is fetched instead of each.
const MOST_SINGLE_DOCUMENTS: usize = 3;

// margo(W-3)
pub(crate) fn fetch(
    link: &FleetManager,
    client: &Onboarded,
    in_force: Option<&Accepted>,
    state: &StateDir,
) -> Result<Option<Fetched>, LinkError> {
    let etag = in_force.map(|it| it.manifest_digest.etag());
    let mut headers = vec![("accept", state_manifest::MEDIA_TYPE)];
    // margo(CW-1, SM-1)
    if let Some(etag) = &etag {
        headers.push(("if-none-match", etag));
    }
    let path = client.path("/deployments");
    let answer = link.send(Ask::Manifest, &path, &client.client_id, &headers, None)?;
    if answer.status == 304 {
        return Ok(None);
    }
    // margo(CW-2, H-5, K-1): the manifest's ETag is the digest of its body; quotes may be missing.
    let promised = answer.header("etag").map(|it| it.trim_matches('"').to_owned());
    let digest = Digest::of(&answer.body);
    if promised.as_deref().is_some_and(|it| it != digest.to_string()) {
        return Err(LinkError::Nonsense(
            "the manifest does not have the digest of its ETag".to_owned(),
        ));
    }
    let manifest = StateManifest::parse(&answer.body)
        .map_err(|error| LinkError::Nonsense(format!("the manifest is not valid: {error}")))?;
    let fetching = Fetching { link, client, urls: Urls::of(&manifest, link)? };
    // What does not rise is refused whatever it names, so nothing of it is fetched.
    let documents = match in_force {
        Some(in_force) if manifest.manifest_version <= in_force.manifest_version => BTreeMap::new(),
        Some(in_force) => {
            let held = |digest: &Digest| in_force.held_document(digest, state);
            fetching.documents(&manifest, &held)?
        }
        None => fetching.documents(&manifest, &|_| None)?,
    };
    Ok(Some(Fetched { manifest: answer.body, documents, trust: None }))
}

/// Where what a manifest names is, as whole URLs.
struct Urls {
    bundle: Option<String>,
    documents: BTreeMap<Digest, String>,
}

impl Urls {
    /// One that leads to another origin refuses the whole, before anything is asked.
    fn of(manifest: &StateManifest, link: &FleetManager) -> Result<Self, LinkError> {
        let bundle = manifest.bundle.as_ref().map(|it| link.resolve(&it.url)).transpose()?;
        let documents = manifest
            .deployments
            .iter()
            .map(|it| Ok((it.digest, link.resolve(&it.url)?)))
            .collect::<Result<_, LinkError>>()?;
        Ok(Self { bundle, documents })
    }
}

struct Fetching<'a> {
    link: &'a FleetManager,
    client: &'a Onboarded,
    urls: Urls,
}

impl Fetching<'_> {
    // margo(CW-5): the bundle where much is new, single documents where little is.
    fn documents(
        &self,
        manifest: &StateManifest,
        held: &dyn Fn(&Digest) -> Option<Vec<u8>>,
    ) -> Result<BTreeMap<Digest, Vec<u8>>, LinkError> {
        let digests = self.urls.documents.keys();
        let mut documents: BTreeMap<Digest, Vec<u8>> =
            digests.filter_map(|digest| Some((*digest, held(digest)?))).collect();
        let new: Vec<(&Digest, &String)> =
            self.urls.documents.iter().filter(|it| !documents.contains_key(it.0)).collect();
        if new.len() > MOST_SINGLE_DOCUMENTS
            && let (Some(reference), Some(url)) = (&manifest.bundle, &self.urls.bundle)
        {
            let archive = self.get(Ask::Bundle, url, reference.digest, "the bundle")?;
            return bundle::read(&archive, manifest)
                .map_err(|error| LinkError::Nonsense(crate::chain(&error)));
        }
        for (digest, url) in new {
            documents.insert(*digest, self.get(Ask::Document, url, *digest, "a document")?);
        }
        Ok(documents)
    }

    // margo(CW-6, H-2)
    fn get(&self, ask: Ask, url: &str, digest: Digest, what: &str) -> Result<Vec<u8>, LinkError> {
        let bytes = self.link.send(ask, url, &self.client.client_id, &[], None)?.body;
        if Digest::of(&bytes) != digest {
            let what = format!("{what} does not have the manifest's digest {digest}");
            return Err(LinkError::Nonsense(what));
        }
        Ok(bytes)
    }
}
