//! The way to the fleet manager: HTTPS with one pinned root, every request signed, every answer
//! bounded, and no redirect followed.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_signature::{Message, SigningKey};
use margo_contract::problem::Problem;
use ureq::http::{HeaderMap, Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};

use crate::announcement;
use crate::clock;
use crate::gate::{Gate, Permit, Why};
use crate::schedule::Purpose;

/// The largest answer of the API, in bytes.
const LARGEST_ANSWER: u64 = 16 << 20;
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to one fleet manager.
#[derive(Debug)]
pub(crate) struct FleetManager {
    agent: ureq::Agent,
    origin: String,
    key: SigningKey,
    // Seconds by which the server's clock is ahead of ours.
    skew: Cell<i64>,
    /// What each request of the running client has to pass; a command of its owner passes none.
    gate: Option<Arc<Gate>>,
}

/// What the fleet manager answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the fleet manager cannot be reached")]
    Unreachable(#[source] Box<ureq::Error>),
    #[error("the fleet manager answers {status}: {detail}")]
    Refused { status: u16, detail: String, retry_after: Option<Duration> },
    #[error("the fleet manager's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("nothing is said now: {0}")]
    Quiet(Why),
}

impl FleetManager {
    pub(crate) fn new(origin: &str, ca: &Path, key: SigningKey) -> Result<Self> {
        let agent = agent(ca)?;
        Ok(Self { agent, origin: origin.to_owned(), key, skew: Cell::new(0), gate: None })
    }

    /// Lets each request pass a gate from now on.
    pub(crate) fn behind(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The gate, for whoever speaks another protocol to the same server.
    pub(crate) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// Why nothing is to be said now, if so.
    pub(crate) fn is_quiet(&self) -> Option<Why> {
        self.gate.as_ref()?.shut(Purpose::Talk).map(|it| it.why)
    }

    /// Signs with another key from now on.
    pub(crate) fn replace_key(&mut self, key: SigningKey) {
        self.key = key;
    }

    /// Seconds by which the server's clock is ahead of ours, as far as it has answered.
    pub(crate) fn skew_seconds(&self) -> i64 {
        self.skew.get()
    }

    fn permit(&self, method: &str, path: &str) -> Result<Option<Permit<'_>>, LinkError> {
        let request = format!("{method} {path}");
        self.gate.as_ref().map(|it| it.permit(&request)).transpose().map_err(LinkError::Quiet)
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// For whoever speaks another protocol to the same server.
    pub(crate) fn agent(&self) -> &ureq::Agent {
        &self.agent
    }

    /// Sends a signed request and gives a successful answer, or 304.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, LinkError> {
        self.send_bounded(method, path, keyid, headers, body, LARGEST_ANSWER)
    }

    /// As [`FleetManager::send`], for an answer of another size.
    pub(crate) fn send_bounded(
        &self,
        method: &str,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        largest: u64,
    ) -> Result<Answer, LinkError> {
        let _permit = self.permit(method, path)?;
        let target_uri = format!("{}{path}", self.origin);
        let created = (clock::now_ms() / 1000 + self.skew.get()).max(0).unsigned_abs();
        let message = Message { method, target_uri: &target_uri, body };
        let signature = http_signature::sign(&self.key, &message, created, keyid)
            .map_err(|error| LinkError::Nonsense(error.to_string()))?;

        let verb = Method::from_bytes(method.as_bytes())
            .map_err(|error| LinkError::Nonsense(error.to_string()))?;
        let mut request = Request::builder().method(verb).uri(&target_uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = self.gate.as_ref().and_then(|it| it.announcement()) {
            request = request.header(announcement::HEADER, value);
        }
        if let Some(digest) = signature.content_digest {
            request = request.header("content-digest", digest);
        }
        request = request
            .header("signature-input", signature.signature_input)
            .header("signature", signature.signature);
        let malformed = |error: ureq::http::Error| LinkError::Nonsense(error.to_string());
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).map_err(malformed)?),
            None => self.agent.run(request.body(()).map_err(malformed)?),
        };
        let answer = answer.map_err(|error| LinkError::Unreachable(Box::new(error)))?;
        let (parts, mut body) = answer.into_parts();
        self.measure_skew(&parts.headers);
        let body = body
            .with_config()
            .limit(largest)
            .read_to_vec()
            .map_err(|error| LinkError::Unreachable(Box::new(error)))?;
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        match answer.status {
            200..=299 | 304 => Ok(answer),
            _ => Err(answer.refusal()),
        }
    }

    /// Fetches a file from another https server that the pinned root vouches for, unsigned.
    pub(crate) fn download(&self, url: &str, largest: u64) -> Result<Vec<u8>, LinkError> {
        let _permit = self.permit("GET", url)?;
        let unreachable = |error| LinkError::Unreachable(Box::new(error));
        let answer = self.agent.get(url).call().map_err(unreachable)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let detail = format!("for {url}");
            return Err(LinkError::Refused { status, detail, retry_after: None });
        }
        let body = answer.into_body().into_with_config().limit(largest).read_to_vec();
        body.map_err(unreachable)
    }

    /// Devices' clocks are often wrong; signatures are made by the server's time.
    fn measure_skew(&self, headers: &HeaderMap) {
        let date = headers.get("date").and_then(|it| it.to_str().ok());
        let Some(server) = date.and_then(|it| jiff::fmt::rfc2822::parse(it).ok()) else { return };
        let skew = server.timestamp().as_second() - clock::now_ms() / 1000;
        if (skew - self.skew.get()).abs() > 5 {
            tracing::info!(
                seconds = skew,
                "the server's clock differs from ours; signing by its time"
            );
            self.skew.set(skew);
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn refusal(&self) -> LinkError {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = problem.detail.or(problem.message).unwrap_or(problem.title);
        let seconds = self.header("retry-after").and_then(|it| it.trim().parse().ok());
        LinkError::Refused {
            status: self.status,
            detail: detail.chars().filter(|it| !it.is_control()).take(500).collect(),
            retry_after: seconds.map(Duration::from_secs),
        }
    }
}

impl LinkError {
    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Nonsense(_) | Self::Quiet(_) => None,
        }
    }
}

fn agent(ca: &Path) -> Result<ureq::Agent> {
    let pem = std::fs::read(ca)
        .with_context(|| format!("reading the root certificate {}", ca.display()))?;
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        let item =
            item.with_context(|| format!("reading the root certificate {}", ca.display()))?;
        if let PemItem::Certificate(certificate) = item {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        bail!("{} has no certificate in PEM", ca.display());
    }
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots.into_iter()))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("gantry-device/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_PATIENCE))
        .timeout_global(Some(PATIENCE))
        .build();
    Ok(config.into())
}
