//! The operator API: JSON over HTTPS with a bearer token. Its OpenAPI document is made from the same
//! routes that answer, so the two cannot differ.

mod answers;
mod applications;
mod clients;
mod deployments;
mod operators;
mod revisions;
mod signing_keys;
mod trust;

use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use axum::{Json, Router};
use fleet_domain::permission::{Permission, Role};
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::identity::{VerifiedOperator, verify_operator};
use crate::openapi::{self, Answer, Routes};
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
    fn modify(&self, document: &mut OpenApiDocument) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// All routes below `/operator/v1`, each with what a caller's role has to allow, and their description.
pub(crate) fn router(server: &Server) -> (Router<Server>, OpenApiDocument) {
    let needs = |permission| {
        let server = server.clone();
        move |routes: Routes| {
            let verified = from_fn_with_state((server.clone(), permission), verify_operator);
            let routes = openapi::with_answers(routes, door(permission));
            routes.map(|it: MethodRouter<Server>| it.route_layer(verified))
        }
    };
    let view = needs(Permission::ViewFleet);
    let order = needs(Permission::OrderDeployments);
    let manage = needs(Permission::ManageApplications);
    let admit = needs(Permission::AdmitClients);
    let rotate = needs(Permission::ManageKeys);
    let appoint = needs(Permission::ManageOperators);
    let routes = OpenApiRouter::new()
        .routes(view(routes!(whoami)))
        .routes(appoint(routes!(operators::list, operators::add)))
        .routes(appoint(routes!(operators::remove)))
        .routes(view(routes!(trust::list)))
        .routes(admit(routes!(trust::add)))
        .routes(admit(routes!(trust::remove)))
        .routes(view(routes!(clients::list)))
        .routes(admit(routes!(trust::register)))
        .routes(admit(routes!(trust::renew)))
        .routes(view(routes!(clients::show)))
        .routes(view(routes!(clients::capabilities)))
        .routes(admit(routes!(clients::approve)))
        .routes(admit(routes!(clients::reject)))
        .routes(admit(routes!(clients::revoke)))
        .routes(view(routes!(clients::repository)))
        .routes(view(routes!(signing_keys::list)))
        .routes(rotate(routes!(signing_keys::rotate)))
        .routes(view(routes!(revisions::list)))
        .routes(view(routes!(revisions::show)))
        .routes(order(routes!(revisions::roll_back)))
        .routes(view(routes!(applications::list)))
        .routes(manage(routes!(applications::add)))
        .routes(view(routes!(applications::versions)))
        .routes(view(routes!(applications::show)))
        .routes(manage(routes!(applications::remove)))
        .routes(view(routes!(deployments::list)))
        .routes(order(routes!(deployments::order)))
        .routes(order(routes!(deployments::order_all)))
        .routes(view(routes!(deployments::show)))
        .routes(order(routes!(deployments::update, deployments::withdraw)))
        .routes(view(routes!(deployments::events)));
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest(operator_api::BASE_PATH, routes)
        .split_for_parts();
    (router, openapi::complete(document))
}

/// What a request may be answered with before its handler is reached.
fn door(permission: Permission) -> &'static [Answer] {
    const NO_TOKEN: Answer = (StatusCode::UNAUTHORIZED, "the token is missing, or nobody's");
    const NOT_ALLOWED: Answer = (StatusCode::FORBIDDEN, "the operator's role does not allow this");
    if Role::ALL.iter().all(|it| it.may(permission)) {
        &[NO_TOKEN]
    } else {
        &[NO_TOKEN, NOT_ALLOWED]
    }
}

/// Who the token belongs to.
#[utoipa::path(get, path = "/whoami", responses((status = 200, body = operator_api::Whoami)))]
async fn whoami(operator: VerifiedOperator) -> Json<operator_api::Whoami> {
    let role = operator.role.name().to_owned();
    Json(operator_api::Whoami { name: operator.name.to_string(), role })
}
