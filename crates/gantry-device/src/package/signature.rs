//! OpenPGP signatures of packages (contract §16.3, `keyLocation`): whose key is trusted for an
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

    /// Checks that a package is signed by who is trusted. `offered` are the keys at the place that the
    /// document names. A key that is seen first is pinned before the package can be used.
    pub(super) fn check(
        &self,
        application: &str,
        trusted: &Trusted,
        offered: &[u8],
        signature: &[u8],
        package: &Path,
    ) -> Result<(), SignatureError> {
        let keys = if let Trusted::Keys(keys) = trusted { keys } else { offered };
        let certificates = openpgp::certificates(keys)?;
        let signatures = Signatures::parse(signature)?;
        let mut failure = SignatureError::Unreadable {
            what: "what should be the key",
            problem: "there is no key in it".to_owned(),
        };
        let mut is_trusted_here = false;
        for certificate in &certificates {
            let fingerprint = certificate.fingerprint();
            match trusted {
                Trusted::Fingerprints(trusted) if !trusted.contains(&fingerprint) => {
                    if !is_trusted_here {
                        failure = changed(application, fingerprint, trusted);
                    }
                    continue;
                }
                _ => is_trusted_here = true,
            }
            match certificate.check(&signatures, package, self.now) {
                Ok(()) => return self.pin(application, trusted, certificate),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn pin(
        &self,
        application: &str,
        trusted: &Trusted,
        certificate: &Certificate,
    ) -> Result<(), SignatureError> {
        if let Trusted::Anybody = trusted {
            let fingerprint = certificate.fingerprint();
            tracing::info!(application, fingerprint, "pinned the key that signs its packages");
            let mut pinned = self.pinned()?;
            pinned.insert(application.to_owned(), fingerprint);
            self.state.save(PINNED, &pinned)?;
        }
        Ok(())
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
