//! The one place that turns errors into answers (RFC 9457, contract §11). A handler gives a
//! [`Problem`]; the middleware [`render`] writes it down, with the path of the request.

mod reason;

use std::error::Error;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use margo_contract::document::DocumentError;
use margo_contract::problem::{self, FieldError, ProblemType};

use crate::fleet::{FleetError, Outage};
use crate::identity;
use crate::metrics::Refusals;

pub(crate) use reason::Reason;

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
    /// What the log says in place of the detail, which may repeat values that are none of its business.
    logged: Option<String>,
    challenge: Option<&'static str>,
    closes_connection: bool,
    plain_text: bool,
    accepts_plain_only: bool,
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

    /// 503 where the store cannot be used for now, else 500; the cause goes to the log and not to the
    /// caller.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        let cause = chain(error);
        let outage = causes(error).find_map(|it| it.downcast_ref::<FleetError>()?.outage());
        if let Some(outage) = outage {
            tracing::error!(error = cause, advice = outage.advice(), "the store cannot be used");
            return Self::outage(outage);
        }
        tracing::error!(error = cause, "a request failed");
        let detail = "the server could not do it; its log says why";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(ProblemType::Blank, status, Reason::Failure, detail)
            .retryable_after(UNAVAILABLE_RETRY_SECONDS)
    }

    fn outage(outage: Outage) -> Self {
        match outage {
            Outage::Busy => Self::unavailable(Reason::DatabaseBusy, "the database is busy"),
            Outage::Full => Self::unavailable(Reason::DiskFull, "the server has no room left"),
            Outage::Away => Self::unavailable(Reason::DatabaseAway, "the database does not answer"),
        }
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

    /// Why the request was not answered as it asked.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The same in more words, for the log.
    pub(crate) fn logged(&self) -> String {
        let text = self.logged.as_deref().or(self.body.detail.as_deref()).unwrap_or_default();
        text.chars().take(LONGEST_LOGGED).collect()
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

impl From<FleetError> for Problem {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Replayed => identity::replayed(),
            error => Self::internal(&error),
        }
    }
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Malformed(detail) => Self::malformed(detail),
            DocumentError::Semantic(faults) => {
                let errors = faults.0.into_iter();
                let errors =
                    errors.map(|it| FieldError { field: it.field, message: it.message }).collect();
                Self::semantic("the document breaks rules; `errors` names each", errors)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.body.status).expect("a problem is made from a status");
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes problems down and counts them, and makes problems of errors that no handler of ours has answered.
// margo(PD-1, X-07, E-3)
pub(crate) async fn render(
    State(refusals): State<Refusals>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        let status = response.status();
        match status {
            StatusCode::NOT_FOUND if is_bare(&response) => {
                Some(Problem::not_found("there is nothing at this path"))
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let detail = "the resource has no such method; Allow names those it has";
                Some(Problem::new(ProblemType::Blank, status, Reason::Method, detail))
            }
            _ => None,
        }
    });
    let Some(mut problem) = problem else { return response };
    refusals.count(problem.reason);
    problem.body.instance = Some(path);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    let content_type =
        if problem.plain_text { "text/plain; charset=utf-8" } else { problem::MEDIA_TYPE };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.body.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some(challenge) = problem.challenge {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if problem.accepts_plain_only {
        // RFC 9110, section 15.5.16.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if problem.closes_connection {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if problem.plain_text {
        format!("{}\n", problem.body.detail.unwrap_or(problem.body.title)).into_bytes()
    } else {
        serde_json::to_vec(&problem.body).expect("a problem has nothing but text and numbers")
    };
    *response.body_mut() = Body::from(body);
    response
}

fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key(header::CONTENT_TYPE)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error, and what caused it, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&it| it.source())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet_store::StoreError;

    use super::*;
    use crate::fleet::DecideError;

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
    fn a_store_that_cannot_be_used_for_now_is_told_from_one_that_is_broken() {
        let cause = || Arc::new(std::io::Error::other("the disk says so"));
        for (error, status, reason) in [
            (StoreError::Busy(cause()), 503, Reason::DatabaseBusy),
            (StoreError::Full(cause()), 503, Reason::DiskFull),
            (StoreError::Unreachable(cause()), 503, Reason::DatabaseAway),
            (StoreError::Duplicate(cause()), 500, Reason::Failure),
            (StoreError::Failed(cause()), 500, Reason::Failure),
        ] {
            let error = DecideError::Fleet(error.into());
            let problem = Problem::internal(&error);
            assert_eq!((problem.body.status, problem.reason), (status, reason), "{error:?}");
            assert!(problem.body.retryable && problem.body.retry_after_seconds.is_some());
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
