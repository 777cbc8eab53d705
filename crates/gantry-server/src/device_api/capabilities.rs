//! `POST`, `PUT` and `DELETE /api/v1/clients/{clientId}/capabilities[/{deviceId}]`

use axum::extract::State;
use axum::http::StatusCode;
use fleet_domain::ids::DeviceId;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::problem::{FieldError, ProblemType};

use super::schemas;
use crate::clock;
use crate::extract::{JsonBytes, Path};
use crate::fleet::{Fleet, RecordCapabilitiesError};
use crate::identity::VerifiedClient;
use crate::problem::{Problem, Reason};

/// The largest description of a device, in bytes: many of them are kept.
const LARGEST_DOCUMENT: usize = 64 << 10;

/// A client says what its device has.
// margo(SP-3, SP-56): 201 for POST and PUT, changed or not.
#[utoipa::path(post, path = "/api/v1/clients/{clientId}/capabilities", operation_id = "reportCapabilities",
    request_body = schemas::DeviceCapabilities, responses(Recorded))]
pub(super) async fn post(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    JsonBytes(body): JsonBytes,
) -> Result<StatusCode, Problem> {
    record(&fleet, &client, None, &body).await
}

/// A client says anew what its device has.
#[utoipa::path(put, path = "/api/v1/clients/{clientId}/capabilities", operation_id = "replaceCapabilities",
    request_body = schemas::DeviceCapabilities, responses(Recorded))]
pub(super) async fn put(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    JsonBytes(body): JsonBytes,
) -> Result<StatusCode, Problem> {
    record(&fleet, &client, None, &body).await
}

/// A client says what one of its devices has.
// margo(X-02).
#[utoipa::path(post, path = "/api/v1/clients/{clientId}/capabilities/{*deviceId}",
    operation_id = "reportCapabilitiesOfDevice",
    request_body = schemas::DeviceCapabilities, responses(Recorded))]
pub(super) async fn post_of_device(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, device)): Path<(String, String)>,
    JsonBytes(body): JsonBytes,
) -> Result<StatusCode, Problem> {
    record(&fleet, &client, Some(&device), &body).await
}

/// A client says anew what one of its devices has.
#[utoipa::path(put, path = "/api/v1/clients/{clientId}/capabilities/{*deviceId}",
    operation_id = "replaceCapabilitiesOfDevice",
    request_body = schemas::DeviceCapabilities, responses(Recorded))]
pub(super) async fn put_of_device(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, device)): Path<(String, String)>,
    JsonBytes(body): JsonBytes,
) -> Result<StatusCode, Problem> {
    record(&fleet, &client, Some(&device), &body).await
}

/// A client takes a device back.
// margo(SP-4, C-8, GW-4)
#[utoipa::path(delete, path = "/api/v1/clients/{clientId}/capabilities/{*deviceId}", operation_id = "removeDevice",
    responses((status = 204, description = "the client no longer speaks for the device"),
        (status = 404, description = "this client has no such device")))]
pub(super) async fn delete(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, device)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let known = match device.parse::<DeviceId>() {
        Ok(device) => fleet.forget_device(&client, &device, clock::now()).await,
        Err(_) => Ok(false),
    };
    if known? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("this client has no device `{device}`");
    let status = StatusCode::NOT_FOUND;
    Err(Problem::new(ProblemType::DeviceNotFound, status, Reason::NotFound, detail))
}

/// How a description of a device is answered.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is for the OpenAPI document")]
enum Recorded {
    #[response(status = 201, description = "it is known, changed or not")]
    Known,
    #[response(
        status = 404,
        description = "the gateway that the device stands behind is not known"
    )]
    NoGateway,
    #[response(status = 409, description = "the client speaks for too many devices")]
    TooMany,
    #[response(status = 413, description = "it has more than 64 KiB")]
    TooLarge,
    #[response(status = 422, description = "the document breaks rules; `errors` names each field")]
    BreaksRules,
}

// margo(C-6, DC-5)
async fn record(
    fleet: &Fleet,
    client: &VerifiedClient,
    addressed: Option<&str>,
    body: &[u8],
) -> Result<StatusCode, Problem> {
    if body.len() > LARGEST_DOCUMENT {
        return Err(Problem::too_large(LARGEST_DOCUMENT));
    }
    let capabilities = match addressed {
        Some(addressed) => DeviceCapabilities::parse_about(body, addressed),
        None => DeviceCapabilities::parse(body),
    }?;
    let device = capabilities.id.parse::<DeviceId>().map_err(|error| {
        let (field, message) = ("properties.id".to_owned(), error.to_string());
        Problem::semantic(message.clone(), vec![FieldError { field, message }])
    })?;
    let reported = std::str::from_utf8(body).map_err(|_| Problem::malformed("not UTF-8"))?;
    match fleet.record_capabilities(client, device, reported, clock::now()).await {
        Ok(()) => Ok(StatusCode::CREATED),
        Err(error @ RecordCapabilitiesError::UnknownGateway(_)) => Err(Problem::new(
            ProblemType::GatewayNotFound,
            StatusCode::NOT_FOUND,
            Reason::NotFound,
            error.to_string(),
        )),
        Err(error @ RecordCapabilitiesError::TooMany) => Err(Problem::conflict(error.to_string())),
        Err(RecordCapabilitiesError::Fleet(error)) => Err(error.into()),
    }
}
