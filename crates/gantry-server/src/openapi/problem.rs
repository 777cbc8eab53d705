//! How errors look in the documents: every answer from 400 on is a problem (RFC 9457).

#![expect(
    dead_code,
    reason = "the types are for the documents; margo-contract reads and writes problems"
)]

use margo_contract::problem::MEDIA_TYPE;
use operator_api::OrderMeanwhile;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Content, Header, HeaderBuilder, Ref, RefOr};
use utoipa::{PartialSchema as _, ToSchema};

use super::header;

/// Why a request was not answered as it asked (RFC 9457). Members may be added; pass over what you do not know.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
struct Problem {
    /// What kind of problem: one that Margo registers, or `about:blank`.
    #[schema(rename = "type", format = "uri-reference")]
    type_uri: String,
    /// The name of the status.
    title: String,
    /// The status, as in the status line.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// The path of the request.
    instance: String,
    /// Whether the same request may have success later.
    retryable: bool,
    backoff_strategy: BackoffStrategy,
    /// After how many seconds to ask again, as in `Retry-After`.
    #[schema(minimum = 1)]
    retry_after_seconds: Option<u64>,
    /// Each field that breaks a rule.
    errors: Option<Vec<FieldError>>,
    /// What older clients look for in place of `title`; such as `Invalid signature`.
    error: String,
    /// What older clients look for in place of `detail`.
    message: String,
}

/// What the body of a problem is of.
pub(crate) const PROBLEM: &str = MEDIA_TYPE;

/// A problem; where an order was overtaken by another one with what that was.
#[derive(ToSchema)]
pub(crate) struct OvertakenProblem {
    #[serde(flatten)]
    problem: Problem,
    /// What the caller would have had to send as `orderedEvent` or `newestOrder`.
    present: Option<u64>,
    /// What was ordered meanwhile, the oldest first; the newest 10 where there is more.
    meanwhile: Option<Vec<OrderMeanwhile>>,
}

/// How the pauses between attempts should grow.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
enum BackoffStrategy {
    None,
    Exponential,
}

/// A field that breaks a rule.
#[derive(ToSchema)]
struct FieldError {
    /// Where it is, such as `properties.cpus[0].cores`.
    field: String,
    message: String,
}

/// Adds what [`describe`] refers to.
pub(super) fn add_schemas(components: &mut Components) {
    let schemas = [
        ("Problem", Problem::schema()),
        ("BackoffStrategy", BackoffStrategy::schema()),
        ("FieldError", FieldError::schema()),
    ];
    components.schemas.extend(schemas.map(|(name, schema)| (name.to_owned(), schema)));
}

/// Gives each error of an operation its body and its headers.
pub(super) fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if !status.starts_with(['4', '5']) {
            continue;
        }
        if response.content.is_empty() {
            let body = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(MEDIA_TYPE.to_owned(), RefOr::T(body));
        }
        for (name, header) in headers(status) {
            response.headers.insert(name.to_owned(), RefOr::T(header));
        }
    }
}

fn headers(status: &str) -> Vec<(&'static str, Header)> {
    let mut headers = vec![("Cache-Control", header("Always `no-store`."))];
    match status {
        "401" => headers.push((
            "WWW-Authenticate",
            header("How to prove who asks (RFC 9110), where a token would do."),
        )),
        "403" => headers.push((
            "Retry-After",
            seconds("When to ask again. Only where an operator has yet to decide."),
        )),
        "429" | "500" | "503" => headers.push(("Retry-After", seconds("When to ask again."))),
        "415" => {
            headers.push(("Accept-Encoding", header("`identity`, where the body was encoded.")));
        }
        _ => {}
    }
    headers
}

fn seconds(description: &str) -> Header {
    let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    HeaderBuilder::new().schema(Some(whole)).description(Some(description)).build()
}
