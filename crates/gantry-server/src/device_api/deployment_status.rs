//! `POST /api/v1/clients/{clientId}/deployments/{deploymentId}/status`
//!
//! A client says how far its device has got with a deployment. The document becomes a [`Report`] here
//! and goes no further.

use std::collections::BTreeSet;
use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use fleet_domain::deployment::{Failure, Heard, Progress, Report, ReportRefused};
use fleet_domain::ids::{ComponentName, DeploymentId, InvalidId, RevisionNumber};
use margo_contract::deployment_status::{DeploymentStatus, State as Named, Status};
use margo_contract::document::DocumentError;
use margo_contract::problem::FieldError;

use super::schemas;
use crate::clock;
use crate::extract::{JsonBytes, Path};
use crate::fleet::{Fleet, RecordReportError, Reportable};
use crate::identity::VerifiedClient;
use crate::listener::NothingMore;
use crate::problem::Problem;

/// Ours: the manifest version that the client has taken up; the signed profile's body has no field
/// for it.
// margo(V-1, SP-53)
const ADOPTED: &str = "gantry-adopted-manifest-version";

/// How far a device has got with one of its deployments.
// margo(SP-8, S-5): 201 for the first report, 200 after that.
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
) -> Result<Response, Problem> {
    let id = deployment.parse::<DeploymentId>().map_err(|_| unknown())?;
    let refused = Refused { fleet: &fleet, client: &client, id, headers: &headers, body: &body };
    let status = match DeploymentStatus::parse_about(&body, id.as_uuid()) {
        Ok(status) => status,
        Err(DocumentError::Semantic(_)) => return Err(refused.problem(None).await),
        Err(malformed) => return Err(malformed.into()),
    };
    let adopted = adopted(&headers, &status)?;
    let has_told_all = is_settled(status.status.state) && !client.has_more_to_deliver();
    match fleet.record_report(&client, id, report(status)?, adopted, clock::now()).await {
        Ok(Heard::First) => Ok(taken(StatusCode::CREATED, has_told_all)),
        Ok(Heard::Again) => Ok(taken(StatusCode::OK, has_told_all)),
        // margo(A-8): the deployment of another client is answered like one that does not exist.
        Err(RecordReportError::UnknownDeployment) => Err(unknown()),
        Err(RecordReportError::Refused(error)) => Err(refused.problem(Some(error)).await),
        Err(RecordReportError::Fleet(error)) => Err(error.into()),
    }
}

/// Whether the device is not at work on the deployment.
fn is_settled(state: Named) -> bool {
    match state {
        Named::Installed | Named::Removed | Named::Failed => true,
        Named::Pending | Named::Installing | Named::Removing => false,
    }
}

fn taken(status: StatusCode, has_told_all: bool) -> Response {
    let mut answer = status.into_response();
    if has_told_all {
        answer.extensions_mut().insert(NothingMore);
    }
    answer
}

fn adopted(
    headers: &HeaderMap,
    status: &DeploymentStatus,
) -> Result<Option<RevisionNumber>, Problem> {
    if !headers.contains_key(ADOPTED) {
        return Ok(status.adopted_manifest_version.and_then(RevisionNumber::new));
    }
    adopted_header(headers).map(Some).ok_or_else(|| {
        Problem::malformed(format!("the header {ADOPTED} has to be a version from 1"))
    })
}

fn adopted_header(headers: &HeaderMap) -> Option<RevisionNumber> {
    headers.get(ADOPTED)?.to_str().ok()?.parse().ok().and_then(RevisionNumber::new)
}

fn report(status: DeploymentStatus) -> Result<Report, Problem> {
    let mut components = Vec::new();
    for component in status.components {
        let name: ComponentName =
            component.name.parse().map_err(|error: InvalidId| one_fault("components", &error))?;
        components.push((name, progress(component.status)));
    }
    Report::new(progress(status.status), components)
        .map_err(|error| one_fault("components", &error))
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

/// A report that is not taken. All that is wrong with it is told in one answer, and for that it is
/// held against the deployment again.
struct Refused<'a> {
    fleet: &'a Fleet,
    client: &'a VerifiedClient,
    id: DeploymentId,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Refused<'_> {
    // margo(DS-4, PD-3)
    async fn problem(&self, because: Option<ReportRefused>) -> Problem {
        let known = match self.fleet.reportable(self.client, self.id).await {
            Ok(known) => known,
            Err(error) => return error.into(),
        };
        let mut faults = match &known {
            Some(known) => self.faults_in_view_of(known),
            None => faults(DeploymentStatus::parse_about(self.body, self.id.as_uuid())),
        };
        faults.extend(known.and_then(|it| self.unpublished(it.newest)));
        match because {
            Some(ReportRefused::Gone) => faults.push(fault("status.state", &ReportRefused::Gone)),
            Some(because) if faults.is_empty() => faults.push(fault("components", &because)),
            Some(_) | None => {}
        }
        Problem::semantic("the report breaks rules; `errors` names each", faults)
    }

    /// A report on former content is judged by that.
    fn faults_in_view_of(&self, known: &Reportable) -> Vec<FieldError> {
        let judged = |components: &BTreeSet<ComponentName>| {
            let components: Vec<&str> = components.iter().map(ComponentName::as_str).collect();
            faults(DeploymentStatus::parse_of(self.body, self.id.as_uuid(), &components))
        };
        let newest = judged(&known.components);
        if known.former_components.is_empty() {
            return newest;
        }
        let former = judged(&known.former_components);
        if former.len() < newest.len() { former } else { newest }
    }

    /// The fault of a version that has not been published.
    fn unpublished(&self, newest: RevisionNumber) -> Option<FieldError> {
        let field = "adoptedManifestVersion";
        let document = || {
            let document: serde_json::Value = serde_json::from_slice(self.body).ok()?;
            document.get(field)?.as_u64().and_then(RevisionNumber::new)
        };
        let (field, adopted) = match adopted_header(self.headers) {
            Some(adopted) => (ADOPTED, adopted),
            None => (field, document()?),
        };
        let (adopted, newest) = (adopted.get(), newest.get());
        (adopted > newest)
            .then(|| fault(field, &ReportRefused::UnpublishedRevision { adopted, newest }))
    }
}

fn faults(parsed: Result<DeploymentStatus, DocumentError>) -> Vec<FieldError> {
    match parsed {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().iter().map(|it| fault(&it.field, &it.message)).collect(),
    }
}

fn fault(field: &str, message: &dyn fmt::Display) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_string() }
}

fn one_fault(field: &str, message: &dyn fmt::Display) -> Problem {
    Problem::semantic(message.to_string(), vec![fault(field, message)])
}

// margo(S-7).
fn unknown() -> Problem {
    Problem::not_found("this client has no such deployment")
}
