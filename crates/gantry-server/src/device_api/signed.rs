//! The door of the device API: who signs what, and what the OpenAPI document says of it.

use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required};
use utoipa_axum::router::UtoipaMethodRouterExt as _;

use crate::identity::verify_client;
use crate::openapi::{self, Answer, Routes};
use crate::server::Server;

const SIGNATURE: &str = "signature";
const SIGNATURE_INPUT: &str = "signatureInput";

/// What a signed request may be answered with before anything of it is looked at.
const OF_SIGNED: [Answer; 5] = [
    (
        StatusCode::BAD_REQUEST,
        "the request, or its Content-Digest, cannot be read, or does not fit its body",
    ),
    (
        StatusCode::UNAUTHORIZED,
        "the signature does not hold, was heard before, or the client is none. The connection is closed",
    ),
    (
        StatusCode::FORBIDDEN,
        "the client is not let in: it waits for an operator, was rejected or revoked, or its certificate has ended",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is of another type, or encoded"),
];

const TOO_MANY: Answer = (StatusCode::TOO_MANY_REQUESTS, "this client asks too often");

/// Routes of a client's own resources: each request is signed by its key.
pub(super) fn by_client(server: &Server, routes: Routes) -> Routes {
    let mut routes = openapi::with_answers(by_stranger(routes), &[TOO_MANY]);
    for operation in openapi::operations(&mut routes.1) {
        add_parameter(operation, contact());
    }
    let verified = from_fn_with_state(server.clone(), verify_client);
    routes.map(|it: MethodRouter<Server>| it.route_layer(verified))
}

/// Routes whose handlers check the signature by themselves.
pub(super) fn by_stranger(routes: Routes) -> Routes {
    let mut routes = openapi::with_answers(routes, &OF_SIGNED);
    for operation in openapi::operations(&mut routes.1) {
        let none: [&str; 0] = [];
        let both = SecurityRequirement::new(SIGNATURE, none).add(SIGNATURE_INPUT, none);
        operation.security = Some(vec![both]);
        if operation.request_body.is_some() {
            add_parameter(operation, content_digest());
        }
    }
    routes
}

fn add_parameter(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

fn content_digest() -> Parameter {
    header("Content-Digest")
        .required(Required::True)
        .description(Some(
            "The SHA-256 of the body (RFC 9530), such as `sha-256=:<base64>:`. It is signed.",
        ))
        .build()
}

fn contact() -> Parameter {
    let description = "What the client says of itself, a dictionary (RFC 9651): when it calls again (`next`), by \
        when at the latest (`by`), and more. For operators; what cannot be read is passed over.";
    header("Gantry-Contact").description(Some(description)).build()
}

fn header(name: &str) -> ParameterBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .schema(Some(text))
}

/// How a request is signed. OpenAPI has no word for it, so it is said in words.
pub(super) struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        for (scheme, header, description) in [
            (SIGNATURE, "Signature", HOW_TO_SIGN),
            (SIGNATURE_INPUT, "Signature-Input", "What the signature covers; see `Signature`."),
        ] {
            let value = ApiKeyValue::with_description(header, description);
            components.add_security_scheme(scheme, SecurityScheme::ApiKey(ApiKey::Header(value)));
        }
    }
}

const HOW_TO_SIGN: &str = "\
    Each request carries one HTTP message signature (RFC 9421), made with the private key of the client's X.509 \
    certificate. It covers `@method`, `@target-uri` (scheme, host and port as operators have configured them, path and \
    query) and, where there is a body, `content-digest`. The parameters `created` (seconds since 1970; by default from \
    300 seconds ago to 60 seconds ahead) and `keyid` (any text; the client's id is a good one) have to be there; a \
    `nonce` may. `alg` is best left out: the key says how it signs. ECDSA on P-256 with SHA-256, on P-384 with \
    SHA-384, Ed25519, and RSA from 2048 bits with PKCS#1 v1.5 or PSS are verified. The key is that of the client in \
    the path; at onboarding it is that of the certificate in the body. Whoever sends the same signature twice is \
    refused the second time.";
