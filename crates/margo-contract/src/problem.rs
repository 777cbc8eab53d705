//! Problem details (RFC 9457) as the management API answers them (contract §11).

use serde::{Deserialize, Serialize};

pub const MEDIA_TYPE: &str = "application/problem+json";
const BASE: &str = "https://docs.margo.org/specification/problem-types#";

/// The conditions that the specification registers (contract §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemType {
    InvalidRequest,
    NotAuthorized,
    GatewayNotFound,
    DeviceNotFound,
    InvalidBundle,
    DeploymentNotFound,
    ServerCannotGenerateResponse,
    SemanticError,
    /// Nothing of the above fits: `about:blank`.
    Blank,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    pub retryable: bool,
    pub backoff_strategy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What clients of the signed profile look for (contract §16.1, §16.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl ProblemType {
    pub fn uri(self) -> String {
        let slug = match self {
            Self::InvalidRequest => "invalid-request",
            Self::NotAuthorized => "not-authorized",
            Self::GatewayNotFound => "gateway-not-found",
            Self::DeviceNotFound => "device-not-found",
            Self::InvalidBundle => "invalid-bundle",
            Self::DeploymentNotFound => "deployment-not-found",
            Self::ServerCannotGenerateResponse => "server-cannot-generate-response",
            Self::SemanticError => "semantic-error",
            Self::Blank => return "about:blank".to_owned(),
        };
        format!("{BASE}{slug}")
    }
}

impl Default for Problem {
    fn default() -> Self {
        Self {
            type_uri: ProblemType::Blank.uri(),
            title: String::new(),
            status: 0,
            detail: None,
            instance: None,
            retryable: false,
            backoff_strategy: "none".to_owned(),
            retry_after_seconds: None,
            errors: Vec::new(),
            error: None,
            message: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_problem_is_required_when_reading() {
        let empty: Problem = serde_json::from_str("{}").expect("every member is optional");
        assert_eq!(empty, Problem::default());
        let text = include_str!("../tests/fixtures/problem-semantic-error.json");
        let problem: Problem = serde_json::from_str(text).expect("a good problem");
        assert_eq!(problem.type_uri, ProblemType::SemanticError.uri());
        assert_eq!(problem.errors.len(), 2);
        assert_eq!(problem.status, 422);
    }
}
