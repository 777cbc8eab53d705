//! Who is calling. Only this module makes a [`VerifiedClient`] or a [`VerifiedOperator`], so a handler
//! that takes one cannot be reached by anybody else.

mod keys;
mod replay;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fleet_domain::client::Standing;
use fleet_domain::ids::{ClientId, OperatorName};
use fleet_domain::permission::{Permission, Role};
use http_signature::{Received, SignatureError, Verified, VerifyingKey};
use margo_contract::onboarding::OnboardingRequest;

use crate::announcement::announced;
use crate::certificate::{Certificate, CertificateError};
use crate::clock;
use crate::extract::{self, LARGEST_BODY};
use crate::fleet::FleetError;
use crate::problem::{Problem, Reason, WAITING_RETRY_SECONDS};
use crate::server::Server;
use crate::traces;

pub(crate) use keys::ClientKeys;
pub(crate) use replay::{ReplayGuard, SignedOnce, replayed};

const CLIENTS: &str = "/api/v1/clients/";
const BEARER: &str = "Bearer realm=\"gantry\"";

/// A client whose request was signed by its key just now, and who is let in.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedClient {
    id: ClientId,
    signed: SignedOnce,
    /// How many reports it has yet to deliver, where it says so.
    undelivered: Option<u64>,
}

/// An operator with a good token, whose role allows what the route is for.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedOperator {
    pub(crate) name: OperatorName,
    pub(crate) role: Role,
}

/// A certificate whose key signed the request that presents it.
#[derive(Debug, Clone)]
pub(crate) struct PresentedCertificate {
    pub(crate) certificate: Certificate,
    /// What the client sent beside it, in DER, so that an authority can be found.
    pub(crate) intermediates: Vec<Vec<u8>>,
}

impl VerifiedClient {
    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    /// The signature of the request, which may change something once.
    pub(crate) fn signed(&self) -> &SignedOnce {
        &self.signed
    }

    /// Whether it says that it has reports to deliver beside this request.
    pub(crate) fn has_more_to_deliver(&self) -> bool {
        self.undelivered.is_some_and(|it| it > 0)
    }
}

