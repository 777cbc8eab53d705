//! The way to the fleet manager: HTTPS with one pinned root, every request signed, every answer
//! bounded in size and time, and no redirect followed.

mod answer;
mod ask;
mod failure;
mod retry_after;
mod times;
mod tls;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http_signature::{Message, SigningKey};
use rustls::RootCertStore;
use ureq::http::{HeaderValue, Request};
use ureq::tls::PemItem;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::announcement;
use crate::clock;
use crate::gate::{Gate, Permit, Why};
use crate::schedule::Purpose;
use crate::skew::{KnownTime, http_date};
use crate::state_dir::{StateDir, StateError};

use self::answer::Arrived;
pub(crate) use self::answer::{Answer, Incoming};
pub(crate) use self::ask::{Ask, Patience};
pub(crate) use self::failure::LinkError;
pub(crate) use self::times::MachineClock;
use self::times::Times;

/// The longest header of an answer, in bytes.
const LARGEST_HEADER: usize = 64 << 10;

/// Speaks to one fleet manager. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct FleetManager {
    caller: Caller,
    origin: String,
    key: Arc<SigningKey>,
}

/// What sends requests, signed or not: connections, patience, the time, and the gate.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    agent: ureq::Agent,
    patience: Patience,
    times: Arc<Times>,
    /// What each request of the running client has to pass; a command of its owner passes none.
    gate: Option<Arc<Gate>>,
}

impl FleetManager {
    /// For the fleet manager at `origin`; `ca` is the PEM file of the only root that is trusted.
    pub(crate) fn new(origin: &str, ca: &Path, key: SigningKey) -> Result<Self> {
        Self::with(origin, ca, key, Arc::new(clock::now_ms), Patience::default())
    }

    /// As [`FleetManager::new`], by another clock and with other patience.
    pub(crate) fn with(
        origin: &str,
        ca: &Path,
        key: SigningKey,
        machine: MachineClock,
        patience: Patience,
    ) -> Result<Self> {
        let times = Arc::new(Times::new(machine));
        let agent = agent(roots(ca)?, &patience, Arc::clone(&times))?;
        let caller = Caller { agent, patience, times, gate: None };
        Ok(Self { caller, origin: origin.to_owned(), key: Arc::new(key) })
    }

