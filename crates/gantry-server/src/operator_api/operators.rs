//! Operators, as administrators add and remove them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use fleet_domain::ids::OperatorName;
use fleet_domain::permission::Role;
use margo_contract::problem::FieldError;
use operator_api::{AddOperator, NewOperator, Operator, Page};

use crate::clock;
use crate::extract::{self, Path};
use crate::fleet::{AddOperatorError, Fleet, RemoveOperatorError};
use crate::identity::VerifiedOperator;
use crate::problem::Problem;

/// All operators, by name.
#[utoipa::path(get, path = "/operators", operation_id = "listOperators",
    responses((status = 200, body = Page<Operator>)))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
) -> Result<Json<Page<Operator>>, Problem> {
    let operators = fleet.operators().await.map_err(|error| Problem::internal(&error))?;
    let items = operators
        .into_iter()
        .map(|it| Operator { name: it.name.to_string(), role: it.role.name().to_owned() });
    Ok(Json(Page::whole(items.collect())))
}

/// Adds an operator, and makes the token, which is told this once.
#[utoipa::path(post, path = "/operators", operation_id = "addOperator", request_body = AddOperator,
    responses((status = 201, body = NewOperator),
        (status = 409, description = "there is an operator of this name, or there are too many"),
        (status = 422, description = "the name or the role is none; errors names each")))]
pub(super) async fn add(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    extract::Json(wanted): extract::Json<AddOperator>,
) -> Result<impl IntoResponse, Problem> {
    let name = wanted.name.parse::<OperatorName>().map_err(|error| ("name", error.to_string()));
    let role = Role::named(&wanted.role)
        .ok_or_else(|| ("role", "it has to be viewer, operator or administrator".to_owned()));
    let (name, role) = match (name, role) {
        (Ok(name), Ok(role)) => (name, role),
        (name, role) => {
            let faults = name.err().into_iter().chain(role.err());
            let errors =
                faults.map(|(field, message)| FieldError { field: field.to_owned(), message });
            let detail = "there can be no such operator; `errors` names each fault";
            return Err(Problem::semantic(detail, errors.collect()));
        }
    };
    match fleet.add_operator(&operator.name, &name, role, clock::now()).await {
        Ok(token) => {
            let (name, role) = (name.to_string(), role.name().to_owned());
            let body = NewOperator { name, role, token: token.secret().to_owned() };
            let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            Ok((StatusCode::CREATED, no_store, Json(body)))
        }
        Err(error @ (AddOperatorError::AlreadyThere(_) | AddOperatorError::TooMany)) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(AddOperatorError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

/// Removes an operator, whose token opens nothing from then on.
#[utoipa::path(delete, path = "/operators/{name}", operation_id = "removeOperator",
    params(("name" = String, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "unknown"),
        (status = 409, description = "it is the last administrator")))]
pub(super) async fn remove(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found("there is no such operator");
    let name: OperatorName = name.parse().map_err(|_| unknown())?;
    match fleet.remove_operator(&operator.name, &name, clock::now()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(RemoveOperatorError::Unknown) => Err(unknown()),
        Err(error @ RemoveOperatorError::LastAdministrator) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(RemoveOperatorError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}
