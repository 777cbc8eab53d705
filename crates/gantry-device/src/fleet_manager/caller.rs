//! What sends requests, to the fleet manager and to others, signed or not: the one place where a request of
//! the running client passes its gate.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::RootCertStore;
use ureq::http::Request;
use ureq::tls::PemItem;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use super::answer::Arrived;
use super::elsewhere::{self, Connections};
use super::times::Times;
use super::{Ask, Incoming, LinkError, Patience, malformed, tls};
use crate::gate::{Gate, Permit};
use crate::skew::http_date;

/// Each connection holds four of these, in bytes, for as long as it is kept; ureq's own are 128 KiB.
const BUFFER: usize = 16 << 10;
/// The longest header of an answer, in bytes. ureq waits for one that does not fit into its buffer.
const LARGEST_HEADER: usize = BUFFER / 2;

/// What sends requests, signed or not: connections, patience, the time, and the gate.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) agent: ureq::Agent,
    pub(super) patience: Patience,
    /// Connections to servers that other roots vouch for.
    pub(super) elsewhere: Connections,
    pub(super) times: Arc<Times>,
    /// What each request of the running client has to pass; a command of its owner passes none.
    pub(super) gate: Option<Arc<Gate>>,
}

impl Caller {
    /// Trusts the root in this PEM file and no other.
    pub(super) fn new(ca: &Path, patience: Patience, times: Arc<Times>) -> Result<Self> {
        let agent = agent(Security::Tls(roots(ca)?), &patience, Arc::clone(&times))?;
        Ok(Self { agent, patience, elsewhere: Connections::default(), times, gate: None })
    }

    /// Breaks off every request that is under way; none is sent any more.
    pub(super) fn hang_up(&self) {
        self.agent.clone().shutdown();
        elsewhere::hang_up(&self.elsewhere);
    }

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
    pub(super) fn exchange(
        &self,
        ask: Ask,
        mut request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Arrived, LinkError> {
        if let Some(announcement) = self.gate.as_ref().and_then(|it| it.announcement()) {
            announcement.put_into(request.headers_mut());
        }
        let sent_ms = self.times.machine_now();
        let answer = self.run(ask, request, body)?;
        if let Some(date_ms) = answer.header("date").and_then(http_date) {
            self.times.hear(sent_ms, date_ms);
        }
        Ok(answer)
    }

    /// Sends a request if it is a time for it.
    pub(super) fn run(
        &self,
        ask: Ask,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Arrived, LinkError> {
        // Without the query: those of strangers may hold a secret.
        let named = || {
            let uri = request.uri();
            let host = uri.authority().map_or("", |it| it.as_str());
            format!("{} {host}{}", request.method(), uri.path())
        };
        let permit = self.gate.as_ref().map(|it| it.permit(&named())).transpose()?;
        self.run_with(permit, ask, request, body)
    }

    pub(super) fn run_with(
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

/// What protects connections.
pub(super) enum Security {
    /// TLS with servers that these roots vouch for.
    Tls(RootCertStore),
    /// Nothing.
    None,
}

// margo(SP-13)
pub(super) fn roots(ca: &Path) -> Result<RootCertStore> {
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

pub(super) fn agent(
    security: Security,
    patience: &Patience,
    times: Arc<Times>,
) -> Result<ureq::Agent> {
    let config = ureq::Agent::config_builder()
        .https_only(matches!(security, Security::Tls(_)))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(LARGEST_HEADER)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .proxy(None)
        .user_agent(concat!("gantry-device/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.first_byte))
        .timeout_per_read(Some(patience.between_bytes))
        .timeout_per_write(Some(patience.between_bytes))
        .timeout_global(Some(patience.whole))
        .build();
    let tcp = ().chain(TcpConnector::default());
    let resolver = DefaultResolver::default();
    Ok(match security {
        Security::Tls(roots) => {
            let tls = tls::Tls::new(roots, times).context("preparing TLS")?;
            ureq::Agent::with_parts(config, tcp.chain(tls), resolver)
        }
        Security::None => ureq::Agent::with_parts(config, tcp, resolver),
    })
}
