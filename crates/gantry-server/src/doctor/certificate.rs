//! The certificate that the server shows: its dates, its key, and whether a device that pins the root takes it
//! for the host of `public_url`.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Finding;
use crate::certificate::expiry;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::tls::{self, ServerCertificate};

const CHECK: &str = "certificate";
/// Who renews certificates by hand needs this long, in seconds. Less than those of the embedded CA hold: the
/// server renews them by itself.
const TIME_TO_RENEW: i64 = 21 * 24 * 60 * 60;

pub(super) fn check(config: &Config, now: i64) -> Finding {
    if config.tls.certificate.is_none() {
        let (certificate, key) = tls::ca::files(&config.data_dir);
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            (false, _) => return Finding::ok(CHECK, "the server makes its CA when it starts"),
            (true, false) => {
                let finding = format!("the CA has no key: {} is missing", key.display());
                let advice = "put it back from a backup; without it the server makes certificates that no \
                    device takes";
                return Finding::fail(CHECK, finding, advice);
            }
        }
    }
    let loaded = match ServerCertificate::load(config, now) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "[tls] certificate and key have to be PEM files that belong together";
            return Finding::fail(CHECK, format!("{error:#}"), advice);
        }
    };
    let roots: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(loaded.root_pem().as_bytes())
            .filter_map(Result::ok)
            .collect();
    let current = loaded.current();
    if let Err(error) = as_a_device_sees_it(&roots, &current.cert, config.host(), now) {
        return refused(config, &error);
    }
    let ends = current.cert.iter().chain(&roots).filter_map(|it| expiry(it));
    let end = ends.min().unwrap_or(i64::MAX);
    let finding = format!("devices take it for {}, until {}", config.host(), rfc3339(end));
    if end - now < TIME_TO_RENEW {
        let advice = "renew it and send the server SIGHUP; devices refuse one that has ended";
        return Finding::warn(CHECK, finding, advice);
    }
    Finding::ok(CHECK, finding)
}

fn as_a_device_sees_it(
    roots: &[CertificateDer<'static>],
    chain: &[CertificateDer<'static>],
    host: &str,
    now: i64,
) -> Result<(), Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(Error::NoCertificatesPresented);
    };
    let name = ServerName::try_from(host).map_err(|error| Error::General(error.to_string()))?;
    let now = Duration::from_secs(u64::try_from(now).unwrap_or_default());
    let now = UnixTime::since_unix_epoch(now);
    verifier.verify_server_cert(leaf, intermediates, &name, &[], now).map(drop)
}

fn refused(config: &Config, error: &Error) -> Finding {
    let host = config.host();
    let Error::InvalidCertificate(reason) = error else {
        let advice = "look at [tls] ca, and at public_url";
        return Finding::fail(CHECK, format!("it cannot be checked: {error}"), advice);
    };
    let (finding, advice) = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("it, or one above it, has ended".to_owned(), "renew it and send the server SIGHUP")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet".to_owned(), "look at the clock, or wait until it is")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("it is not for {host}, the host of public_url"),
            "get one for this host, or correct public_url",
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "its chain does not lead to the root that devices pin".to_owned(),
            "[tls] certificate has to hold the chain, and [tls] ca the root at its end",
        ),
        other => (format!("devices refuse it: {other}"), "get another one"),
    };
    Finding::fail(CHECK, finding, advice)
}
