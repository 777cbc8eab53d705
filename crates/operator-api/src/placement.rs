//! An application for many devices in one request. Each place is decided for itself: what cannot be ordered in
//! one keeps nothing from the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ParameterInput;

/// In so many places an application can be ordered with one request.
pub const MOST_PLACES: usize = 1_000;

/// Order the same application in many places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderDeployments {
    #[schema(pattern = "^[a-z0-9-]{1,200}$")]
    pub application_id: String,
    /// The newest one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$")]
    pub version: Option<String>,
    /// What each deployment is called: the application's id where it is absent. Unique among the deployments
    /// of a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    pub name: Option<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterInput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// No two with the same id.
    #[schema(min_items = 1, max_items = 1000)]
    pub places: Vec<Place>,
}

/// Where an application is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    #[schema(format = Uuid)]
    pub client_id: String,
    /// Needed when the client speaks for several devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, pattern = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$")]
    pub device_id: Option<String>,
    /// The deployment's id: a UUID chosen by the caller. Where an answer got lost the same request can be sent
    /// again, and orders nothing twice. The server chooses one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub id: Option<String>,
}

/// What came of the order in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceOutcome {
    pub client_id: String,
    /// The deployment that was ordered; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Why none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<PlaceRefusal>,
}

/// Why nothing was ordered in a place, as a request for this place alone would be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRefusal {
    /// The HTTP status of that answer.
    pub status: u16,
    /// A sentence for the operator.
    pub detail: String,
}
