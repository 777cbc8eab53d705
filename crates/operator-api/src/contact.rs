//! When a client was heard of, and whether its silence is as it should be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Contact with a client. What the client says of itself is absent until it says it, and always for a
/// client of another make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    pub standing: ContactStanding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<String>,
    /// When the client means to call again, while it has time to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_contact: Option<String>,
    /// By when it will have called if nothing is wrong; since when it is overdue if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_by: Option<String>,
    /// Why it is silent as agreed; absent where it is not, or not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// The revision of its desired state that it has taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_running: Option<u64>,
    /// How many reports it had yet to deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<u64>,
}

/// Whether a client's silence is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContactStanding {
    /// It was not heard of since it was let in.
    Never,
    /// It has time to call.
    Expected,
    /// It should have called.
    Overdue,
    /// It did not say when it calls again, or it is not let in.
    Unknown,
}

/// What the owner of a device has agreed to be silent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quiet {
    /// The hours in which it looks for changes are over.
    PollingPeriod,
    /// No communication is tried.
    Downtime,
}
