//! One revision, as it comes from everywhere: the commit, the manifest and the documents in it, what the device
//! API serves, the bundle, and what operators see. All of them have to be there and to say the same.

use std::collections::BTreeMap;

use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::bundle;
use margo_contract::digest::Digest;
use margo_contract::state_manifest::StateManifest;
use uuid::Uuid;

/// What could be fetched of a revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub(crate) number: u64,
    pub(crate) commit: String,
    pub(crate) manifest: Vec<u8>,
    /// The documents in the commit.
    pub(crate) committed: BTreeMap<Uuid, Vec<u8>>,
    /// The digests of the documents that the device API serves.
    pub(crate) served: BTreeMap<Uuid, Digest>,
    pub(crate) bundle: Option<Vec<u8>>,
    /// The commit and the digest of the manifest, as operators see them.
    pub(crate) listed: Option<(String, String)>,
}

/// A revision that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) digest: Digest,
    /// The parameter of each deployment.
    pub(crate) greetings: BTreeMap<Uuid, String>,
}

impl Parts {
    /// Puts them together; else says what is missing or does not fit.
    pub(crate) fn put_together(&self) -> Result<Whole, String> {
        let manifest = StateManifest::parse(&self.manifest)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if manifest.manifest_version != self.number {
            return Err(format!("its manifest is of version {}", manifest.manifest_version));
        }
        let digest = Digest::of(&self.manifest);
        match &self.listed {
            None => return Err("operators do not see it".to_owned()),
            Some((commit, _)) if *commit != self.commit => {
                return Err(format!("its commit is {}, and operators see {commit}", self.commit));
            }
            Some((_, seen)) if *seen != digest.to_string() => {
                return Err(format!("its manifest is {digest}, and operators see {seen}"));
            }
            Some(_) => {}
        }
        let mut greetings = BTreeMap::new();
        for listed in &manifest.deployments {
            let id = listed.deployment_id;
            let document = self.committed.get(&id);
            let document =
                document.ok_or_else(|| format!("the commit lacks the document of {id}"))?;
            if Digest::of(document) != listed.digest {
                return Err(format!("the document of {id} in the commit has another digest"));
            }
            match self.served.get(&id) {
                None => return Err(format!("the document of {id} is not served")),
                Some(served) if *served != listed.digest => {
                    return Err(format!("the document of {id} that is served has another digest"));
                }
                Some(_) => {}
            }
            greetings.insert(id, greeting(document)?);
        }
        if let Some(listed) = &manifest.bundle {
            let bundle = self.bundle.as_deref().ok_or("the bundle is not served")?;
            if Digest::of(bundle) != listed.digest {
                return Err("the bundle has another digest".to_owned());
            }
            bundle::read(bundle, &manifest).map_err(|error| error.to_string())?;
        }
        Ok(Whole { digest, greetings })
    }
}

fn greeting(document: &[u8]) -> Result<String, String> {
    let document = ApplicationDeployment::parse(document)
        .map_err(|error| format!("a document cannot be read: {error}"))?;
    let greeting = document.parameters.get("greeting").and_then(|it| it.value.as_str());
    Ok(greeting.ok_or("a document has no greeting")?.to_owned())
}

#[cfg(test)]
mod tests {
    use margo_contract::state_manifest::{BundleRef, DeploymentRef};

    use super::*;

    const DOCUMENT: &str = "apiVersion: application.margo.org/v1alpha1
kind: ApplicationDeployment
metadata:
  annotations: {id: ID, applicationId: com-example-web}
  name: web
  namespace: default
spec:
  deploymentProfile:
    type: compose
    components:
      - {name: web, properties: {packageLocation: https://example.com/web.tar.gz}}
  parameters:
    greeting:
      value: Hello
      targets: [{pointer: GREETING, components: [web]}]
";

    /// A revision of two deployments, as it has to be.
    fn whole() -> Parts {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let document = |id: Uuid| DOCUMENT.replace("ID", &id.to_string()).into_bytes();
        let committed: BTreeMap<Uuid, Vec<u8>> = ids.map(|id| (id, document(id))).into();
        let bundle = bundle::write(committed.iter().map(|(id, it)| (*id, it.as_slice())));
        let bundle = bundle.expect("it is written to memory");
        let listed = committed.iter().map(|(id, document)| DeploymentRef {
            deployment_id: *id,
            digest: Digest::of(document),
            size_bytes: None,
            url: format!("/documents/{id}"),
        });
        let manifest = StateManifest {
            manifest_version: 3,
            bundle: Some(BundleRef {
                media_type: bundle::MEDIA_TYPE.to_owned(),
                digest: Digest::of(&bundle),
                size_bytes: None,
                url: "/bundle".to_owned(),
            }),
            deployments: listed.collect(),
        };
        let manifest = manifest.to_bytes().expect("it can be written");
        Parts {
            number: 3,
            commit: "c3".to_owned(),
            listed: Some(("c3".to_owned(), Digest::of(&manifest).to_string())),
            manifest,
            served: committed.iter().map(|(id, it)| (*id, Digest::of(it))).collect(),
            committed,
            bundle: Some(bundle),
        }
    }

    fn fault(spoil: impl FnOnce(&mut Parts)) -> String {
        let mut parts = whole();
        spoil(&mut parts);
        parts.put_together().expect_err("it is not whole")
    }

    #[test]
    fn a_revision_that_is_whole_tells_what_it_carries() {
        let together = whole().put_together().expect("it is whole");
        let greetings: Vec<&str> = together.greetings.values().map(String::as_str).collect();
        assert_eq!(greetings, ["Hello", "Hello"]);
    }

    #[test]
    fn a_document_that_is_missing_or_another_one_is_seen() {
        let id = Uuid::from_u128(2);
        let other = Digest::of(b"other");
        assert!(fault(|it| drop(it.committed.remove(&id))).contains("the commit lacks"));
        assert!(fault(|it| assert!(it.served.remove(&id).is_some())).contains("is not served"));
        assert!(
            fault(|it| drop(it.committed.insert(id, vec![7])))
                .contains("in the commit has another")
        );
        assert!(fault(|it| it.served.extend([(id, other)])).contains("served has another"));
    }

    #[test]
    fn a_bundle_that_is_missing_or_another_one_is_seen() {
        assert!(fault(|it| it.bundle = None).contains("the bundle is not served"));
        assert!(fault(|it| it.bundle = Some(vec![7])).contains("the bundle has another digest"));
    }

    #[test]
    fn a_revision_that_operators_do_not_see_as_it_is_is_seen() {
        assert!(fault(|it| it.listed = None).contains("operators do not see it"));
        assert!(fault(|it| it.commit = "c4".to_owned()).contains("operators see c3"));
        let other = || Some(("c3".to_owned(), Digest::of(b"other").to_string()));
        assert!(fault(|it| it.listed = other()).contains("operators see sha256:"));
    }

    #[test]
    fn a_manifest_of_another_version_or_none_at_all_is_seen() {
        assert!(fault(|it| it.number = 4).contains("is of version 3"));
        assert!(fault(|it| it.manifest.truncate(20)).contains("cannot be read"));
    }
}
