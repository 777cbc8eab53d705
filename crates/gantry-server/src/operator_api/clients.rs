//! Clients, as operators see and judge them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use fleet_domain::client::{Standing, Verdict};
use fleet_domain::ids::{ClientId, DeviceId};
use operator_api::{CapabilitiesReport, Client, Decision, Page, RepositoryAccess};
use serde::Deserialize;

use super::answers;
use super::deployments::{bounded, bounded_limit, optional};
use crate::clock;
use crate::extract;
use crate::extract::{Path, Query};
use crate::fleet::{DecideError, Fleet};
use crate::identity::VerifiedOperator;
use crate::problem::Problem;
use crate::server::Server;

type Answer = Result<Json<Client>, Problem>;

/// Which part of the list of clients.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Only the clients behind this one: `next` of the answer before.
    #[param(format = Uuid, nullable = false)]
    after: Option<String>,
    /// So many at most.
    #[param(minimum = 1, maximum = 10_000, default = 10_000, nullable = false)]
    limit: Option<u32>,
}

/// All clients, the oldest first.
#[utoipa::path(get, path = "/clients", operation_id = "listClients", params(Part),
    responses((status = 200, body = Page<Client>),
        (status = 422, description = "there can be no such part")))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Query(Part { after, limit }): Query<Part>,
) -> Result<Json<Page<Client>>, Problem> {
    let after = optional("after", after)?;
    let limit = bounded_limit(limit)?;
    let clients = fleet.clients(after, limit).await.map_err(|error| Problem::internal(&error))?;
    let is_end = clients.len() < limit as usize;
    let next = clients.last().filter(|_| !is_end).map(|it| it.entry.client.id.to_string());
    let now = clock::now();
    let items = clients.iter().map(|it| answers::client(it, now)).collect();
    Ok(Json(Page { items, next }))
}

/// One client with its devices.
#[utoipa::path(get, path = "/clients/{clientId}", operation_id = "showClient",
    params(("clientId" = String, Path)),
    responses((status = 200, body = Client), (status = 404, description = "no such client")))]
pub(super) async fn show(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
) -> Answer {
    let view =
        fleet.client_view(client_id(&id)?).await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answers::client(&view.ok_or_else(unknown)?, clock::now())))
}

/// Which device.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct OfDevice {
    /// Only what was said of this device.
    #[param(
        max_length = 255,
        pattern = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$",
        nullable = false
    )]
    device: Option<String>,
}

/// What a client has said of its devices: the newest 50 reports, the newest first.
#[utoipa::path(get, path = "/clients/{clientId}/capabilities", operation_id = "listCapabilities",
    params(("clientId" = String, Path), OfDevice),
    responses((status = 200, body = Page<CapabilitiesReport>),
        (status = 404, description = "no such client")))]
pub(super) async fn capabilities(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
    Query(OfDevice { device }): Query<OfDevice>,
) -> Result<Json<Page<CapabilitiesReport>>, Problem> {
    let device = device.map(|it| it.parse::<DeviceId>()).transpose();
    let device = device.map_err(|error| Problem::malformed(error.to_string()))?;
    let reports = fleet.reported_capabilities(client_id(&id)?, device.as_ref()).await;
    let reports = reports.map_err(|error| Problem::internal(&error))?.ok_or_else(unknown)?;
    Ok(Json(Page::whole(reports.iter().map(answers::report).collect())))
}

/// Lets a client in.
#[utoipa::path(post, path = "/clients/{clientId}/approve", operation_id = "approveClient",
    params(("clientId" = String, Path)), request_body = Decision,
    responses((status = 200, body = Client), (status = 404, description = "no such client"),
        (status = 409, description = "the client is revoked"),
        (status = 422, description = "the reason is too long")))]
pub(super) async fn approve(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(decision): extract::Json<Decision>,
) -> Answer {
    decide(&fleet, &operator, &id, Verdict::Approve, decision).await
}

/// Tells a waiting client to stay away.
#[utoipa::path(post, path = "/clients/{clientId}/reject", operation_id = "rejectClient",
    params(("clientId" = String, Path)), request_body = Decision,
    responses((status = 200, body = Client), (status = 404, description = "no such client"),
        (status = 409, description = "the client is approved or revoked"),
        (status = 422, description = "the reason is too long")))]
pub(super) async fn reject(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(decision): extract::Json<Decision>,
) -> Answer {
    decide(&fleet, &operator, &id, Verdict::Reject, decision).await
}

/// Refuses a client from now on, for good.
#[utoipa::path(post, path = "/clients/{clientId}/revoke", operation_id = "revokeClient",
    params(("clientId" = String, Path)), request_body = Decision,
    responses((status = 200, body = Client), (status = 404, description = "no such client"),
        (status = 422, description = "the reason is too long")))]
pub(super) async fn revoke(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(decision): extract::Json<Decision>,
) -> Answer {
    decide(&fleet, &operator, &id, Verdict::Revoke, decision).await
}

/// Gives access to a client's repository for reading, for a while.
#[utoipa::path(post, path = "/clients/{clientId}/repository", operation_id = "openRepository",
    params(("clientId" = String, Path)),
    responses((status = 200, body = RepositoryAccess), (status = 404, description = "no such client"),
        (status = 409, description = "the client is not approved, or Git is switched off")))]
pub(super) async fn repository(
    State(server): State<Server>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let id = client_id(&id)?;
    let client = server.fleet.client(id).await.map_err(|error| Problem::internal(&error))?;
    if client.ok_or_else(unknown)?.standing != Standing::Approved {
        return Err(Problem::conflict("only an approved client has a repository"));
    }
    if !server.git_enabled {
        return Err(Problem::conflict("Git is switched off here"));
    }
    let access = server.fleet.open_repository(&operator.name, id, clock::now()).await;
    let access = access.map_err(|error| Problem::internal(&error))?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(answers::repository(id, &access))))
}

async fn decide(
    fleet: &Fleet,
    operator: &VerifiedOperator,
    id: &str,
    verdict: Verdict,
    decision: Decision,
) -> Answer {
    let (id, reason) = (client_id(id)?, bounded(decision.reason)?);
    let now = clock::now();
    match fleet.decide(&operator.name, id, verdict, reason, now).await {
        Ok(view) => Ok(Json(answers::client(&view, now))),
        Err(DecideError::Unknown) => Err(unknown()),
        Err(DecideError::Refused(refused)) => Err(Problem::conflict(refused.to_string())),
        Err(DecideError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

/// A client's id in a path; what is none names nothing.
pub(super) fn client_id(text: &str) -> Result<ClientId, Problem> {
    text.parse().map_err(|_| unknown())
}

pub(super) fn unknown() -> Problem {
    Problem::not_found("there is no such client")
}
