//! Deployments, as operators order, change, withdraw and watch them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fleet_domain::ids::{DeploymentId, InvalidId};
use margo_contract::problem::FieldError;
use operator_api::{
    Deployment, DeploymentEvent, MOST_PLACES, OrderDeployment, OrderDeployments, Page,
    ParameterInput, PlaceOutcome, PlaceRefusal, UpdateDeployment,
};
use serde::Deserialize;

use super::answers;
use crate::clock;
use crate::extract::{self, Path, Query};
use crate::fleet::{
    DeploymentView, Fleet, GivenValue, LONGEST_LIST, NewContent, NewOrder, OrderError, Place,
    WithdrawError,
};
use crate::identity::VerifiedOperator;
use crate::openapi::{OvertakenProblem, PROBLEM};
use crate::problem::Problem;

/// Longer reasons than this are not kept, in bytes.
const LONGEST_REASON: usize = 2_000;

/// Which deployments.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Only the deployments of this client: all of them, without `after` and `limit`.
    #[param(format = Uuid, nullable = false)]
    client: Option<String>,
    /// Only the deployments behind this one: `next` of the answer before.
    #[param(pattern = "^[0-9]{1,12}_[0-9a-f-]{36}$", nullable = false)]
    after: Option<String>,
    /// So many at most.
    #[param(minimum = 1, maximum = 10_000, default = 10_000, nullable = false)]
    limit: Option<u32>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// Only events with a greater sequence number.
    #[param(format = "uint64", maximum = 18_446_744_073_709_551_615u64, nullable = false)]
    after: Option<u64>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdrawal {
    /// Why; it goes into the history.
    #[param(nullable = false)]
    reason: Option<String>,
    /// The deployment's `orderedEvent` as the caller has seen it. Where it has another one by now it is not
    /// withdrawn, and 409 tells what was ordered meanwhile. Without it the order holds whatever that was.
    #[serde(rename = "orderedEvent")]
    #[param(format = "uint64", maximum = 18_446_744_073_709_551_615u64, nullable = false)]
    ordered_event: Option<u64>,
}

/// All deployments, the newest order first.
#[utoipa::path(get, path = "/deployments", operation_id = "listDeployments", params(Part),
    responses((status = 200, body = Page<Deployment>),
        (status = 422, description = "there can be no such part")))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Query(Part { client, after, limit }): Query<Part>,
) -> Result<Json<Page<Deployment>>, Problem> {
    if let Some(client) = client {
        if after.is_some() || limit.is_some() {
            return Err(fault("client", "goes without `after` and `limit`".to_owned()));
        }
        let deployments = fleet.deployments_of(field("client", &client)?).await;
        let deployments = deployments.map_err(|error| Problem::internal(&error))?;
        return Ok(Json(Page::whole(deployments.iter().map(answers::deployment).collect())));
    }
    let after = after.map(|it| place(&it)).transpose()?;
    let limit = bounded_limit(limit)?;
    let deployments = fleet.deployments(after, limit).await;
    let deployments = deployments.map_err(|error| Problem::internal(&error))?;
    let is_end = deployments.len() < limit as usize;
    let next = deployments.last().filter(|_| !is_end).map(|DeploymentView { entry, .. }| {
        format!("{}_{}", entry.ordered_at, entry.deployment.id())
    });
    Ok(Json(Page { items: deployments.iter().map(answers::deployment).collect(), next }))
}

/// A place in the list of deployments: when one was ordered, and which.
fn place(text: &str) -> Result<(i64, DeploymentId), Problem> {
    let place =
        text.split_once('_').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    place.ok_or_else(|| fault("after", "is not what `next` was in an answer".to_owned()))
}

/// How many items of a list are wanted at most.
pub(super) fn bounded_limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(LONGEST_LIST) {
        limit if (1..=LONGEST_LIST).contains(&limit) => Ok(limit),
        limit => Err(fault("limit", format!("is {limit}, not 1 to {LONGEST_LIST}"))),
    }
}

/// Orders an application on a device of a client.
#[utoipa::path(post, path = "/deployments", operation_id = "orderDeployment",
    request_body = OrderDeployment,
    responses((status = 201, body = Deployment),
        (status = 409, description = "the application is there, or the client is not approved",
            body = OvertakenProblem, content_type = PROBLEM),
        (status = 422, description = "something cannot be as ordered; errors names each")))]
