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

/// What the client says. Its time is for its own log: ours counts here.
#[derive(Deserialize)]
pub(crate) struct Told {
    what: String,
}

pub(crate) async fn post_security_event(
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
