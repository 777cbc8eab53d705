//! The one place that turns errors into answers (RFC 9457, contract §11). A handler gives a
//! [`Problem`], each with its [`Reason`]; the middleware [`render()`] writes it down, with the path of the
//! request.

mod causes;
mod reason;
mod render;

use axum::http::StatusCode;
use margo_contract::problem::{self, FieldError, ProblemType};
use operator_api::Conflict;
use serde::Serialize;

pub(crate) use causes::chain;
pub(crate) use reason::Reason;
pub(crate) use render::render;

/// How long a client waits before it asks again whether it was let in, in seconds.
pub(crate) const WAITING_RETRY_SECONDS: u64 = 5;
const UNAVAILABLE_RETRY_SECONDS: u64 = 5;
/// The longest text of a problem in the log, in characters: it may repeat what a caller has sent.
const LONGEST_LOGGED: usize = 300;
/// So many names of fields are logged at most.
const MOST_LOGGED_FIELDS: usize = 10;

/// An error as the outside sees it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    body: Box<problem::Problem>,
    reason: Reason,
    /// What was ordered meanwhile, of an order that was overtaken.
    conflict: Option<Box<Conflict>>,
    /// What the log says in place of the detail, which may repeat values that are none of its business.
    logged: Option<String>,
    challenge: Option<&'static str>,
    closes_connection: bool,
    plain_text: bool,
    accepts_plain_only: bool,
}

/// A problem as it is written down.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    body: &'a problem::Problem,
    #[serde(flatten)]
    conflict: Option<&'a Conflict>,
}

