//! HTTPS as tests need it: one root, no redirects, and every status is an answer.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use ureq::http::{HeaderMap, Method, Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::wait::PATIENCE;

const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// Speaks HTTPS to one origin.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
    tls: Arc<ClientConfig>,
    origin: String,
    /// Where the origin is found, if not where its name says.
    port: Option<u16>,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Http {
    /// Trusts the certificates in the PEM file `ca` and no others.
    pub fn new(origin: &str, ca: &Path) -> Self {
        Self::new_at(origin, ca, None)
    }

    /// As [`Http::new`], by way of another port of this machine.
    pub fn through(origin: &str, ca: &Path, port: u16) -> Self {
        Self::new_at(origin, ca, Some(port))
    }

    fn new_at(origin: &str, ca: &Path, port: Option<u16>) -> Self {
        let pem = std::fs::read(ca).expect("the CA file can be read");
        let roots: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
            .filter_map(|item| match item.expect("the CA file is PEM") {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = Arc::new(bare_tls(&roots, Arc::clone(&provider)));
        let agent_tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(roots.into_iter()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(agent_tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        let agent = match port {
            Some(port) => ureq::Agent::with_parts(config, DefaultConnector::default(), Port(port)),
            None => config.into(),
        };
        Self { agent, tls, origin: origin.to_owned(), port }
    }

    /// The scheme, host and port that every request goes to.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A bare connection, for requests that no HTTP library would send.
    pub fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let address = self.origin.trim_start_matches("https://");
        let (host, port) = address.rsplit_once(':').expect("a test fleet has a port");
        let name = ServerName::try_from(host.to_owned()).expect("a host has a name");
        let port = self.port.or_else(|| port.parse().ok()).expect("a port is a number");
        let stream = TcpStream::connect((host, port)).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).expect("a good name");
        StreamOwned::new(tls, stream)
    }

    /// Sends a request and reads the whole answer; panics when no answer comes.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Http::send`], for servers that may be gone.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let method = Method::from_bytes(method.as_bytes()).expect("the test names a method");
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).expect("a well-formed request")),
            None => self.agent.run(request.body(()).expect("a well-formed request")),
        }?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// Finds every origin at a port of this machine.
#[derive(Debug)]
struct Port(u16);

impl Resolver for Port {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        found.push((Ipv4Addr::LOCALHOST, self.0).into());
        Ok(found)
    }
}

fn bare_tls(roots: &[Certificate<'_>], provider: Arc<CryptoProvider>) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        let root = CertificateDer::from(root.der().to_vec());
        store.add(root).expect("the CA file holds roots");
    }
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring can do TLS 1.3")
        .with_root_certificates(store)
        .with_no_client_auth()
}

impl Answer {
    /// A header of the answer, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Panics with the whole answer unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.text(), format_args!("{:?}", self.headers));
        self
    }

    /// Panics unless this is a problem (RFC 9457) with this status whose `type` ends with `kind`
    /// and whose text says `needle`.
    #[track_caller]
    pub fn expect_problem(self, status: u16, kind: &str, needle: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        let type_uri = problem["type"].as_str().unwrap_or_default();
        assert!(type_uri.ends_with(kind), "type {type_uri} is not {kind}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string(), "no title: {problem}");
        assert!(answer.text().contains(needle), "{problem} does not say {needle:?}");
        answer
    }
}
