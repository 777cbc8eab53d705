//! The Margo device API in the signed profile (contract §16). The wire format lives here: documents
//! become domain values on the way in, and domain values documents on the way out. Its OpenAPI document is
//! made from the same routes that answer, so the two cannot differ.

mod capabilities;
mod conditional;
mod deployment_status;
mod desired_state;
mod onboarding;
mod repository;
mod schemas;
mod security_events;
mod signed;

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::server::Server;

use signed::Schemes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gantry device API",
        description = "How a device's client speaks with the fleet manager: Margo's management API in the profile \
            with signed requests, over HTTPS (TLS 1.3), and what Gantry adds to it. The desired state can be \
            fetched with Git as well; `GET /api/v1/clients/{clientId}/repository` says where."
    ),
    modifiers(&Schemes)
)]
struct Document;

/// All routes below `/api/v1`, and their description.
// margo(SP-3, SP-4, SP-9, SP-18, E-1, E-2, X-02, X-19)
pub(crate) fn router(server: &Server) -> (Router<Server>, OpenApiDocument) {
    let signed = |routes| signed::by_client(server, routes);
    let tagged = |routes| signed(conditional::describe(routes));
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(onboarding::get_certificate))
        .routes(signed::by_stranger(routes!(onboarding::post_onboarding)))
        .routes(signed(routes!(capabilities::post, capabilities::put)))
        .routes(signed(routes!(
            capabilities::post_of_device,
            capabilities::put_of_device,
            capabilities::delete
        )))
        .routes(tagged(routes!(desired_state::get_manifest)))
        .routes(tagged(routes!(desired_state::get_document)))
        .routes(tagged(routes!(desired_state::get_bundle)))
        .routes(tagged(routes!(desired_state::get_package)))
        .routes(signed(routes!(deployment_status::post)))
        .routes(signed(routes!(repository::get)))
        .routes(signed(routes!(security_events::post)))
        .split_for_parts();
    (router, openapi::complete(document))
}