pub(super) async fn order(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    extract::Json(order): extract::Json<OrderDeployment>,
) -> Result<(StatusCode, Json<Deployment>), Problem> {
    let place = Place {
        id: optional("id", order.id)?,
        client: field("clientId", &order.client_id)?,
        device: optional("deviceId", order.device_id)?,
    };
    let order = NewOrder {
        application: field("applicationId", &order.application_id)?,
        name: optional("name", order.name)?,
        content: content(order.version, order.parameters, order.reason)?,
    };
    let view = fleet.order(&operator.name, &order, place, clock::now()).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(answers::deployment(&view))))
}

/// Orders the same application in many places, each decided for itself. All that is ordered is durable when
/// the answer comes; where none comes the request can be sent again, with the same ids.
#[utoipa::path(post, path = "/deployments/batch", operation_id = "orderDeployments",
    request_body = OrderDeployments,
    responses((status = 200, description = "what came of each place, in the order of the places",
            body = Page<PlaceOutcome>),
        (status = 422, description = "the order cannot be as it is anywhere; errors names why")))]
pub(super) async fn order_all(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    extract::Json(order): extract::Json<OrderDeployments>,
) -> Result<Json<Page<PlaceOutcome>>, Problem> {
    let places = places(order.places)?;
    let order = NewOrder {
        application: field("applicationId", &order.application_id)?,
        name: optional("name", order.name)?,
        content: content(order.version, order.parameters, order.reason)?,
    };
    let outcomes = fleet.order_all(&operator.name, &order, &places, clock::now()).await;
    let outcomes = outcomes.map_err(refused)?;
    let outcome = |(place, outcome): (&Place, Result<DeploymentId, OrderError>)| PlaceOutcome {
        client_id: place.client.to_string(),
        deployment_id: outcome.as_ref().ok().map(ToString::to_string),
        refusal: outcome.err().map(refused).map(refusal),
    };
    Ok(Json(Page::whole(places.iter().zip(outcomes).map(outcome).collect())))
}

fn refusal(problem: Problem) -> PlaceRefusal {
    PlaceRefusal { status: problem.status(), detail: problem.into_detail() }
}

/// The places of an order; no two have the same id.
fn places(given: Vec<operator_api::Place>) -> Result<Vec<Place>, Problem> {
    if given.is_empty() || given.len() > MOST_PLACES {
        let message = format!("has {} places, not 1 to {MOST_PLACES}", given.len());
        return Err(fault("places", message));
    }
    let mut ids = BTreeSet::new();
    let mut places = Vec::with_capacity(given.len());
    for (number, place) in given.into_iter().enumerate() {
        let name = |member: &str| format!("places[{number}].{member}");
        let id = optional(&name("id"), place.id)?;
        if id.is_some_and(|id| !ids.insert(id)) {
            return Err(fault(&name("id"), "is that of another place".to_owned()));
        }
        places.push(Place {
            id,
            client: field(&name("clientId"), &place.client_id)?,
            device: optional(&name("deviceId"), place.device_id)?,
        });
    }
    Ok(places)
}

/// One deployment.
#[utoipa::path(get, path = "/deployments/{deploymentId}", operation_id = "showDeployment",
    params(("deploymentId" = String, Path)),
    responses((status = 200, body = Deployment), (status = 404, description = "unknown")))]
pub(super) async fn show(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
) -> Result<Json<Deployment>, Problem> {
    let view = fleet.deployment(deployment_id(&id)?).await;
    let view = view.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answers::deployment(&view.ok_or_else(unknown)?)))
}

/// Orders other content for a deployment. What is not given stays as it is.
#[utoipa::path(patch, path = "/deployments/{deploymentId}", operation_id = "updateDeployment",
    params(("deploymentId" = String, Path)), request_body = UpdateDeployment,
    responses((status = 200, body = Deployment), (status = 404, description = "unknown"),
        (status = 409, description = "it has been withdrawn, or something else was ordered meanwhile",
            body = OvertakenProblem, content_type = PROBLEM),
        (status = 422, description = "something cannot be as ordered; errors names each")))]
pub(super) async fn update(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(update): extract::Json<UpdateDeployment>,
) -> Result<Json<Deployment>, Problem> {
    let content = content(update.version, update.parameters, update.reason)?;
    let (id, seen) = (deployment_id(&id)?, update.ordered_event);
    let view = fleet.update(&operator.name, id, seen, content, clock::now()).await;
    let view = view.map_err(refused)?;
    Ok(Json(answers::deployment(&view)))
}

