//! OpenPGP signatures of packages (`keyLocation`, margo(SP-44)): whose key is trusted for an
//! application, and whether a package is signed with it. The owner may name the keys; otherwise the first
//! one whose signature holds is pinned for the application, and no other is taken after it.

mod openpgp;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::{SigningKeyConfig, TrustedKeys};
use crate::state_dir::{StateDir, StateError};

use self::openpgp::{Certificate, Signatures};

/// Where the pinned fingerprints are in the state directory, by application.
const PINNED: &str = "signing-keys.json";
/// The largest file with keys, in bytes.
const LARGEST_KEYS: u64 = 64 << 10;

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("there is none: neither {0}.asc nor {0}.sig is there")]
    Missing(String),
    #[error("there is no key at {0}")]
    NoKey(String),
    #[error("{what} is not OpenPGP: {problem}")]
    Unreadable { what: &'static str, problem: String },
    #[error("the file {} with the trusted keys cannot be read", .0.display())]
    KeyFile(PathBuf, #[source] std::io::Error),
    #[error("the key {fingerprint} cannot be used: {problem}")]
    Key { fingerprint: String, problem: &'static str },
    #[error("it cannot be relied on: {0}")]
    Weak(String),
    #[error("it is not by the key {0} over this package")]
    Wrong(String),
    #[error("the checksums that are signed do not have that of this package, {0}")]
    NotNamed(String),
    #[error(
        "{application} is signed with the key {found}, and trusted for it is {trusted}; if its maker has \
         another key, name that in a [[signing_key]] section"
    )]
    KeyChanged { application: String, found: String, trusted: String },
    #[error("the package cannot be read")]
    Package(#[source] std::io::Error),
    #[error("the key cannot be pinned")]
    State(#[from] StateError),
}

/// Whose signatures count.
pub(super) struct Trust<'a> {
    pub(super) state: &'a StateDir,
    /// What the owner has said.
    pub(super) rules: &'a [SigningKeyConfig],
    /// In seconds since 1970.
    pub(super) now: i64,
}

/// The keys that are trusted for an application.
pub(super) enum Trusted {
    /// Those with these fingerprints, wherever they come from.
    Fingerprints(BTreeSet<String>),
    /// These.
    Keys(Vec<u8>),
    /// Whoever comes first.
    Anybody,
}

/// What a package is checked with: keys that are trusted, of which there is at least one, and signatures.
pub(super) struct Seal<'a> {
    application: &'a str,
    certificates: Vec<Certificate>,
    signatures: Signatures,
    /// Whether nobody is pinned yet.
    is_first: bool,
}

impl Trust<'_> {
    /// Which keys are trusted for an application.
    pub(super) fn for_application(&self, application: &str) -> Result<Trusted, SignatureError> {
        let rule = self.rules.iter().find(|it| it.application == application);
        match rule.map(|it| &it.trusted) {
            Some(TrustedKeys::Fingerprints(trusted)) => Ok(Trusted::Fingerprints(trusted.clone())),
            Some(TrustedKeys::File(file)) => {
                let mut keys = Vec::new();
                let read =
                    File::open(file).and_then(|it| it.take(LARGEST_KEYS).read_to_end(&mut keys));
                read.map_err(|error| SignatureError::KeyFile(file.clone(), error))?;
                Ok(Trusted::Keys(keys))
            }
            None => Ok(match self.pinned()?.remove(application) {
                Some(fingerprint) => Trusted::Fingerprints(BTreeSet::from([fingerprint])),
                None => Trusted::Anybody,
            }),
        }
    }

    /// What packages of an application are checked with. `offered` are the keys at the place that the
    /// document names.
    pub(super) fn seal<'s>(
        &self,
        application: &'s str,
        trusted: &Trusted,
        offered: &[u8],
        signature: &[u8],
    ) -> Result<Seal<'s>, SignatureError> {
        let keys = if let Trusted::Keys(keys) = trusted { keys } else { offered };
        let mut certificates = openpgp::certificates(keys)?;
        let Some(first) = certificates.first().map(Certificate::fingerprint) else {
            return Err(SignatureError::Unreadable {
                what: "what should be the key",
                problem: "there is no key in it".to_owned(),
            });
        };
        if let Trusted::Fingerprints(trusted) = trusted {
            certificates.retain(|it| trusted.contains(&it.fingerprint()));
            if certificates.is_empty() {
                return Err(changed(application, first, trusted));
            }
        }
        let is_first = matches!(trusted, Trusted::Anybody);
        let signatures = Signatures::parse(signature)?;
        Ok(Seal { application, certificates, signatures, is_first })
    }

    /// Checks that a package is signed by who is trusted. A key that is seen first is pinned before the
    /// package can be used.
    pub(super) fn check(&self, seal: &Seal<'_>, package: &Path) -> Result<(), SignatureError> {
        let mut outcome = Ok(());
        for certificate in &seal.certificates {
            outcome = certificate.check(&seal.signatures, package, self.now);
            if outcome.is_ok() {
                return if seal.is_first {
                    self.pin(seal.application, certificate)
                } else {
                    Ok(())
                };
            }
        }
        outcome
    }

    fn pin(&self, application: &str, certificate: &Certificate) -> Result<(), SignatureError> {
        let fingerprint = certificate.fingerprint();
        tracing::info!(application, fingerprint, "pinned the key that signs its packages");
        let mut pinned = self.pinned()?;
        pinned.insert(application.to_owned(), fingerprint);
        Ok(self.state.save(PINNED, &pinned)?)
    }

    /// A damaged file is an error: it must not make anybody trusted.
    fn pinned(&self) -> Result<BTreeMap<String, String>, StateError> {
        Ok(self.state.load(PINNED)?.unwrap_or_default())
    }
}

fn changed(application: &str, found: String, trusted: &BTreeSet<String>) -> SignatureError {
    let trusted = trusted.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
    SignatureError::KeyChanged { application: application.to_owned(), found, trusted }
}

#[cfg(test)]
mod tests;