impl Problem {
    pub(crate) fn new(
        kind: ProblemType,
        status: StatusCode,
        reason: Reason,
        detail: impl Into<String>,
    ) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let detail = detail.into();
        let body = problem::Problem {
            type_uri: kind.uri(),
            title: title.clone(),
            status: status.as_u16(),
            detail: Some(detail.clone()),
            error: Some(title),
            message: Some(detail),
            ..problem::Problem::default()
        };
        Self {
            body: Box::new(body),
            reason,
            conflict: None,
            logged: None,
            challenge: None,
            closes_connection: false,
            plain_text: false,
            accepts_plain_only: false,
        }
    }

    /// 400: the request cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidRequest, StatusCode::BAD_REQUEST, Reason::Malformed, detail)
    }

    /// 400: the body is JSON of another shape, or none. It may hold an operator's secrets, and the error
    /// repeats a part of it: the log says only where it is.
    pub(crate) fn unreadable_json(error: &serde_json::Error) -> Self {
        let mut problem = Self::malformed(format!("the body is not what is expected: {error}"));
        let (line, column) = (error.line(), error.column());
        problem.logged = Some(format!("a JSON {:?} error, {line}:{column}", error.classify()));
        problem
    }

    /// 401 for a request of a client whose signature does not hold; ends the session.
    // margo(SP-26, SP-41, SP-59)
    pub(crate) fn invalid_signature(reason: Reason, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(ProblemType::Blank, StatusCode::UNAUTHORIZED, reason, detail)
            .known_as("Invalid signature");
        problem.closes_connection = true;
        problem
    }

    /// 401 for a caller without a good token; `challenge` says how to come with one.
    pub(crate) fn unauthenticated(challenge: &'static str, detail: &str) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        let mut problem = Self::new(ProblemType::Blank, status, Reason::Token, detail);
        problem.challenge = Some(challenge);
        problem
    }

    /// 403: policy says no.
    pub(crate) fn forbidden(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::NotAuthorized, StatusCode::FORBIDDEN, reason, detail)
    }

    /// 404 where no registered type fits.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Blank, StatusCode::NOT_FOUND, Reason::NotFound, detail)
    }

    /// 409.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Blank, StatusCode::CONFLICT, Reason::Conflict, detail)
    }

    /// 409 that tells what was ordered meanwhile. The log names who ordered it, and no value.
    pub(crate) fn overtaken(detail: impl Into<String>, conflict: Conflict) -> Self {
        let mut problem = Self::conflict(detail);
        let by = conflict.meanwhile.last().map_or("somebody", |it| it.by.as_str());
        problem.logged = Some(format!("{by} has ordered something else"));
        problem.conflict = Some(Box::new(conflict));
        problem
    }

    /// 413.
    // margo(E-4)
    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the body has more than {limit} bytes");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let mut problem = Self::new(ProblemType::Blank, status, Reason::TooLarge, detail);
        problem.closes_connection = true;
        problem
    }

    /// 415.
    pub(crate) fn unsupported_media_type(expected: &str) -> Self {
        let detail = format!("the Content-Type has to be {expected}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(ProblemType::Blank, status, Reason::MediaType, detail)
    }

    /// 415 for a body that has to be decoded first: a small one could become a huge one.
    pub(crate) fn unsupported_encoding() -> Self {
        let detail = "a body with a Content-Encoding is not accepted here";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let mut problem = Self::new(ProblemType::Blank, status, Reason::MediaType, detail);
        problem.accepts_plain_only = true;
        problem
    }

    /// 422 with every fault. The log names the fields and not their values: a parameter may be a password.
    // margo(PD-3, DC-5)
    pub(crate) fn semantic(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let mut problem = Self::new(ProblemType::SemanticError, status, Reason::Semantic, detail);
        let fields = errors.iter().take(MOST_LOGGED_FIELDS).map(|it| it.field.as_str());
        problem.logged = Some(format!("faults in {}", fields.collect::<Vec<_>>().join(", ")));
        problem.body.errors = errors;
        problem
    }

    /// 503: not now.
    pub(crate) fn unavailable(reason: Reason, detail: &str) -> Self {
        Self::new(ProblemType::Blank, StatusCode::SERVICE_UNAVAILABLE, reason, detail)
            .retryable_after(UNAVAILABLE_RETRY_SECONDS)
    }

    /// 429: this caller asks too often, and may ask again in so many seconds.
    pub(crate) fn too_many_requests(seconds: u64) -> Self {
        let detail = "this client asks too often; ask again after Retry-After";
        Self::new(ProblemType::Blank, StatusCode::TOO_MANY_REQUESTS, Reason::Rate, detail)
            .retryable_after(seconds)
    }

    pub(crate) fn status(&self) -> u16 {
        self.body.status
    }

    /// A sentence for whoever has asked.
    pub(crate) fn into_detail(self) -> String {
        self.body.detail.unwrap_or(self.body.title)
    }

    /// Why the request was not answered as it asked.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The same in more words, for the log.
    pub(crate) fn logged(&self) -> String {
        let text = self.logged.as_deref().or(self.body.detail.as_deref()).unwrap_or_default();
        text.chars().take(LONGEST_LOGGED).collect()
    }

    /// As JSON.
    fn written(&self) -> Vec<u8> {
        let written = Written { body: &self.body, conflict: self.conflict.as_deref() };
        serde_json::to_vec(&written).expect("a problem has nothing but text, numbers and lists")
    }

    /// Counts as refused for this reason.
    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// What the member `error` says, for clients of the signed profile that know these words.
    // margo(SP-2, SP-41)
    pub(crate) fn known_as(mut self, error: &str) -> Self {
        self.body.error = Some(error.to_owned());
        self
    }

    /// Answers with the detail alone, for programs that show their user nothing but plain text.
    pub(crate) fn in_plain_text(mut self) -> Self {
        self.plain_text = true;
        self
    }

    // margo(RT-1, PD-2)
    fn retryable_after(mut self, seconds: u64) -> Self {
        self.body.retryable = true;
        "exponential".clone_into(&mut self.body.backoff_strategy);
        self.body.retry_after_seconds = Some(seconds);
        self
    }

    /// Tells a waiting client when to come back.
    // margo(SP-61)
    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.body.retry_after_seconds = Some(seconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(RT-1, PD-2): these tell when to come back, and the others do not.
    #[test]
    fn what_passes_by_itself_says_when_to_try_again() {
        let error = std::io::Error::other("no room");
        for problem in [
            Problem::internal(&error),
            Problem::unavailable(Reason::Overload, "too much to do"),
            Problem::too_many_requests(3),
        ] {
            assert!(problem.body.retryable, "{problem:?}");
            assert_eq!(problem.body.backoff_strategy, "exponential");
            assert!(problem.body.retry_after_seconds.is_some_and(|it| it >= 1), "{problem:?}");
        }
        for problem in [Problem::malformed("no"), Problem::conflict("no"), Problem::too_large(1)] {
            assert!(!problem.body.retryable, "{problem:?}");
            assert_eq!(problem.body.retry_after_seconds, None, "{problem:?}");
        }
    }

    #[test]
    fn what_is_logged_has_no_value_of_a_body_and_an_end() {
        let secret = "hunter2";
        let field = FieldError { field: "parameters.password".into(), message: secret.into() };
        let semantic = Problem::semantic(format!("{secret} is too short"), vec![field]);
        assert_eq!(semantic.logged(), "faults in parameters.password");
        let error = serde_json::from_str::<u8>("\"hunter2\"").expect_err("no number");
        assert!(error.to_string().contains(secret));
        let logged = Problem::unreadable_json(&error).logged();
        assert!(!logged.contains(secret) && logged.contains("1:9"), "{logged}");
        let long = Problem::malformed("x".repeat(1 << 20)).logged();
        assert_eq!(long.len(), LONGEST_LOGGED);
    }
}
