//! What an operator is told whose order was overtaken by another one. It stands in the problem (RFC 9457) of
//! status 409, beside its other members.
//!
//! Not 412 and not `ETag`: a strong tag of a deployment would have to change with each report of its device,
//! and an operator would be refused for what no operator did. What was seen is named by a member of the
//! order itself, so what stands in the way is the state of the resource, which is what 409 means.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::EventKind;

/// Something else was ordered than what the caller has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Conflict {
    /// What the caller would have had to send as `orderedEvent` or `newestOrder`.
    pub present: u64,
    /// What was ordered meanwhile, the oldest first; the newest 10 where there is more.
    pub meanwhile: Vec<OrderMeanwhile>,
}

/// What somebody ordered meanwhile about a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderMeanwhile {
    pub at: String,
    /// The operator.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `ordered`, `updated` or `withdrawn`.
    pub what: EventKind,
    pub deployment_id: String,
    /// What the deployment is called.
    pub name: String,
    pub application_id: String,
    /// The version that was ordered or, of a withdrawal, that was there.
    pub application_version: String,
    pub parameters: Vec<ParameterText>,
    /// The revision to whose content the order returned, of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
}

/// A parameter before and after an order, as the history writes it. Where one is absent the application's
/// default holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterText {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
