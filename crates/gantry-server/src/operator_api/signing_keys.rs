//! The keys that sign desired states, as operators see and replace them.

use axum::Json;
use axum::extract::State;
use fleet_publish::COMMITTER_EMAIL;
use operator_api::{Page, SigningKey};

use crate::clock;
use crate::fleet::{Fleet, RotateError};
use crate::identity::VerifiedOperator;
use crate::problem::Problem;

/// Every key that has signed or will sign commits, the oldest first; the last is in use.
#[utoipa::path(get, path = "/signing-keys", operation_id = "listSigningKeys",
    responses((status = 200, body = Page<SigningKey>)))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
) -> Result<Json<Page<SigningKey>>, Problem> {
    let signers = fleet.signers().await.map_err(|error| Problem::internal(&error))?;
    let newest = signers.last();
    let items = signers.iter().map(|it| answer(it, Some(it) == newest));
    Ok(Json(Page::whole(items.collect())))
}

/// Makes a new key. Each client learns of it with its next revision, and that after it is signed by it.
#[utoipa::path(post, path = "/signing-keys", operation_id = "rotateSigningKey",
    responses((status = 200, body = SigningKey), (status = 409, description = "there are too many")))]
pub(super) async fn rotate(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
) -> Result<Json<SigningKey>, Problem> {
    match fleet.rotate_signing_key(&operator.name, clock::now()).await {
        Ok(signer) => Ok(Json(answer(&signer, true))),
        Err(error @ RotateError::TooMany) => Err(Problem::conflict(error.to_string())),
        Err(RotateError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

fn answer(signer: &commit_signature::Signer, in_use: bool) -> SigningKey {
    SigningKey {
        public_key: signer.to_string(),
        allowed_signers_line: signer.allowed_signers_line(COMMITTER_EMAIL),
        in_use,
    }
}
