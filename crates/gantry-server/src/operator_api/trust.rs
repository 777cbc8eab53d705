//! Certificates that operators bring: authorities that vouch for clients, and those of single clients.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fleet_domain::ids::Sha256;
use fleet_store::Authority;
use margo_contract::problem::FieldError;
use operator_api::{Client, GivenCertificate, Page, TrustedAuthority};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::answers;
use super::clients::{client_id, unknown};
use super::deployments::bounded;
use crate::certificate::{self, Certificate};
use crate::clock::{self, rfc3339};
use crate::extract::{self, Path};
use crate::fleet::{Fleet, RegisterError, TrustError};
use crate::identity::VerifiedOperator;
use crate::problem::Problem;

/// The authorities that vouch for clients, the oldest first.
#[utoipa::path(get, path = "/trust", operation_id = "listAuthorities",
    responses((status = 200, body = Page<TrustedAuthority>)))]
pub(super) async fn list(
    State(fleet): State<Fleet>,
    _: VerifiedOperator,
) -> Result<Json<Page<TrustedAuthority>>, Problem> {
    let authorities = fleet.authorities().await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(Page::whole(authorities.iter().map(answer).collect())))
}

/// Trusts an authority: clients with a certificate of it are let in.
#[utoipa::path(post, path = "/trust", operation_id = "addAuthority", request_body = GivenCertificate,
    responses((status = 201, body = TrustedAuthority),
        (status = 409, description = "it is trusted already, or there are too many"),
        (status = 422, description = "it is not the certificate of an authority, or the reason is too long")))]
pub(super) async fn add(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    extract::Json(given): extract::Json<GivenCertificate>,
) -> Result<(StatusCode, Json<TrustedAuthority>), Problem> {
    let certificate = read(&given.certificate)?;
    certificate.check_authority().map_err(|error| fault(error.to_string()))?;
    let reason = bounded(given.reason)?;
    match fleet.trust(&operator.name, certificate, reason.as_deref(), clock::now()).await {
        Ok(authority) => Ok((StatusCode::CREATED, Json(answer(&authority)))),
        Err(TrustError::Fleet(error)) => Err(Problem::internal(&error)),
        Err(error) => Err(Problem::conflict(error.to_string())),
    }
}

/// Trusts an authority no more. Whom it vouched for stays in.
#[utoipa::path(delete, path = "/trust/{fingerprint}", operation_id = "removeAuthority",
    params(("fingerprint" = String, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "unknown")))]
pub(super) async fn remove(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(fingerprint): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found("there is no such authority");
    let fingerprint: Sha256 = fingerprint.parse().map_err(|_| unknown())?;
    let known = fleet.distrust(&operator.name, &fingerprint, clock::now()).await;
    let known = known.map_err(|error| Problem::internal(&error))?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

/// Lets the owner of a certificate in before it has ever called.
#[utoipa::path(post, path = "/clients", operation_id = "registerClient",
    request_body = GivenCertificate,
    responses((status = 201, body = Client),
        (status = 409, description = "a client has this key already"),
        (status = 422, description = "it is not a certificate that can be used, or the reason is too long")))]
pub(super) async fn register(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    extract::Json(given): extract::Json<GivenCertificate>,
) -> Result<(StatusCode, Json<Client>), Problem> {
    let (certificate, now) = (read(&given.certificate)?, clock::now());
    let reason = bounded(given.reason)?;
    let view = fleet.register_client(&operator.name, &certificate, reason, now).await;
    Ok((StatusCode::CREATED, Json(answers::client(&view.map_err(refused)?, now))))
}

/// Announces the certificate with which a client comes next. Until then the one that it has counts.
#[utoipa::path(post, path = "/clients/{clientId}/certificate", operation_id = "renewClient",
    params(("clientId" = String, Path)), request_body = GivenCertificate,
    responses((status = 200, body = Client), (status = 404, description = "no such client"),
        (status = 409, description = "it is not approved, or another client has this key or is to get it"),
        (status = 422, description = "it is not a certificate that can be used, or the reason is too long")))]
pub(super) async fn renew(
    State(fleet): State<Fleet>,
    operator: VerifiedOperator,
    Path(id): Path<String>,
    extract::Json(given): extract::Json<GivenCertificate>,
) -> Result<Json<Client>, Problem> {
    let (id, now) = (client_id(&id)?, clock::now());
    let (certificate, reason) = (read(&given.certificate)?, bounded(given.reason)?);
    let view = fleet.renew_client(&operator.name, id, &certificate, reason, now).await;
    Ok(Json(answers::client(&view.map_err(refused)?, now)))
}

/// The one certificate of a PEM text, which has to count now.
fn read(pem: &str) -> Result<Certificate, Problem> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
    let (Some(Ok(der)), None) = (found.next(), found.next()) else {
        return Err(fault("it has to be one certificate in PEM".to_owned()));
    };
    let certificate = Certificate::read(der.to_vec()).map_err(|error| fault(error.to_string()))?;
    certificate.check_validity(clock::now()).map_err(|error| fault(error.to_string()))?;
    Ok(certificate)
}

fn fault(message: String) -> Problem {
    let errors = vec![FieldError { field: "certificate".to_owned(), message: message.clone() }];
    Problem::semantic(message, errors)
}

fn refused(error: RegisterError) -> Problem {
    match error {
        RegisterError::Unknown => unknown(),
        RegisterError::Fleet(error) => Problem::internal(&error),
        RegisterError::KeyInUse(_) | RegisterError::Announced(_) | RegisterError::NotApproved => {
            Problem::conflict(error.to_string())
        }
    }
}

fn answer(authority: &Authority) -> TrustedAuthority {
    TrustedAuthority {
        fingerprint: authority.fingerprint.to_string(),
        name: authority.name.clone(),
        expires_at: certificate::expiry(&authority.certificate_der).map(rfc3339),
        added_by: authority.added_by.to_string(),
        added_at: rfc3339(authority.added_at),
    }
}
