//! The history of a client's desired state, as operators read it.

use axum::Json;
use axum::extract::State;
use fleet_domain::ids::RevisionNumber;
use fleet_domain::permission::Permission;
use operator_api::{Page, Revision, RevisionSummary};
use serde::Deserialize;

use super::answers;
use super::clients::{client_id, unknown};
use crate::extract::{Path, Query};
use crate::fleet::Fleet;
use crate::identity::VerifiedOperator;
use crate::problem::Problem;

const USUAL_LIMIT: u32 = 100;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// How many, the newest first; 100 where it is absent.
    limit: Option<u32>,
}

/// The revisions of a client, the newest first.
#[utoipa::path(get, path = "/clients/{clientId}/revisions", operation_id = "listRevisions",
    params(("clientId" = String, Path), Limit),
    responses((status = 200, body = Page<RevisionSummary>), (status = 404, description = "unknown")))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Page<RevisionSummary>>, Problem> {
    operator.permit(Permission::ViewFleet)?;
    let id = client_id(&id)?;
    let known = fleet.client(id).await.map_err(|error| Problem::internal(&error))?;
    known.ok_or_else(unknown)?;
    let revisions = fleet.revisions(id, limit.unwrap_or(USUAL_LIMIT)).await;
    let revisions = revisions.map_err(|error| Problem::internal(&error))?;
    Ok(Json(Page { items: revisions.iter().map(answers::revision_summary).collect() }))
}

/// One revision of a client: its number, or `latest`.
#[utoipa::path(get, path = "/clients/{clientId}/revisions/{revision}", operation_id = "showRevision",
    params(("clientId" = String, Path), ("revision" = String, Path)),
    responses((status = 200, body = Revision), (status = 404, description = "unknown")))]
pub(super) async fn show(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path((id, revision)): Path<(String, String)>,
) -> Result<Json<Revision>, Problem> {
    operator.permit(Permission::ViewFleet)?;
    let id = client_id(&id)?;
    let no_revision = || Problem::not_found("the client has no such revision");
    let number = match revision.as_str() {
        "latest" => None,
        number => {
            let number = number.parse().ok().and_then(RevisionNumber::new);
            Some(number.ok_or_else(no_revision)?)
        }
    };
    let view = fleet.revision(id, number).await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answers::revision(&view.ok_or_else(no_revision)?)))
}
