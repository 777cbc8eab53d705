//! Applications, as operators add and remove them.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use fleet_domain::ids::{ApplicationId, ApplicationVersion};
use margo_contract::document::DocumentError;
use margo_contract::problem::FieldError;
use operator_api::{Application, ApplicationSummary, Page};

use super::{LARGEST_UPLOAD, answers};
use crate::clock;
use crate::extract::{self, Path, media_type};
use crate::fleet::{AddApplicationError, Fleet, RemoveApplicationError};
use crate::identity::VerifiedOperator;
use crate::openapi::Binary;
use crate::package::{Package, PackageError};
use crate::problem::Problem;
use crate::server::Server;

const MEDIA_TYPES: [&str; 4] =
    ["application/gzip", "application/x-tar", "application/x-gzip", "application/octet-stream"];

/// All versions of all applications.
#[utoipa::path(get, path = "/applications", operation_id = "listApplications",
    responses((status = 200, body = Page<ApplicationSummary>)))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
) -> Result<Json<Page<ApplicationSummary>>, Problem> {
    let applications = fleet.applications().await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(Page::whole(applications.iter().map(answers::application_summary).collect())))
}

/// Adds an application package: a tar or tar.gz with margo.yaml in its root.
#[utoipa::path(post, path = "/applications", operation_id = "addApplication",
    request_body(content = inline(Binary), content_type = "application/gzip"),
    responses((status = 201, body = Application), (status = 200, body = Application),
        (status = 409, description = "the version is there with other content"),
        (status = 413, description = "too large"), (status = 415, description = "not a tar"),
        (status = 422, description = "the package is not as it has to be")))]
pub(super) async fn add(
    State(server): State<Server>,
    operator: VerifiedOperator,
    request: Request,
) -> Result<(StatusCode, Json<Application>), Problem> {
    extract::refuse_encoding(request.headers())?;
    if !MEDIA_TYPES.contains(&media_type(request.headers()).as_str()) {
        return Err(Problem::unsupported_media_type("application/gzip or application/x-tar"));
    }
    let bytes = extract::read(request.into_body(), LARGEST_UPLOAD).await?;
    // Unpacking is work for the processor: other requests must not wait for it.
    let package = tokio::task::spawn_blocking(move || Package::read(&bytes)).await;
    let package = package.map_err(|error| Problem::internal(&error))?.map_err(refused)?;
    match server.fleet.add_application(&operator.name, package, clock::now()).await {
        Ok((application, is_new)) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, Json(answers::application(&application))))
        }
        Err(error @ AddApplicationError::OtherContent(..)) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(AddApplicationError::Id(error)) => {
            Err(fault("margo.yaml: metadata.version", error.to_string()))
        }
        Err(AddApplicationError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

/// The versions of one application, the newest first.
#[utoipa::path(get, path = "/applications/{applicationId}", operation_id = "listVersions",
    params(("applicationId" = String, Path)),
    responses((status = 200, body = Page<Application>), (status = 404, description = "unknown")))]
pub(super) async fn versions(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path(id): Path<String>,
) -> Result<Json<Page<Application>>, Problem> {
    let id: ApplicationId = id.parse().map_err(|_| unknown())?;
    let versions = fleet.versions(&id).await.map_err(|error| Problem::internal(&error))?;
    if versions.is_empty() {
        return Err(unknown());
    }
    Ok(Json(Page::whole(versions.iter().map(answers::application).collect())))
}

/// One version of an application.
#[utoipa::path(get, path = "/applications/{applicationId}/{version}", operation_id = "showApplication",
    params(("applicationId" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Application), (status = 404, description = "unknown")))]
pub(super) async fn show(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
    Path((id, version)): Path<(String, String)>,
) -> Result<Json<Application>, Problem> {
    let (id, version) = named(&id, &version)?;
    let application = fleet.application(&id, &version).await;
    let application = application.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answers::application(&application.ok_or_else(unknown)?)))
}

/// Removes one version of an application that no deployment wants.
#[utoipa::path(delete, path = "/applications/{applicationId}/{version}", operation_id = "removeApplication",
    params(("applicationId" = String, Path), ("version" = String, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "unknown"),
        (status = 409, description = "a deployment of it is wanted")))]
pub(super) async fn remove(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path((id, version)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, version) = named(&id, &version)?;
    match fleet.remove_application(&operator.name, &id, &version, clock::now()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(RemoveApplicationError::Unknown) => Err(unknown()),
        Err(error @ RemoveApplicationError::InUse) => Err(Problem::conflict(error.to_string())),
        Err(RemoveApplicationError::Fleet(error)) => Err(Problem::internal(&error)),
    }
}

fn named(id: &str, version: &str) -> Result<(ApplicationId, ApplicationVersion), Problem> {
    id.parse().ok().zip(version.parse().ok()).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("there is no such application")
}

fn refused(error: PackageError) -> Problem {
    match error {
        PackageError::Description(DocumentError::Malformed(error)) => {
            fault("margo.yaml", format!("margo.yaml cannot be read: {error}"))
        }
        PackageError::Description(error) => {
            let mut errors: Vec<FieldError> = Vec::new();
            for fault in error.faults() {
                let field = format!("margo.yaml: {}", fault.field);
                errors.push(FieldError { field, message: fault.message.clone() });
            }
            Problem::semantic("margo.yaml cannot be used as it is", errors)
        }
        error => fault("package", crate::problem::chain(&error)),
    }
}

fn fault(field: &str, message: String) -> Problem {
    let errors = vec![FieldError { field: field.to_owned(), message: message.clone() }];
    Problem::semantic(message, errors)
}
