//! `POST /api/v1/clients/{clientId}/deployments/{deploymentId}/status`
//!
//! A client says how far its device has got with a deployment. The document becomes a [`Report`] here
//! and goes no further.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use fleet_domain::deployment::{Failure, Heard, Progress, Report, ReportRefused};
use fleet_domain::ids::{ComponentName, DeploymentId, RevisionNumber};
use margo_contract::deployment_status::{DeploymentStatus, State as Named, Status};
use margo_contract::problem::FieldError;

use super::schemas;
use crate::clock;
use crate::extract::{JsonBytes, Path};
use crate::fleet::{Fleet, RecordReportError};
use crate::identity::VerifiedClient;
use crate::problem::Problem;

/// Ours: the manifest version that the client has taken up; the signed profile's body has no field
/// for it (contract §7.4, §16.3).
const ADOPTED: &str = "gantry-adopted-manifest-version";

/// How far a device has got with one of its deployments.
// margo(S-5): 201 for the first report, 200 after that.
#[utoipa::path(post, path = "/api/v1/clients/{clientId}/deployments/{deploymentId}/status",
    operation_id = "reportStatus",
    params(("Gantry-Adopted-Manifest-Version" = Option<i64>, Header, minimum = 1, nullable = false,
        description = "The version of the manifest that the device has taken up, and that the report is about. An addition of Gantry.")),
    request_body = schemas::DeploymentStatus,
    responses((status = 201, description = "the first report about the deployment is taken"),
        (status = 200, description = "a further report is taken"),
        (status = 404, description = "this client has no such deployment"),
        (status = 422, description = "the report breaks rules, or contradicts itself; `errors` names each field")))]
pub(super) async fn post(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, deployment)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<StatusCode, Problem> {
    let id = deployment.parse::<DeploymentId>().map_err(|_| unknown())?;
    let status = DeploymentStatus::parse_about(&body, id.as_uuid())?;
    let adopted = adopted(&headers, &status)?;
    let report = report(status)?;
    match fleet.record_report(&client, id, report, adopted, clock::now()).await {
        Ok(Heard::First) => Ok(StatusCode::CREATED),
        Ok(Heard::Again) => Ok(StatusCode::OK),
        // margo(A-8): the deployment of another client is answered like one that does not exist.
        Err(RecordReportError::UnknownDeployment) => Err(unknown()),
        Err(RecordReportError::Refused(error)) => Err(refused("components", error.to_string())),
        Err(RecordReportError::Fleet(error)) => Err(error.into()),
    }
}

fn adopted(
    headers: &HeaderMap,
    status: &DeploymentStatus,
) -> Result<Option<RevisionNumber>, Problem> {
    let Some(header) = headers.get(ADOPTED) else {
        return Ok(status.adopted_manifest_version.and_then(RevisionNumber::new));
    };
    let number = header.to_str().ok().and_then(|it| it.parse().ok()).and_then(RevisionNumber::new);
    number.map(Some).ok_or_else(|| {
        Problem::malformed(format!("the header {ADOPTED} has to be a version from 1"))
    })
}

fn report(status: DeploymentStatus) -> Result<Report, Problem> {
    let mut components = Vec::new();
    for component in status.components {
        let name: ComponentName =
            component.name.parse().map_err(|error: fleet_domain::ids::InvalidId| {
                refused("components", error.to_string())
            })?;
        components.push((name, progress(component.status)));
    }
    Report::new(progress(status.status), components)
        .map_err(|error: ReportRefused| refused("components", error.to_string()))
}

fn progress(status: Status) -> Progress {
    match status.state {
        Named::Pending => Progress::Pending,
        Named::Installing => Progress::Installing,
        Named::Installed => Progress::Installed,
        Named::Removing => Progress::Removing,
        Named::Removed => Progress::Removed,
        Named::Failed => {
            let error = status.error.unwrap_or_default();
            Progress::Failed(Failure {
                code: error.code,
                source: error.source,
                message: error.message,
            })
        }
    }
}

fn refused(field: &str, message: String) -> Problem {
    let errors = vec![FieldError { field: field.to_owned(), message: message.clone() }];
    Problem::semantic(message, errors)
}

// margo(S-7).
fn unknown() -> Problem {
    Problem::not_found("this client has no such deployment")
}
