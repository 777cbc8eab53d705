//! What the names in paths stand for. A name means the same wherever it stands, in both APIs.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required};

const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

/// A path and its operations, with a parameter for each name in it. What axum calls `{*name}` is `{name}` here.
pub(super) fn describe((path, mut item): (String, PathItem)) -> (String, PathItem) {
    let path = path.replace("{*", "{");
    for operation in super::operations_of(&mut item) {
        let others = operation.parameters.take().into_iter().flatten();
        let others =
            others.filter(|it| !matches!(it, RefOr::T(it) if it.parameter_in == ParameterIn::Path));
        let named = names(&path).map(|it| RefOr::T(parameter(it)));
        operation.parameters = Some(named.chain(others).collect());
    }
    (path, item)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(name: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let uuid = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
    };
    let like =
        |pattern: &str| ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let (schema, description) = match name {
        "clientId" => (uuid(), "The client, by the id that it was given when it onboarded."),
        "deploymentId" => (uuid(), "The deployment."),
        "digest" => (like(DIGEST), "The SHA-256 of the content."),
        "fingerprint" => (like(DIGEST), "The SHA-256 of the certificate."),
        "deviceId" => (
            like(r"^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$").max_length(Some(255)),
            "The device. One behind a gateway has a `/` after the gateway's id; it may be written as it is.",
        ),
        "applicationId" => {
            (like("^[a-z0-9-]{1,200}$"), "The application, by the id in its description.")
        }
        "version" => {
            (like("^[A-Za-z0-9._+-]{1,128}$"), "The version in the application's description.")
        }
        "revision" => (like("^([1-9][0-9]{0,17}|latest)$"), "A revision's number, or `latest`."),
        "name" => (like("^[A-Za-z0-9._@-]{1,64}$"), "The operator."),
        _ => (text, ""),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
