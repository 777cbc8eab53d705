//! Why a package is not there, in words for people and in codes for programs.

use std::path::PathBuf;
use std::time::Duration;

use margo_contract::digest::Digest;

use super::signature::SignatureError;
use crate::code;
use crate::fleet_manager::{LinkError, NoAnswer, shown};
use crate::state_dir::StateError;

/// Why a package is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// No fault of the package: it is fetched when it is a time for it, and the fleet manager is there.
    #[error("the package cannot be fetched now")]
    NotNow(#[source] Option<LinkError>),
    #[error("the package cannot be fetched")]
    Fetch(#[source] LinkError),
    #[error("the package's location `{location}` cannot be used: {problem}")]
    Location { location: String, problem: &'static str },
    #[error("the package cannot be fetched from {host}")]
    Host {
        host: String,
        #[source]
        trouble: Trouble,
    },
    #[error("what {place} has is no package of the component: {problem}")]
    Unfit { place: String, problem: String },
    #[error("there is no package at {place}: {problem}")]
    NotThere { place: String, problem: String },
    #[error(
        "the package is larger than {0} bytes, which is the most that the owner of the device allows \
         ([packages] largest)"
    )]
    TooLarge(u64),
    #[error("the package does not have the digest {0} that was promised for it")]
    Digest(Digest),
    #[error("the package's signature does not hold")]
    Signature(#[from] SignatureError),
    #[error("the package cannot be kept")]
    State(#[from] StateError),
}

/// What went wrong at a host that is not the fleet manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answers {status}{}", detail_of(detail))]
    Refused { status: u16, detail: String, retry_after: Option<Duration> },
    #[error("{0}")]
    Denied(String),
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
    #[error("the secret in {} cannot be used: {problem}", file.display())]
    Secret { file: PathBuf, problem: String },
}

impl PackageError {
    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotNow(_) | Self::Location { .. } | Self::Unfit { .. } | Self::State(_) => {
                code::PACKAGE_UNAVAILABLE
            }
            Self::Fetch(LinkError::Refused { status, .. }) => of_status(*status),
            Self::Fetch(_) => code::PACKAGE_UNAVAILABLE,
            Self::Host { trouble, .. } => match trouble {
                Trouble::Unreachable(_) | Trouble::Nonsense(_) => {
                    device_providers::code::REGISTRY_UNREACHABLE
                }
                Trouble::Refused { status, .. } => of_status(*status),
                Trouble::Denied(_) | Trouble::Secret { .. } => code::REGISTRY_DENIED,
            },
            Self::NotThere { .. } => code::PACKAGE_NOT_FOUND,
            Self::TooLarge(_) => code::PACKAGE_TOO_LARGE,
            Self::Digest(_) => code::BAD_DIGEST,
            Self::Signature(SignatureError::KeyChanged { .. }) => code::KEY_CHANGED,
            Self::Signature(_) => code::BAD_SIGNATURE,
        }
    }

    /// How long the host asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Host { trouble: Trouble::Refused { retry_after, .. }, .. } => *retry_after,
            _ => None,
        }
    }

    /// The status that a server refused with.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Host { trouble: Trouble::Refused { status, .. }, .. }
            | Self::NotNow(Some(LinkError::Refused { status, .. }))
            | Self::Fetch(LinkError::Refused { status, .. }) => Some(*status),
            _ => None,
        }
    }
}

fn of_status(status: u16) -> &'static str {
    match status {
        401 | 403 => code::REGISTRY_DENIED,
        404 | 410 => code::PACKAGE_NOT_FOUND,
        408 | 425 | 429 | 500..=599 => device_providers::code::REGISTRY_UNREACHABLE,
        _ => code::PACKAGE_UNAVAILABLE,
    }
}

fn detail_of(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {}", shown(detail)) }
}

/// What failed on the way, told for a host that is not the fleet manager.
impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(why) => Self::Unreachable(match why {
                NoAnswer::Name => "its name is not known".to_owned(),
                NoAnswer::Root(_) => {
                    "its certificate is not from a root that is trusted for it; name that with `ca` in \
                     a [[registry]] section for this host"
                        .to_owned()
                }
                NoAnswer::CertificateName(_) => "its certificate is for another name".to_owned(),
                why => crate::chain(&why),
            }),
            LinkError::Refused { status, detail, retry_after, .. } => {
                Self::Refused { status, detail, retry_after }
            }
            LinkError::Nonsense(what) => Self::Nonsense(what),
            LinkError::Quiet(why) => Self::Unreachable(format!("nothing is said now: {why}")),
        }
    }
}
