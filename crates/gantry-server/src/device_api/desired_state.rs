//! Manifest, documents, bundles and packages of a client (contract §6, §16.1).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fleet_domain::ids::{DeploymentId, Sha256};
use margo_contract::problem::ProblemType;
use margo_contract::{bundle, state_manifest};

use super::conditional::{Tagged, accepts};
use super::schemas::{ApplicationDeployment, StateManifest};
use crate::clock;
use crate::extract::Path;
use crate::fleet::Fleet;
use crate::identity::VerifiedClient;
use crate::openapi::Binary;
use crate::problem::Problem;

// margo(§16.4).
const MANIFEST_CACHING: &str = "private, no-cache";
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// The client's desired state: which documents make it up.
///
/// Ask with `If-None-Match` and the tag of the manifest that you have: 304 means that nothing has changed.
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/deployments", operation_id = "getManifest",
    responses((status = 200, body = StateManifest, content_type = "application/vnd.margo.manifest.v1+json"),
        (status = 406, description = "`Accept` leaves out the manifest's media type")))]
pub(super) async fn get_manifest(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !accepts(&headers, state_manifest::MEDIA_TYPE) {
        return Err(Problem::new(
            ProblemType::ServerCannotGenerateResponse,
            StatusCode::NOT_ACCEPTABLE,
            format!("the manifest comes as {} only", state_manifest::MEDIA_TYPE),
        ));
    }
    let manifest = fleet.manifest(client.id(), clock::now()).await;
    let manifest = manifest.map_err(|error| Problem::internal(&error))?;
    let tagged = Tagged {
        etag: format!("\"{}\"", manifest.digest),
        bytes: manifest.bytes,
        content_type: state_manifest::MEDIA_TYPE,
        cache_control: MANIFEST_CACHING,
    };
    Ok(tagged.answer(&headers))
}

/// The document of one deployment, as the manifest names it: an `ApplicationDeployment` in YAML.
// margo(D-10, D-11).
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/deployments/{deploymentId}/{digest}",
    operation_id = "getDocument",
    responses((status = 200, body = ApplicationDeployment, content_type = "application/yaml"),
        (status = 404, description = "this client has no document with this id and digest")))]
pub(super) async fn get_document(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, deployment, digest)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let named = (deployment.parse::<DeploymentId>().ok()).zip(digest.parse::<Sha256>().ok());
    let bytes = match named {
        Some((deployment, digest)) => fleet.document(client.id(), deployment, digest).await,
        None => Ok(None),
    };
    let detail = "there is no document with this id and digest";
    immutable(bytes, &digest, "application/yaml", ProblemType::DeploymentNotFound, detail, &headers)
}

/// All documents of a manifest, in one tar.gz.
// margo(D-20, D-21, D-27).
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/bundles/{digest}", operation_id = "getBundle",
    responses((status = 200, body = inline(Binary), content_type = "application/vnd.margo.bundle.v1+tar+gzip"),
        (status = 404, description = "this client has no bundle with this digest")))]
pub(super) async fn get_bundle(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bytes = match digest.parse::<Sha256>() {
        Ok(digest) => fleet.bundle(client.id(), digest).await,
        Err(_) => Ok(None),
    };
    let detail = "there is no bundle with this digest";
    immutable(bytes, &digest, bundle::MEDIA_TYPE, ProblemType::InvalidBundle, detail, &headers)
}

/// A Compose archive that the fleet manager keeps, as a document of the client names it.
///
/// An addition of Gantry.
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/packages/{digest}", operation_id = "getPackage",
    responses((status = 200, body = inline(Binary), content_type = "application/gzip"),
        (status = 404, description = "no deployment of this client has a package with this digest")))]
pub(super) async fn get_package(
    State(fleet): State<Fleet>,
    client: VerifiedClient,
    Path((_client, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bytes = match digest.parse::<Sha256>() {
        Ok(digest) => fleet.package(client.id(), digest).await,
        Err(_) => Ok(None),
    };
    let detail = "no deployment of this client has a package with this digest";
    immutable(bytes, &digest, "application/gzip", ProblemType::Blank, detail, &headers)
}

fn immutable<E: std::error::Error>(
    bytes: Result<Option<Vec<u8>>, E>,
    digest: &str,
    content_type: &'static str,
    missing: ProblemType,
    detail: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let bytes = bytes
        .map_err(|error| Problem::internal(&error))?
        .ok_or_else(|| Problem::new(missing, StatusCode::NOT_FOUND, detail))?;
    let etag = format!("\"{digest}\"");
    Ok(Tagged { bytes, etag, content_type, cache_control: IMMUTABLE }.answer(headers))
}
