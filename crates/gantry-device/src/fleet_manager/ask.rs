//! What can be asked of a fleet manager, and what may come back: how much, in which time, as what.

use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// How long somebody may wait for the last word before a downtime.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(10);

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Onboarding,
    Capabilities,
    /// Where the Git repository is, and a token for it.
    Repository,
    Manifest,
    /// A poll whose answer nobody takes up: it tells of a downtime.
    LastWord,
    Bundle,
    Document,
    Report,
    SecurityEvent,
    /// The package of a component, wherever it is.
    Package,
    /// What an OCI registry says of a tag.
    RegistryManifest,
    /// A token for a registry.
    RegistryToken,
    /// What a chart repository has.
    ChartIndex,
    /// An OpenPGP key, or a signature made with one.
    SigningKey,
    /// The one line of a Git repository that names its newest commit.
    GitGlance,
    /// What a Git repository has: few lines.
    GitReferences,
    /// Commits, trees and files of a Git repository.
    GitObjects,
}

impl Ask {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Onboarding
            | Self::Report
            | Self::SecurityEvent
            | Self::GitGlance
            | Self::GitObjects => "POST",
            Self::Capabilities => "PUT",
            Self::Repository
            | Self::Manifest
            | Self::LastWord
            | Self::Bundle
            | Self::Document
            | Self::Package
            | Self::RegistryManifest
            | Self::RegistryToken
            | Self::ChartIndex
            | Self::SigningKey
            | Self::GitReferences => "GET",
        }
    }

    /// The largest answer, in bytes.
    pub(super) fn largest(self) -> u64 {
        match self {
            Self::Onboarding
            | Self::Capabilities
            | Self::Report
            | Self::SecurityEvent
            | Self::RegistryToken
            | Self::SigningKey
            | Self::GitGlance => 64 * KIB,
            Self::Repository => 256 * KIB,
            Self::GitReferences | Self::RegistryManifest => MIB,
            Self::Manifest | Self::LastWord | Self::Document => 4 * MIB,
            Self::Bundle | Self::ChartIndex => 16 * MIB,
            // These go to the disk piece by piece.
            Self::GitObjects => 64 * MIB,
            // What the owner has set counts, which is less.
            Self::Package => 8 * GIB,
        }
    }

    /// How long the answer may take as a whole. Large ones come over slow links.
    pub(super) fn patience(self, patience: &Patience) -> Duration {
        match self {
            Self::Bundle | Self::Package | Self::ChartIndex | Self::GitObjects => {
                patience.whole_large
            }
            Self::LastWord => patience.last_word,
            _ => patience.whole,
        }
    }

    /// Whether an answer of this media type can be what was asked for. Servers of another make are
    /// many; where the content is checked by its digest, any type but a web page will do.
    pub(super) fn takes(self, media_type: &str) -> bool {
        match self {
            Self::Onboarding | Self::Repository | Self::Manifest | Self::LastWord => {
                media_type == "application/json"
                    || (media_type.starts_with("application/") && media_type.ends_with("+json"))
            }
            Self::GitReferences => media_type == "application/x-git-upload-pack-advertisement",
            Self::GitGlance | Self::GitObjects => {
                media_type == "application/x-git-upload-pack-result"
            }
            Self::Capabilities
            | Self::Bundle
            | Self::Document
            | Self::Report
            | Self::SecurityEvent
            | Self::Package
            | Self::RegistryManifest
            | Self::RegistryToken
            | Self::ChartIndex
            | Self::SigningKey => !is_web_page(media_type),
        }
    }
}

/// How long a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Until there is a connection with TLS.
    pub(crate) connect: Duration,
    /// From the request until the headers of the answer are there.
    pub(crate) first_byte: Duration,
    /// Between two pieces of the answer, and until a piece of the request is taken. It counts from the
    /// beginning, so it is not shorter than the one before.
    pub(crate) between_bytes: Duration,
    /// From the beginning to the end of a small answer.
    pub(crate) whole: Duration,
    /// The same for a large one.
    pub(crate) whole_large: Duration,
    /// The same for the last word before a downtime, for which somebody waits.
    pub(crate) last_word: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(20),
            between_bytes: Duration::from_secs(30),
            whole: Duration::from_secs(60),
            whole_large: Duration::from_secs(600),
            last_word: LAST_WORD,
        }
    }
}

/// Whether a person's browser is meant, and no client.
pub(super) fn is_web_page(media_type: &str) -> bool {
    matches!(media_type, "text/html" | "application/xhtml+xml")
}
