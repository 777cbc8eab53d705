//! The collector that takes our traces. It is no part of what the server is for: where it is away spans are
//! dropped, and the log says so once, and once more when it is back.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};

/// A collector takes a batch in moments, or not at all. Longer ones are dropped meanwhile.
const LONGEST_REQUEST: Duration = Duration::from_secs(5);
/// It answers with how many spans it has refused.
const LARGEST_ANSWER: u64 = 64 << 10;

/// Sends requests to the collector, one after the other, from the thread that has nothing else to do.
#[derive(Debug)]
pub(super) struct Collector {
    agent: ureq::Agent,
    trouble: Trouble,
}

/// Why the collector does not take traces; nothing while it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Collector {
    /// Trusts the certificates in this PEM file. Without one only plain HTTP is possible.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(LONGEST_REQUEST))
            .user_agent(concat!("gantry-server/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = ca {
            let name = || format!("reading the certificates in {}", file.display());
            let pem = fs::read(file).with_context(name)?;
            config = config.tls_config(tls(&pem).with_context(name)?);
        } else {
            // Else those that are built into no program of ours would be looked for.
            config = config.tls_config(trusting(Vec::new()));
        }
        Ok(Self { agent: config.build().into(), trouble: Trouble::default() })
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

impl Trouble {
    pub(super) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says it when it begins and when it ends.
    fn is_now(&self, why: Option<String>) {
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (trouble.as_ref(), &why) {
            (None, Some(why)) => {
                tracing::warn!(
                    why,
                    "the collector takes no traces; they are dropped until it does"
                );
            }
            (Some(_), None) => tracing::info!("the collector takes traces again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        *trouble = why;
    }
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
    {
        let answer = self.send(request);
        self.trouble.is_now(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers with status {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        });
        let answer = answer.map_err(|error| -> HttpError { error.into() });
        Box::pin(std::future::ready(answer))
    }
}

fn tls(pem: &[u8]) -> Result<TlsConfig> {
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.context("it is no PEM")? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        bail!("there is none in it");
    }
    Ok(trusting(roots))
}

fn trusting(roots: Vec<Certificate<'static>>) -> TlsConfig {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots.into_iter()))
        .build()
}
