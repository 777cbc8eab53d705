//! `GET /api/v1/onboarding/certificate` and `POST /api/v1/onboarding`

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::schemas::{Onboarded, OnboardingRequest, RootCertificate};
use crate::clock;
use crate::extract::JsonBytes;
use crate::fleet::Onboarding;
use crate::identity;
use crate::problem::Problem;
use crate::server::Server;

/// The root certificate, for whoever trusts the channel already.
// margo(SP-1, SP-13, SP-57): PEM, base64 without line breaks.
#[utoipa::path(get, path = "/api/v1/onboarding/certificate", operation_id = "getRootCertificate",
    responses((status = 200, body = RootCertificate)))]
pub(super) async fn get_certificate(State(server): State<Server>) -> impl IntoResponse {
    axum::Json(json!({"certificate": STANDARD.encode(server.certificate.root_pem())}))
}

/// A client asks to be let in.
///
/// Onboarding again with the same key gives the same id. Whoever waits for an operator is told when to ask again.
// margo(SP-2, SP-15, SP-37)
#[utoipa::path(post, path = "/api/v1/onboarding", operation_id = "onboard",
    request_body = OnboardingRequest,
    responses((status = 201, description = "the client is let in", body = Onboarded),
        (status = 401, description = "the signature does not hold for the key of the certificate, or was heard before"),
        (status = 403, description = "the client waits for an operator, or is not accepted here")))]
pub(super) async fn post_onboarding(
    State(server): State<Server>,
    parts: Parts,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    let presented = identity::prove_possession(&server, &parts, &body)?;
    let onboarding = server.fleet.onboard(&presented, clock::now()).await;
    match onboarding.map_err(|error| Problem::internal(&error))? {
        Onboarding::Accepted(id) => {
            Ok((StatusCode::CREATED, axum::Json(json!({"clientId": id}))).into_response())
        }
        Onboarding::Waiting => Err(identity::waiting()),
        Onboarding::Refused => Err(identity::refused()),
    }
}
