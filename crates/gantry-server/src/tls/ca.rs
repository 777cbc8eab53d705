//! The embedded CA: a root that devices pin, and short certificates for this server alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::data_dir;

const DAY: i64 = 24 * 60 * 60;
const ROOT_DAYS: i64 = 20 * 365;
/// The server makes a fresh one at each start and each day that it runs.
const LEAF_DAYS: i64 = 30;

/// The key and the certificate of the root.
#[derive(Debug)]
pub(super) struct EmbeddedCa {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Where the certificate and the key of the CA are.
pub(crate) fn files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("ca.pem"), folder.join("ca.key"))
}

impl EmbeddedCa {
    /// Takes the CA from `ca.pem` and `ca.key`, or makes one there.
    pub(super) fn open_or_make(folder: &Path, now: i64) -> Result<Self> {
        let (certificate_file, key_file) = files(folder);
        // The key comes first: with a key and no certificate yet, the certificate is made again.
        let key = match data_dir::read_text(&key_file)? {
            Some(pem) => KeyPair::from_pem(&pem)
                .with_context(|| format!("reading the CA's key {}", key_file.display()))?,
            None => {
                let key = KeyPair::generate().context("making the CA's key")?;
                data_dir::write_secret(&key_file, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let certificate_pem = match data_dir::read_text(&certificate_file)? {
            Some(pem) => pem,
            None => {
                let root = root_params(now)?.self_signed(&key).context("making the CA")?;
                data_dir::write_public(&certificate_file, root.pem().as_bytes())?;
                root.pem()
            }
        };
        let issuer = Issuer::new(root_params(now)?, key);
        Ok(Self { certificate_pem, issuer })
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A fresh key and certificate for this host and the loopback addresses.
    pub(super) fn issue(
        &self,
        host: &str,
        now: i64,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate().context("making the server's key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, host);
        let mut names = vec![host, "localhost", "127.0.0.1", "::1"];
        names.dedup();
        params.subject_alt_names = names
            .into_iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => Ok(SanType::DnsName(name.try_into()?)),
            })
            .collect::<Result<_, rcgen::Error>>()
            .with_context(|| format!("`{host}` cannot stand in a certificate"))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Devices' clocks are not always right.
        params.not_before = time(now - DAY)?;
        params.not_after = time(now + LEAF_DAYS * DAY)?;
        let certificate =
            params.signed_by(&key, &self.issuer).context("signing the server's certificate")?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| anyhow::anyhow!("using the server's key: {error}"))?;
        Ok((vec![certificate.der().clone()], key))
    }
}

fn root_params(now: i64) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Gantry fleet root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = time(now - DAY)?;
    params.not_after = time(now + ROOT_DAYS * DAY)?;
    Ok(params)
}

fn time(seconds: i64) -> Result<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(seconds).context("the clock is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn the_root_stays_the_same_and_its_key_is_secret() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let first = EmbeddedCa::open_or_make(folder.path(), NOW).expect("a CA");
        let again = EmbeddedCa::open_or_make(folder.path(), NOW + DAY).expect("a CA");
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let mode =
            folder.path().join("ca.key").metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(again.issue("fleet.example", NOW).is_ok());
    }
}