/// Lets a request to a client's own resources through when it is that client's.
// margo(SP-18, SP-25, SP-58, A-1, A-2, A-4, T-13): digest, signature, window, standing, replay, in this order. Whether a client exists
// cannot be told from the answers before its key has signed.
pub(crate) async fn verify_client(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    match check_client(&server, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn check_client(server: &Server, request: Request) -> Result<Request, Problem> {
    let (mut parts, body) = request.into_parts();
    let body = extract::read(body, LARGEST_BODY).await?;
    extract::refuse_encoding(&parts.headers)?;
    check_digest(&parts.headers, &body)?;

    let named = parts.uri.path().strip_prefix(CLIENTS).and_then(|it| it.split('/').next());
    let id: Option<ClientId> = named.and_then(|it| it.parse().ok());
    let claimed = match id {
        Some(id) => claimed(server, id).await.map_err(|error| Problem::internal(&error))?,
        None => None,
    };
    let key = claimed.as_ref().map_or(server.replays.nobodys_key(), |it| &it.key);
    let verified = check_signature(server, &parts, &body, key);
    let Some(Claimed { id, standing, key }) = claimed else {
        // For the caller it is a signature like any other that does not hold.
        let refused = verified.err().unwrap_or_else(|| wrong_signature(&SignatureError::Wrong));
        return Err(refused.because(Reason::UnknownClient));
    };
    let verified = verified?;
    tracing::Span::current().record("client", tracing::field::display(id));
    traces::by_client(id);
    check_standing(standing)?;
    let now = clock::now();
    check_expiry(key.certificate_ends(), now)?;
    server.limits.count_client(id, now)?;
    let signed = server.replays.take(id, &verified, now)?;
    let announced = announced(&parts.headers, now);
    let undelivered = announced.as_ref().map(|it| it.undelivered);
    let contact = server.fleet.hear_contact(id, announced, now).await;
    contact.map_err(|error| Problem::internal(&error))?;
    parts.extensions.insert(VerifiedClient { id, signed, undelivered });
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// The client that a request says it comes from, which it has to prove.
struct Claimed {
    id: ClientId,
    standing: Standing,
    key: Arc<VerifyingKey>,
}

async fn claimed(server: &Server, id: ClientId) -> Result<Option<Claimed>, FleetError> {
    let Some(state) = server.fleet.client_state(id).await? else { return Ok(None) };
    let key = server.keys.key(&server.fleet, id, state.certificate).await?;
    Ok(key.map(|key| Claimed { id, standing: state.standing, key }))
}

/// Lets a request through when it has the token of an operator who may do what the route is for.
pub(crate) async fn verify_operator(
    State((server, permission)): State<(Server, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    match check_operator(&server, request.headers(), permission).await {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn check_operator(
    server: &Server,
    headers: &HeaderMap,
    permission: Permission,
) -> Result<VerifiedOperator, Problem> {
    let token = bearer_token(headers).ok_or_else(|| {
        Problem::unauthenticated(BEARER, "the header Authorization: Bearer <token> is missing")
    })?;
    let operator = server.fleet.operator(token).await.map_err(|error| Problem::internal(&error))?;
    let operator = operator
        .ok_or_else(|| Problem::unauthenticated(BEARER, "the token is not that of an operator"))?;
    tracing::Span::current().record("operator", tracing::field::display(&operator.name));
    traces::by_operator(&operator.name);
    if operator.role.may(permission) {
        return Ok(VerifiedOperator { name: operator.name, role: operator.role });
    }
    let role = operator.role.name();
    let detail = format!("the role {role} does not allow this; ask an administrator");
    Err(Problem::forbidden(Reason::Role, detail))
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The certificate of an onboarding request, if its key signed the request (proof of possession).
// margo(SP-14, SP-37, X-34)
pub(crate) fn prove_possession(
    server: &Server,
    parts: &Parts,
    body: &Bytes,
) -> Result<PresentedCertificate, Problem> {
    check_digest(&parts.headers, body)?;
    let invalid = |detail: String| {
        let problem = Problem::malformed(detail).known_as("Invalid certificate");
        problem.because(Reason::Certificate)
    };
    let request = OnboardingRequest::parse(body).map_err(|error| invalid(error.to_string()))?;
    let invalid_certificate = |error: CertificateError| invalid(format!("certificate: {error}"));
    let certificate = Certificate::read(request.certificate_der).map_err(invalid_certificate)?;
    certificate.check_validity(clock::now()).map_err(invalid_certificate)?;
    server.limits.count_stranger(clock::now())?;
    let verified = check_signature(server, parts, body, &certificate.verifying_key)?;
    server.replays.take_of_stranger(&verified, clock::now())?;
    Ok(PresentedCertificate { certificate, intermediates: request.intermediates })
}

// margo(SP-28, SP-61, T-13)
fn check_standing(standing: Standing) -> Result<(), Problem> {
    match standing {
        Standing::Approved => Ok(()),
        Standing::Waiting => Err(waiting()),
        Standing::Rejected | Standing::Revoked => Err(refused()),
    }
}

// margo(T-9, SP-28): a certificate that is no longer valid is not trusted.
fn check_expiry(end: i64, now: i64) -> Result<(), Problem> {
    if end >= now {
        return Ok(());
    }
    let since = clock::rfc3339(end);
    let detail = format!("the certificate was valid until {since}; onboard with another one");
    let problem = Problem::forbidden(Reason::CertificateExpired, detail);
    Err(problem.known_as("Certificate expired"))
}

/// 403 for a client that is not let in, and will not be by asking again.
// margo(A-7, SP-2, SP-61)
pub(crate) fn refused() -> Problem {
    let problem = Problem::forbidden(Reason::NotAccepted, "this client is not accepted here");
    problem.known_as("Client rejected")
}

/// 403 for a client that an operator has yet to decide about.
// margo(A-7, SP-61)
pub(crate) fn waiting() -> Problem {
    let detail = "an operator has to approve this client first; ask again after Retry-After";
    let problem = Problem::forbidden(Reason::Waiting, detail).known_as("Client waiting");
    problem.with_retry_after(WAITING_RETRY_SECONDS)
}

// margo(SP-19, SP-27, SP-30)
fn check_digest(headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    let lines = lines(headers, "content-digest");
    if body.is_empty() && lines.is_empty() {
        return Ok(());
    }
    http_signature::check_content_digest(&lines, body)
        .map_err(|error| Problem::malformed(error.to_string()).because(Reason::Digest))
}

fn check_signature(
    server: &Server,
    parts: &Parts,
    body: &Bytes,
    key: &VerifyingKey,
) -> Result<Verified, Problem> {
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let received = Received {
        method: parts.method.as_str(),
        // margo(SP-36)
        target_uri: &format!("{}{path}", server.origin),
        has_body: !body.is_empty(),
        header: &|name| lines(&parts.headers, name),
    };
    let now = u64::try_from(clock::now()).unwrap_or_default();
    http_signature::verify(&received, key, now, server.replays.window())
        .map_err(|error| wrong_signature(&error))
}

fn wrong_signature(error: &SignatureError) -> Problem {
    let reason = match error {
        SignatureError::Missing(_) | SignatureError::NotCovered(_) => Reason::Unsigned,
        SignatureError::TooOld | SignatureError::TooNew => Reason::SignatureTime,
        SignatureError::Wrong | SignatureError::AlgorithmMismatch => Reason::Signature,
        SignatureError::Malformed(_)
        | SignatureError::TooLong(_)
        | SignatureError::Several
        | SignatureError::LabelMismatch
        | SignatureError::UnsupportedComponent(_)
        | SignatureError::UnresolvedComponent(_)
        | SignatureError::Parameter(_)
        | SignatureError::UnknownAlgorithm => Reason::Malformed,
    };
    Problem::invalid_signature(reason, error.to_string())
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

impl<S: Sync> FromRequestParts<S> for VerifiedClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::invalid_signature(Reason::Unsigned, "the request was not verified")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for VerifiedOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::unauthenticated(BEARER, "the request was not verified"))
    }
}
