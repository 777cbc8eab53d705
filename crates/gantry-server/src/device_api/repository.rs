//! `GET /api/v1/clients/{clientId}/repository`: our one extension of the device API. It tells a client
//! where its desired state can be fetched with Git, and gives a short-lived token for that.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::schemas::RepositoryAccess;
use crate::clock;
use crate::fleet::Reader;
use crate::identity::VerifiedClient;
use crate::problem::Problem;
use crate::server::Server;

/// Where the client's desired state can be fetched with Git, and a token for that.
///
/// An addition of Gantry. The token opens this one repository for reading, for an hour.
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/repository", operation_id = "getRepository",
    responses((status = 200, body = RepositoryAccess,
            headers(("Cache-Control" = String, description = "Always `no-store`."))),
        (status = 404, description = "Git is switched off; the manifest tells the same")))]
pub(super) async fn get(
    State(server): State<Server>,
    client: VerifiedClient,
) -> Result<impl IntoResponse, Problem> {
    if !server.git_enabled {
        return Err(Problem::not_found("Git is switched off here; use the manifest"));
    }
    let access = server.fleet.repository_access(Reader::Client, client.id(), clock::now()).await;
    let access = access.map_err(|error| Problem::internal(&error))?;
    let signers: Vec<String> = access.signers.iter().map(ToString::to_string).collect();
    let body = json!({
        "url": access.url,
        "branch": access.branch,
        "username": client.id(),
        "token": access.token,
        "expiresAt": clock::rfc3339(access.expires_at),
        "signers": signers,
    });
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], axum::Json(body)))
}
