//! TLS 1.3 with a certificate that can change while the server runs: a configured one, read again on
//! SIGHUP, or one of our own, signed by the embedded CA and renewed in time.

pub(crate) mod ca;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

/// The server's certificate, now and after the next renewal.
#[derive(Debug)]
pub(crate) struct ServerCertificate {
    source: Source,
    current: ArcSwap<CertifiedKey>,
    /// The root that devices pin, as PEM.
    root_pem: String,
}

#[derive(Debug)]
enum Source {
    Files { certificate: std::path::PathBuf, key: std::path::PathBuf },
    Embedded { ca: Box<ca::EmbeddedCa>, host: String },
}

impl ServerCertificate {
    /// Reads the configured certificate, or makes one at `now` (seconds since 1970).
    pub(crate) fn load(config: &Config, now: i64) -> Result<Arc<Self>> {
        let (source, root_pem) = match (&config.tls.certificate, &config.tls.key, &config.tls.ca) {
            (Some(certificate), Some(key), Some(ca)) => {
                let root = fs::read_to_string(ca)
                    .with_context(|| format!("reading the root certificate {}", ca.display()))?;
                (Source::Files { certificate: certificate.clone(), key: key.clone() }, root)
            }
            _ => {
                let ca = ca::EmbeddedCa::open_or_make(&config.data_dir, now)?;
                let root = ca.certificate_pem().to_owned();
                (Source::Embedded { ca: Box::new(ca), host: config.host().to_owned() }, root)
            }
        };
        let current = ArcSwap::from_pointee(source.certified_key(now)?);
        Ok(Arc::new(Self { source, current, root_pem }))
    }

    /// The certificate and its key as they are now.
    pub(crate) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Takes over what the files say now, or makes a fresh certificate. New connections see it.
    pub(crate) fn renew(&self, now: i64) -> Result<()> {
        self.current.store(Arc::new(self.source.certified_key(now)?));
        Ok(())
    }

    /// The configuration of the listener: TLS 1.3 and HTTP/1.1.
    // margo(T-1, T-4, T-6, SP-17, X-35)
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("choosing TLS 1.3")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Devices that poll by the minute resume their session. The tickets hold it, since the memory for
        // that would be too small for a fleet; a client uses one connection at a time and needs one ticket.
        config.ticketer = rustls::crypto::ring::Ticketer::new().context("making ticket keys")?;
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Source {
    fn certified_key(&self, now: i64) -> Result<CertifiedKey> {
        let (chain, key) = match self {
            Self::Files { certificate, key } => (read_chain(certificate)?, read_key(key)?),
            Self::Embedded { ca, host } => ca.issue(host, now)?,
        };
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(chain, key, &provider).context("using the server's certificate")
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the certificate {}", file.display()))?;
    if chain.is_empty() {
        bail!("{} has no certificate", file.display());
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file)
        .with_context(|| format!("reading the private key {}", file.display()))
}
