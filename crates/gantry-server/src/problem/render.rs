//! Writes problems down, in one place around all routes, and counts them there.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use margo_contract::problem::{self, ProblemType};

use super::{Problem, Reason};
use crate::metrics::Refusals;

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
pub(crate) fn render(refusals: &Refusals, path: String, mut response: Response) -> Response {
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
        problem.written()
    };
    *response.body_mut() = Body::from(body);
    response
}

fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key(header::CONTENT_TYPE)
}
