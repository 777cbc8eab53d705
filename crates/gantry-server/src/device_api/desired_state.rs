//! Manifest, documents, bundles and packages of a client (contract §6, §16.1).

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fleet_domain::ids::{DeploymentId, Sha256};
use margo_contract::problem::ProblemType;
use margo_contract::{bundle, state_manifest};

use super::conditional::{Tagged, accepts, digests, has, not_modified};
use super::schemas::{ApplicationDeployment, StateManifest};
use crate::clock;
use crate::extract::Path;
use crate::fleet::{Fleet, FleetError};
use crate::identity::VerifiedClient;
use crate::metrics::Way;
use crate::openapi::Binary;
use crate::problem::{Problem, Reason};
use crate::room::Held;
use crate::server::Server;

// margo(SP-60, K-2, K-3, X-18)
const MANIFEST_CACHING: &str = "private, no-cache";
// margo(SP-60, K-3, X-18)
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// The client's desired state: which documents make it up.
///
/// Ask with `If-None-Match` and the tag of the manifest that you have: 304 means that nothing has changed.
// margo(SM-2, SM-3, SP-5, H-5)
#[utoipa::path(get, path = "/api/v1/clients/{clientId}/deployments", operation_id = "getManifest",
    responses((status = 200, body = StateManifest, content_type = "application/vnd.margo.manifest.v1+json"),
        (status = 406, description = "`Accept` leaves out the manifest's media type")))]
pub(super) async fn get_manifest(
    State(server): State<Server>,
    client: VerifiedClient,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !accepts(&headers, state_manifest::MEDIA_TYPE) {
        return Err(Problem::new(
            ProblemType::ServerCannotGenerateResponse,
            StatusCode::NOT_ACCEPTABLE,
            Reason::NotAcceptable,
            format!("the manifest comes as {} only", state_manifest::MEDIA_TYPE),
        ));
    }
    let fleet = &server.fleet;
    let now = clock::now();
    let newest = fleet.manifest_digest(client.id(), now).await;
    let etag = quoted(newest.map_err(|error| Problem::internal(&error))?);
    let is_new = !has(&headers, &etag);
    server.metrics.polls.count(Way::Http, is_new);
    if !is_new {
        return Ok(not_modified(&etag, MANIFEST_CACHING));
    }
    let recovered = fleet.recover_from_manifests(client.id(), &digests(&headers), now).await;
    recovered.map_err(|error| Problem::internal(&error))?;
    let manifest = fleet.manifest(client.id()).await;
    let manifest = manifest.map_err(|error| Problem::internal(&error))?;
    let tagged = Tagged {
        etag: quoted(manifest.digest),
        bytes: Bytes::from_owner(Held::new(manifest.bytes)?),
        content_type: state_manifest::MEDIA_TYPE,
        cache_control: MANIFEST_CACHING,
    };
    Ok(tagged.answer(&headers))
}

/// The document of one deployment, as the manifest names it: an `ApplicationDeployment` in YAML.
// margo(D-10, D-11, D-13, SP-6)
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
        Some((deployment, digest)) => held(fleet.document(client.id(), deployment, digest).await),
        None => Ok(None),
    };
    let detail = "there is no document with this id and digest";
    immutable(bytes, &digest, "application/yaml", ProblemType::DeploymentNotFound, detail, &headers)
}

/// All documents of a manifest, in one tar.gz.
// margo(D-20, D-21, D-27, SP-7)
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
        Ok(digest) => held(fleet.bundle(client.id(), digest).await),
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
        Ok(digest) => match fleet.package(client.id(), digest).await {
            Ok(package) => Ok(package.map(Bytes::from_owner)),
            Err(error) => Err(error.into()),
        },
        Err(_) => Ok(None),
    };
    let detail = "no deployment of this client has a package with this digest";
    immutable(bytes, &digest, "application/gzip", ProblemType::Blank, detail, &headers)
}

fn held(bytes: Result<Option<Vec<u8>>, FleetError>) -> Result<Option<Bytes>, Problem> {
    let Some(bytes) = bytes? else { return Ok(None) };
    Ok(Some(Bytes::from_owner(Held::new(bytes)?)))
}

// margo(X-17, H-3, D-13)
fn immutable(
    bytes: Result<Option<Bytes>, Problem>,
    digest: &str,
    content_type: &'static str,
    missing: ProblemType,
    detail: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let bytes = bytes?
        .ok_or_else(|| Problem::new(missing, StatusCode::NOT_FOUND, Reason::NotFound, detail))?;
    let etag = quoted(digest);
    Ok(Tagged { bytes, etag, content_type, cache_control: IMMUTABLE }.answer(headers))
}

/// A digest as an entity tag, margo(H-3)
fn quoted(digest: impl Display) -> String {
    format!("\"{digest}\"")
}
