//! The history of a client's desired state, as operators read it and return to it.

use axum::Json;
use axum::extract::State;
use fleet_domain::ids::RevisionNumber;
use operator_api::{OrderRollback, Page, Revision, RevisionSummary, Rollback};
use serde::Deserialize;

use super::answers;
use super::clients::{client_id, unknown};
use super::deployments::{bounded, fault};
use crate::clock;
use crate::extract::{self, Path, Query};
use crate::fleet::{Fleet, NewRollback, RollbackError};
use crate::identity::VerifiedOperator;
use crate::openapi::{OvertakenProblem, PROBLEM};
use crate::problem::Problem;

const USUAL_LIMIT: u32 = 100;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// How many, the newest first; 100 where it is absent, and 10000 at most.
    #[param(format = "uint32", maximum = 4_294_967_295u64, nullable = false)]
    limit: Option<u32>,
}

/// The revisions of a client, the newest first.
#[utoipa::path(get, path = "/clients/{clientId}/revisions", operation_id = "listRevisions",
    params(("clientId" = String, Path), Limit),
    responses((status = 200, body = Page<RevisionSummary>), (status = 404, description = "unknown")))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Page<RevisionSummary>>, Problem> {
    let id = client_id(&id)?;
    let known = fleet.client(id).await.map_err(|error| Problem::internal(&error))?;
    known.ok_or_else(unknown)?;
    let revisions = fleet.revisions(id, limit.unwrap_or(USUAL_LIMIT)).await;
    let revisions = revisions.map_err(|error| Problem::internal(&error))?;
    Ok(Json(Page::whole(revisions.iter().map(answers::revision_summary).collect())))
}

/// One revision of a client: its number, or `latest`.
#[utoipa::path(get, path = "/clients/{clientId}/revisions/{revision}", operation_id = "showRevision",
    params(("clientId" = String, Path), ("revision" = String, Path)),
    responses((status = 200, body = Revision), (status = 404, description = "unknown")))]
pub(super) async fn show(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path((id, revision)): Path<(String, String)>,
) -> Result<Json<Revision>, Problem> {
    let id = client_id(&id)?;
    let number = match revision.as_str() {
        "latest" => None,
        number => {
            let number = number.parse().ok().and_then(RevisionNumber::new);
            Some(number.ok_or_else(unknown_revision)?)
        }
    };
    let view = fleet.revision(id, number).await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answers::revision(&view.ok_or_else(unknown_revision)?)))
}

/// Orders for a client what one of its revisions carried: there will be a new revision with that content.
#[utoipa::path(post, path = "/clients/{clientId}/rollback", operation_id = "rollBack",
    params(("clientId" = String, Path)), request_body = OrderRollback,
    responses((status = 200, body = Rollback), (status = 404, description = "unknown"),
        (status = 409, description = "a deployment cannot be what it was, the client is not approved, or \
            something else was ordered meanwhile", body = OvertakenProblem, content_type = PROBLEM),
        (status = 422, description = "no reason is given")))]
pub(super) async fn roll_back(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(order): extract::Json<OrderRollback>,
) -> Result<Json<Rollback>, Problem> {
    let OrderRollback { revision, reason, dry_run, newest_order: seen } = order;
    let id = client_id(&id)?;
    let reason = bounded(Some(reason))?;
    let reason = reason.ok_or_else(|| fault("reason", "say why, for the history".to_owned()))?;
    let to = RevisionNumber::new(revision).ok_or_else(unknown_revision)?;
    let order = NewRollback { to, reason, seen, dry_run };
    let rollback = fleet.roll_back(&operator.name, id, order, clock::now()).await;
    let rollback = rollback.map_err(refused)?;
    Ok(Json(Rollback {
        client_id: id.to_string(),
        revision,
        dry_run,
        changes: answers::changes(&rollback),
        deployments: rollback.deployments.iter().map(answers::deployment).collect(),
        newest_order: rollback.newest_order,
    }))
}

fn refused(error: RollbackError) -> Problem {
    let message = error.to_string();
    match error {
        RollbackError::Overtaken(overtaken) => {
            Problem::overtaken(message, answers::conflict(&overtaken))
        }
        RollbackError::UnknownClient => unknown(),
        RollbackError::UnknownRevision => unknown_revision(),
        RollbackError::NotApproved(_)
        | RollbackError::ApplicationGone { .. }
        | RollbackError::PackageGone { .. }
        | RollbackError::Device { .. } => Problem::conflict(message),
        RollbackError::Fleet(error) => Problem::internal(&error),
    }
}

fn unknown_revision() -> Problem {
    Problem::not_found("the client has no such revision")
}
