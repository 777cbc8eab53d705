//! The operator API: JSON over HTTPS with a bearer token. Its OpenAPI document is made from the same
//! routes that answer, so the two cannot differ.

mod answers;
mod applications;
mod clients;
mod deployments;
mod revisions;
mod signing_keys;

use axum::Json;
use axum::Router;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::identity::VerifiedOperator;
use crate::server::Server;

/// The largest application package, in bytes.
const LARGEST_UPLOAD: usize = 64 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Gantry operator API", description = "Operate a fleet of Margo devices."),
    modifiers(&BearerToken),
    security(("token" = []))
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// All routes below `/operator/v1`.
pub(crate) fn router() -> Router<Server> {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest(
            operator_api::BASE_PATH,
            OpenApiRouter::new()
                .routes(routes!(whoami))
                .routes(routes!(clients::list))
                .routes(routes!(clients::show))
                .routes(routes!(clients::approve))
                .routes(routes!(clients::reject))
                .routes(routes!(clients::revoke))
                .routes(routes!(clients::repository))
                .routes(routes!(signing_keys::list, signing_keys::rotate))
                .routes(routes!(revisions::list))
                .routes(routes!(revisions::show))
                .routes(routes!(revisions::roll_back))
                .routes(routes!(applications::list, applications::add))
                .routes(routes!(applications::versions))
                .routes(routes!(applications::show, applications::remove))
                .routes(routes!(deployments::list, deployments::order))
                .routes(routes!(deployments::show, deployments::update, deployments::withdraw))
                .routes(routes!(deployments::events)),
        )
        .split_for_parts();
    let path = format!("{}/openapi.json", operator_api::BASE_PATH);
    router.route(&path, get(move || async move { Json(document) }))
}

/// Who the token belongs to.
#[utoipa::path(get, path = "/whoami", responses((status = 200, body = operator_api::Whoami)))]
async fn whoami(operator: VerifiedOperator) -> Json<operator_api::Whoami> {
    let role = operator.role.name().to_owned();
    Json(operator_api::Whoami { name: operator.name.to_string(), role })
}