    /// Lets each request pass a gate from now on.
    pub(crate) fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.caller.gate = Some(gate);
        self
    }

    /// Why nothing is to be said now, if so.
    pub(crate) fn is_quiet(&self) -> Option<Why> {
        self.caller.gate.as_ref()?.shut(Purpose::Talk).map(|it| it.why)
    }

    /// Lets each request say that so many reports are left when it has been heard.
    pub(crate) fn announce_undelivered(&self, undelivered: usize) {
        if let Some(gate) = &self.caller.gate {
            gate.announce_undelivered(undelivered);
        }
    }

    /// Signs with another key from now on.
    pub(crate) fn replace_key(&mut self, key: SigningKey) {
        self.key = Arc::new(key);
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// For whoever speaks another protocol to the same server.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Breaks off every request that is under way; none is sent any more.
    pub(crate) fn hang_up(&self) {
        self.caller.agent.clone().shutdown();
    }

    /// The fleet manager's time when the machine's clock says `now_ms`.
    pub(crate) fn server_time(&self, now_ms: i64) -> i64 {
        self.caller.times.server_time(now_ms)
    }

    /// Takes up the newest time that was known before a restart.
    pub(crate) fn recall_time(&self, state: &StateDir) {
        let kept = KnownTime::load(state);
        self.caller.times.recall(kept);
    }

    /// Keeps the newest known time over a restart.
    pub(crate) fn keep_time(&self, state: &StateDir) -> Result<(), StateError> {
        self.caller.times.known_time().save(state)
    }

    /// Sends a signed request and gives a successful answer, or 304.
    pub(crate) fn send(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, LinkError> {
        self.open(ask, path, keyid, headers, body)?.read()
    }

    /// As [`FleetManager::send`], for an answer that is read piece by piece.
    pub(crate) fn open(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Incoming, LinkError> {
        let attempt = || {
            let request = self.signed(ask, path, keyid, headers, body)?;
            self.caller.exchange(ask, request, body)
        };
        let before = self.server_time(0);
        let answer = attempt()?;
        // The signature was made by a wrong clock, which is known now: a right one is another request.
        let answer = match answer.status() {
            401 if self.server_time(0) != before => attempt()?,
            _ => answer,
        };
        Incoming::of(ask, answer, self.caller.times.server_now())
    }

    /// Opens a file on another https server that the pinned root vouches for, unsigned.
    pub(crate) fn open_elsewhere(&self, url: &str) -> Result<Incoming, LinkError> {
        let request = Request::get(url).body(()).map_err(malformed)?;
        let answer = self.caller.run(Ask::Package, request, None)?;
        Incoming::of(Ask::Package, answer, self.caller.times.server_now())
    }

    fn signed(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Request<()>, LinkError> {
        let target_uri = format!("{}{path}", self.origin);
        let now = self.caller.times.server_now();
        let created = u64::try_from(now / 1_000).unwrap_or_default();
        let message = Message { method: ask.method(), target_uri: &target_uri, body };
        let signature = http_signature::sign(&self.key, &message, created, keyid)
            .map_err(|error| LinkError::Nonsense(error.to_string()))?;
        let mut request = Request::builder().method(ask.method()).uri(&target_uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(digest) = signature.content_digest {
            request = request.header("content-digest", digest);
        }
        request
            .header("signature-input", signature.signature_input)
            .header("signature", signature.signature)
            .body(())
            .map_err(malformed)
    }
}

impl Caller {
    /// Sends a request of Git's protocol to the fleet manager and opens its successful answer. Headers
    /// are lines.
    pub(crate) fn git(
        &self,
        ask: Ask,
        url: &str,
        headers: &[String],
        authorization: &str,
        body: Option<&[u8]>,
    ) -> Result<Incoming, LinkError> {
        let mut request = Request::builder().method(ask.method()).uri(url);
        for (name, value) in headers.iter().filter_map(|it| it.split_once(':')) {
            request = request.header(name.trim(), value.trim());
        }
        let request = request.header("authorization", authorization).body(()).map_err(malformed)?;
        let answer = self.exchange(ask, request, body)?;
        Incoming::of(ask, answer, self.times.server_now())
    }

    /// Sends a request to the fleet manager, and learns the time from its answer, whatever that is.
    fn exchange(
        &self,
        ask: Ask,
        mut request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Arrived, LinkError> {
        let announced = self.gate.as_ref().and_then(|it| it.announcement());
        if let Some(value) = announced.and_then(|it| HeaderValue::try_from(it.to_string()).ok()) {
            request.headers_mut().insert(announcement::HEADER, value);
        }
        let sent_ms = self.times.machine_now();
        let answer = self.run(ask, request, body)?;
        if let Some(date_ms) = answer.header("date").and_then(http_date) {
            self.times.hear(sent_ms, date_ms);
        }
        Ok(answer)
    }

    /// Sends a request if it is a time for it.
    fn run(
        &self,
        ask: Ask,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Arrived, LinkError> {
        let named = || format!("{} {}", request.method(), request.uri());
        let permit = self.gate.as_ref().map(|it| it.permit(&named())).transpose()?;
        self.run_with(permit, ask, request, body)
    }

    fn run_with(
        &self,
        permit: Option<Permit>,
        ask: Ask,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Arrived, LinkError> {
        let whole = Some(ask.patience(&self.patience));
        let answer = match body {
            Some(body) => {
                let request = self.agent.configure_request(request.map(|()| body));
                self.agent.run(request.timeout_global(whole).build())
            }
            None => {
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(whole).build())
            }
        };
        Ok(Arrived { answer: answer?, permit })
    }
}

fn malformed(error: ureq::http::Error) -> LinkError {
    ureq::Error::from(error).into()
}

fn roots(ca: &Path) -> Result<RootCertStore> {
    let pem = std::fs::read(ca)
        .with_context(|| format!("reading the root certificate {}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for item in ureq::tls::parse_pem(&pem) {
        let reading = || format!("reading the root certificate {}", ca.display());
        if let PemItem::Certificate(root) = item.with_context(reading)? {
            roots.add(root.der().to_vec().into()).with_context(reading)?;
        }
    }
    if roots.is_empty() {
        bail!("{} has no certificate in PEM", ca.display());
    }
    Ok(roots)
}

fn agent(roots: RootCertStore, patience: &Patience, times: Arc<Times>) -> Result<ureq::Agent> {
    let config = ureq::Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(LARGEST_HEADER)
        .proxy(None)
        .user_agent(concat!("gantry-device/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.first_byte))
        .timeout_per_read(Some(patience.between_bytes))
        .timeout_per_write(Some(patience.between_bytes))
        .timeout_global(Some(patience.whole))
        .build();
    let tls = tls::Tls::new(roots, times).context("preparing TLS")?;
    let connector = ().chain(TcpConnector::default()).chain(tls);
    Ok(ureq::Agent::with_parts(config, connector, DefaultResolver::default()))
}

#[cfg(test)]
mod tests;
