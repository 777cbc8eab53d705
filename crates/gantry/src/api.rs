//! Speaks the operator API: one method for each kind of request, every answer bounded in size and time,
//! and every refusal turned into sentences.

use std::sync::Arc;
use std::time::Duration;

use operator_api::{BASE_PATH, OrderMeanwhile, Page};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};

use crate::config::Session;
use crate::failure::Failure;

const LARGEST_ANSWER: u64 = 32 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for 64 MiB on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// A poll that hangs must not eat the time that an operator waits.
const POLL_TIMEOUT: Duration = Duration::from_secs(15);

/// The operator API of one fleet manager.
pub(crate) struct Api {
    agent: ureq::Agent,
    url: String,
    authorization: String,
}

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{}", unreachable(url, *changes))]
    Unreachable { url: String, changes: bool, source: Box<ureq::Error> },
    #[error("{url} shows a certificate that is not to be trusted")]
    Untrusted { url: String, source: Box<ureq::Error> },
    #[error("{}", .0.sentence())]
    Refused(Box<Refusal>),
    #[error(
        "{url} answered what this version of gantry cannot read; is it a Gantry fleet manager?"
    )]
    Unreadable { url: String, source: serde_json::Error },
}

/// A problem document, as far as it is for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    /// What was ordered meanwhile, where that is why.
    pub(crate) meanwhile: Vec<OrderMeanwhile>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Api {
    pub(crate) fn new(session: &Session) -> Result<Self, Failure> {
        let agent = ureq::Agent::config_builder()
            .tls_config(tls(&session.ca)?)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let authorization = format!("Bearer {}", session.token.expose());
        Ok(Self { agent, url: session.url.clone(), authorization })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.read(&self.send(Method::GET, path, None, REQUEST_TIMEOUT)?)
    }

    /// A list with all of its parts. The path has no query.
    pub(crate) fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Page<T>, ApiError> {
        let mut page: Page<T> = self.get(path)?;
        while let Some(after) = page.next.take() {
            let more: Page<T> = self.get(&format!("{path}?after={}", segment(&after)))?;
            page.items.extend(more.items);
            page.next = more.next;
        }
        Ok(page)
    }

    /// As [`Api::get`], and nothing where there is no such resource.
    pub(crate) fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ApiError> {
        match self.get(path) {
            Err(ApiError::Refused(refusal)) if refusal.status == 404 => Ok(None),
            result => result.map(Some),
        }
    }

    /// As [`Api::get`], but gives up soon.
    pub(crate) fn poll<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.read(&self.send(Method::GET, path, None, POLL_TIMEOUT)?)
    }

    pub(crate) fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_json(Method::POST, path, body)
    }

    /// As [`Api::post`], where the path says all that there is to say.
    pub(crate) fn post_nothing<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.read(&self.send(Method::POST, path, None, REQUEST_TIMEOUT)?)
    }

    pub(crate) fn patch<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_json(Method::PATCH, path, body)
    }

    /// Sends bytes of another type than JSON.
    pub(crate) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<T, ApiError> {
        let body = Some((content_type, body));
        self.read(&self.send(Method::POST, path, body, REQUEST_TIMEOUT)?)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Vec<u8>, ApiError> {
        self.send(Method::DELETE, path, None, REQUEST_TIMEOUT)
    }

    /// Reads the body of a good answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(body)
            .map_err(|source| ApiError::Unreadable { url: self.url.clone(), source })
    }

    fn send_json<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).expect("the types of the operator API become JSON");
        let body = Some(("application/json", body.as_slice()));
        self.read(&self.send(method, path, body, REQUEST_TIMEOUT)?)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
        timeout: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let changes = method != Method::GET;
        let (status, bytes) = self.exchange(method, path, body, timeout).map_err(|source| {
            let (url, source) = (self.url.clone(), Box::new(source));
            if is_distrust(&source) {
                return ApiError::Untrusted { url, source };
            }
            // Where no connection came about, nothing was sent.
            let changes = changes && !is_before_sending(&source);
            ApiError::Unreachable { url, changes, source }
        })?;
        if (200..300).contains(&status) {
            return Ok(bytes);
        }
        let refusal: Refusal = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(ApiError::Refused(Box::new(Refusal { status, ..refusal })))
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
        timeout: Duration,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{BASE_PATH}{path}", self.url))
            .header("accept", "application/json")
            .header("authorization", &self.authorization);
        let mut response = match body {
            Some((content_type, body)) => {
                let request = request.header("content-type", content_type).body(body)?;
                self.run(request, timeout)?
            }
            None => self.run(request.body(())?, timeout)?,
        };
        let bytes = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok((response.status().as_u16(), bytes))
    }

    fn run(
        &self,
        request: Request<impl ureq::AsSendBody>,
        timeout: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let agent = &self.agent;
        agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())
    }
}

impl Refusal {
    fn sentence(&self) -> String {
        match (self.detail.as_str(), self.title.as_str()) {
            ("", "") => format!("the fleet manager answered with status {}", self.status),
            ("", title) => title.to_owned(),
            (detail, _) => detail.to_owned(),
        }
    }
}

impl ApiError {
    /// True where the same request may succeed later, as while the fleet manager starts again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.status == 429 || refusal.status >= 500,
            Self::Untrusted { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("Check that the fleet manager runs, and its address."),
            Self::Untrusted { .. } => Some(
                "Check its address, and the certificate authority that `gantry login --ca FILE` or \
                 GANTRY_CA named.",
            ),
            Self::Refused(refusal) => match refusal.status {
                401 => Some(
                    "Sign in with `gantry login URL --token-file FILE`, or check GANTRY_TOKEN where it \
                     is set.",
                ),
                403 => Some("`gantry whoami` shows your role; an administrator can do more."),
                404 => Some("The `list` and `show` commands tell what there is."),
                409 if !refusal.meanwhile.is_empty() => Some(
                    "Look at what is ordered now, as `gantry deployment show` tells; give the order again \
                     if it is still right.",
                ),
                429 | 500.. => {
                    Some("Try again in a moment; if it stays, see the fleet manager's log.")
                }
                _ => None,
            },
            Self::Unreadable { .. } => None,
        }
    }
}

fn unreachable(url: &str, changes: bool) -> String {
    if changes {
        format!("no answer from {url}; it is not known whether it carried out the request")
    } else {
        format!("cannot reach {url}")
    }
}

/// Whether TLS refused the certificate of the other side.
fn is_distrust(error: &ureq::Error) -> bool {
    let tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|it| it.downcast_ref()),
        _ => None,
    };
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

fn is_before_sending(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => {
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        }
        _ => false,
    }
}

fn tls(ca: &str) -> Result<TlsConfig, Failure> {
    let bad = || Failure::Usage("the certificate authority is not a PEM certificate".to_owned());
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(ca.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| bad())? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(bad());
    }
    // Without the cipher suites of TLS 1.2 only 1.3 is left, whatever other crates switch on.
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .root_certs(RootCerts::from(roots.into_iter()))
        .build())
}

/// Encodes a piece of a path or of a query.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().map(encode).collect()
}

fn encode(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("1.0.0+b/ü?"), "1.0.0%2Bb%2F%C3%BC%3F");
    }

    #[test]
    fn a_refusal_without_a_problem_document_names_its_status() {
        let refusal = Refusal { status: 502, ..Refusal::default() };
        assert!(refusal.sentence().contains("502"));
    }

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        assert!(tls("hello").is_err());
    }
}