/// Withdraws a deployment: its device removes it.
#[utoipa::path(delete, path = "/deployments/{deploymentId}", operation_id = "withdrawDeployment",
    params(("deploymentId" = String, Path), Withdrawal),
    responses((status = 200, body = Deployment), (status = 404, description = "unknown"),
        (status = 409, description = "something else was ordered meanwhile",
            body = OvertakenProblem, content_type = PROBLEM),
        (status = 422, description = "the reason is too long")))]
pub(super) async fn withdraw(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    Query(Withdrawal { reason, ordered_event }): Query<Withdrawal>,
) -> Result<Json<Deployment>, Problem> {
    let (id, reason) = (deployment_id(&id)?, bounded(reason)?);
    match fleet.withdraw(&operator.name, id, ordered_event, reason, clock::now()).await {
        Ok(view) => Ok(Json(answers::deployment(&view))),
        Err(WithdrawError::Unknown) => Err(unknown()),
        Err(WithdrawError::Overtaken(overtaken)) => {
            let detail = "something else was ordered meanwhile; it is not withdrawn";
            Err(Problem::overtaken(detail, answers::conflict(&overtaken)))
        }
        Err(WithdrawError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

/// What happened to a deployment, the oldest first.
#[utoipa::path(get, path = "/deployments/{deploymentId}/events", operation_id = "listEvents",
    params(("deploymentId" = String, Path), After),
    responses((status = 200, body = Page<DeploymentEvent>), (status = 404, description = "unknown")))]
pub(super) async fn events(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Json<Page<DeploymentEvent>>, Problem> {
    let events = fleet.deployment_events(deployment_id(&id)?, after.unwrap_or_default()).await;
    let events = events.map_err(|error| Problem::internal(&error))?.ok_or_else(unknown)?;
    Ok(Json(Page::whole(events.iter().map(answers::event).collect())))
}

fn content(
    version: Option<String>,
    parameters: BTreeMap<String, ParameterInput>,
    reason: Option<String>,
) -> Result<NewContent, Problem> {
    let parameters = parameters.into_iter().map(|(name, value)| match value {
        ParameterInput::Text { text } => (name, GivenValue::Text(text)),
        ParameterInput::Json(value) => (name, GivenValue::Typed(value)),
    });
    Ok(NewContent {
        version: optional("version", version)?,
        parameters: parameters.collect(),
        reason: bounded(reason)?,
    })
}

/// A reason that fits into the history; none where it says nothing.
pub(super) fn bounded(reason: Option<String>) -> Result<Option<String>, Problem> {
    match reason {
        Some(reason) if reason.len() > LONGEST_REASON => {
            Err(fault("reason", format!("has more than {LONGEST_REASON} bytes")))
        }
        Some(reason) if reason.contains('\0') => {
            Err(fault("reason", "has a NUL character".to_owned()))
        }
        reason => Ok(reason.filter(|it| !it.trim().is_empty())),
    }
}

fn field<T: FromStr<Err = InvalidId>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: InvalidId| fault(name, error.to_string()))
}

pub(super) fn optional<T: FromStr<Err = InvalidId>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    text.map(|it| field(name, &it)).transpose()
}

pub(super) fn fault(field: &str, message: String) -> Problem {
    let errors = vec![FieldError { field: field.to_owned(), message: message.clone() }];
    Problem::semantic(message, errors)
}

fn refused(error: OrderError) -> Problem {
    let message = error.to_string();
    match error {
        OrderError::UnknownDeployment(_) => unknown(),
        OrderError::ApplicationAlreadyThere(_, overtaken) | OrderError::Overtaken(overtaken) => {
            Problem::overtaken(message, answers::conflict(&overtaken))
        }
        OrderError::NotApproved(_)
        | OrderError::NameTaken(_)
        | OrderError::IdTaken(_)
        | OrderError::Reorder(_) => Problem::conflict(message),
        OrderError::UnknownClient(_) => fault("clientId", message),
        OrderError::UnknownApplication(_) => fault("applicationId", message),
        OrderError::NoDevice | OrderError::WhichDevice(_) | OrderError::UnknownDevice(_) => {
            fault("deviceId", message)
        }
        OrderError::NotEligible { .. } => fault("deviceId", message),
        OrderError::Parameters(faults) => {
            let errors = faults.into_iter().map(|it| {
                let value = it.value.map(|it| format!("{it} ")).unwrap_or_default();
                let message = format!("{value}{}", it.message);
                FieldError { field: format!("parameters.{}", it.parameter), message }
            });
            Problem::semantic(message, errors.collect())
        }
        OrderError::Fleet(error) => Problem::internal(&error),
    }
}

fn deployment_id(text: &str) -> Result<DeploymentId, Problem> {
    text.parse().map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::not_found("there is no such deployment")
}
