//! Problem details (RFC 9457) as the management API answers them (contract §11).

use serde::{Deserialize, Serialize};

pub const MEDIA_TYPE: &str = "application/problem+json";
const BASE: &str = "https://docs.margo.org/specification/problem-types";
const BLANK: &str = "about:blank";

/// The conditions that the specification registers.
// margo(ER-1)
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
// margo(PD-1, PD-2, X-06)
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
    /// What clients of the signed profile look for.
    // margo(SP-2, SP-26, SP-41)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A field that breaks a rule.
// margo(PD-3)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl ProblemType {
    // margo(ER-2, ER-4, X-05)
    pub fn uri(self) -> String {
        self.slug().map_or_else(|| BLANK.to_owned(), |slug| format!("{BASE}#{slug}"))
    }

    /// Reads a type, with a fragment or as a path; none of those that the specification registers is
    /// nothing.
    // margo(ER-3, ER-4, X-05)
    pub fn parse(uri: &str) -> Option<Self> {
        if uri == BLANK {
            return Some(Self::Blank);
        }
        let slug = uri.strip_prefix(BASE)?.strip_prefix(['#', '/'])?;
        Self::REGISTERED.into_iter().find(|it| it.slug() == Some(slug))
    }

    const REGISTERED: [Self; 8] = [
        Self::InvalidRequest,
        Self::NotAuthorized,
        Self::GatewayNotFound,
        Self::DeviceNotFound,
        Self::InvalidBundle,
        Self::DeploymentNotFound,
        Self::ServerCannotGenerateResponse,
        Self::SemanticError,
    ];

    fn slug(self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidRequest => "invalid-request",
            Self::NotAuthorized => "not-authorized",
            Self::GatewayNotFound => "gateway-not-found",
            Self::DeviceNotFound => "device-not-found",
            Self::InvalidBundle => "invalid-bundle",
            Self::DeploymentNotFound => "deployment-not-found",
            Self::ServerCannotGenerateResponse => "server-cannot-generate-response",
            Self::SemanticError => "semantic-error",
            Self::Blank => return None,
        })
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

    // margo(ER-1, ER-4, X-05)
    #[test]
    fn a_type_is_written_with_a_fragment_and_read_in_both_forms() {
        for kind in ProblemType::REGISTERED {
            let uri = kind.uri();
            assert_eq!(ProblemType::parse(&uri), Some(kind), "{uri}");
            assert_eq!(ProblemType::parse(&uri.replace('#', "/")), Some(kind), "{uri}");
        }
        let written = "https://docs.margo.org/specification/problem-types#semantic-error";
        assert_eq!(ProblemType::SemanticError.uri(), written);
        assert_eq!(ProblemType::parse("about:blank"), Some(ProblemType::Blank));
        for other in [
            "",
            "https://docs.margo.org/specification/problem-types",
            "https://docs.margo.org/specification/problem-types#",
            "https://docs.margo.org/specification/problem-types#new",
            "https://x.example/problem-types#semantic-error",
        ] {
            assert_eq!(ProblemType::parse(other), None, "{other}");
        }
    }

    // margo(PD-1, PD-3, X-06)
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
