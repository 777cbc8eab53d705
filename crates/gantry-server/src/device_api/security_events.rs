//! `POST /api/v1/clients/{clientId}/security-events`: ours. A client tells that it refused a desired state,
//! so that operators learn of it where they look.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::clock;
use crate::extract::Json;
use crate::fleet::Fleet;
use crate::identity::VerifiedClient;
use crate::problem::Problem;

/// The longest text that is kept, in characters.
const LONGEST: usize = 1_000;

/// What a client has refused, or noticed.
// Its time is for its own log: ours counts here.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = SecurityEvent)]
pub(super) struct Told {
    /// In words. Control characters are left out, and what comes after 1000 characters.
    #[schema(pattern = r"[^\x00-\x1f\x7f-\x9f]")]
    what: String,
}

/// A client tells operators what it refused for safety's sake, such as a desired state with a wrong signature.
///
/// An addition of Gantry.
#[utoipa::path(post, path = "/api/v1/clients/{clientId}/security-events", operation_id = "tellSecurityEvent",
    request_body = Told, responses((status = 204, description = "operators can see it")))]
pub(super) async fn post(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Json(Told { what }): Json<Told>,
) -> Result<StatusCode, Problem> {
    let what: String = what.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
    if what.is_empty() {
        return Err(Problem::malformed("`what` is empty"));
    }
    fleet.record_security_event(&client, what, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
