//! What the OpenAPI documents of both APIs say alike. With which errors an operation may answer, and what the
//! names in its path stand for, follows from what stands before its handler. So whoever puts that there says
//! it, once for all operations behind it.

mod path_names;
mod problem;

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem, Paths};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{Header, HeaderBuilder, OpenApi, RefOr, Response, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

pub(crate) use problem::{OvertakenProblem, PROBLEM};

use crate::server::Server;

/// Bytes that are no text: OpenAPI 3.1 has no schema for them, the media type says all.
pub(crate) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
    }
}

impl ToSchema for Binary {}

/// Routes of one path with their description.
pub(crate) type Routes = UtoipaMethodRouter<Server>;

/// An answer, and when it comes.
pub(crate) type Answer = (StatusCode, &'static str);

/// What may keep any operation from its answer.
const OF_ALL: [Answer; 2] = [
    (StatusCode::INTERNAL_SERVER_ERROR, "the server made a mistake; its log says which"),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "not now: the server has too much to do, or its database is away",
    ),
];

/// What is wrong with a body, or with the words about it.
const OF_BODIES: [Answer; 3] = [
    (StatusCode::BAD_REQUEST, "the request cannot be read"),
    (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is of another type, or encoded"),
];

const OF_QUERIES: Answer = (StatusCode::BAD_REQUEST, "the query cannot be read");

const OF_ANYTHING_ELSE: &str = "A method that a path does not have is answered with 405 and `Allow`, a path that is none \
    with 404. Every error is a problem (RFC 9457) but for what is no HTTP: that gets 400 or 431 without a body.";

/// Says that every operation of `routes` may answer like this, too. What a handler says itself stays.
pub(crate) fn with_answers((schemas, mut paths, router): Routes, answers: &[Answer]) -> Routes {
    for operation in operations(&mut paths) {
        add_answers(operation, answers);
    }
    (schemas, paths, router)
}

/// Every operation of these paths.
pub(crate) fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(operations_of)
}

/// A header of text.
pub(crate) fn header(description: &str) -> Header {
    HeaderBuilder::new().description(Some(description)).build()
}

/// Makes a document whole: what any operation may answer, how problems look, and what paths are made of.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for operation in operations(&mut document.paths) {
        if operation.request_body.is_some() {
            add_answers(operation, &OF_BODIES);
        }
        if has_query(operation) {
            add_answers(operation, &[OF_QUERIES]);
        }
        add_answers(operation, &OF_ALL);
        problem::describe(operation);
        name_answers(operation);
    }
    let told = document.info.description.unwrap_or_default();
    document.info.description = Some(format!("{told}\n\n{OF_ANYTHING_ELSE}"));
    problem::add_schemas(document.components.get_or_insert_default());
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(path_names::describe).collect();
    document
}

fn has_query(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|it| matches!(it, RefOr::T(it) if it.parameter_in == ParameterIn::Query))
}

fn add_answers(operation: &mut Operation, answers: &[Answer]) {
    for (status, when) in answers {
        let known = operation.responses.responses.entry(status.as_u16().to_string());
        known.or_insert_with(|| RefOr::T(Response::new(*when)));
    }
}

/// OpenAPI 3.1 wants each answer described.
fn name_answers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let status = status.parse().ok().and_then(|it| StatusCode::from_u16(it).ok());
        let name = status.and_then(|it| it.canonical_reason()).unwrap_or_default();
        if response.description.is_empty() {
            name.clone_into(&mut response.description);
        }
    }
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, patch, delete, .. } = item;
    [get, put, post, patch, delete].into_iter().flatten()
}
