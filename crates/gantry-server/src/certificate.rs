//! Certificates of clients, and of the authorities that vouch for them (RFC 5280). No I/O and no clock.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::ids::Sha256;
use http_signature::{UnusableCertificate, VerifyingKey};
use margo_contract::digest::Digest;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// By so much the clocks of an authority, of a device and ours may differ, in seconds.
const SKEW: i64 = 5 * 60;
/// The longest name that is kept, in characters.
const LONGEST_NAME: usize = 128;

/// A certificate, as far as it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) fingerprint: Sha256,
    /// Of its public key: the same in each certificate of this key.
    pub(crate) key: Sha256,
    pub(crate) verifying_key: VerifyingKey,
    /// What the certificate calls its owner. Proves nothing by itself.
    pub(crate) common_name: String,
    /// The whole name of its owner, in DER.
    subject: Vec<u8>,
    is_authority: bool,
    not_before: i64,
}

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    Unusable(#[from] UnusableCertificate),
    #[error("the certificate is not valid before {}", crate::clock::rfc3339(*.0))]
    NotYetValid(i64),
    #[error("the certificate was valid until {}", crate::clock::rfc3339(*.0))]
    Expired(i64),
    #[error("the certificate is not that of a certificate authority")]
    NoAuthority,
}

impl Certificate {
    /// Reads a certificate, whose key has to be of a kind and strength that is taken.
    pub(crate) fn read(der: Vec<u8>) -> Result<Self, CertificateError> {
        let verifying_key = VerifyingKey::from_certificate_der(&der)?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_| UnusableCertificate::NotX509)?;
        let constraints = parsed.basic_constraints().ok().flatten();
        Ok(Self {
            fingerprint: sha256(&der),
            key: sha256(parsed.public_key().raw),
            common_name: common_name(&parsed),
            subject: parsed.subject().as_raw().to_vec(),
            is_authority: constraints.is_some_and(|it| it.value.ca),
            not_before: parsed.validity().not_before.timestamp(),
            verifying_key,
            der,
        })
    }

    // margo(T-9)
    pub(crate) fn check_validity(&self, now: i64) -> Result<(), CertificateError> {
        if now + SKEW < self.not_before {
            return Err(CertificateError::NotYetValid(self.not_before));
        }
        let end = self.verifying_key.certificate_ends();
        if now - SKEW > end {
            return Err(CertificateError::Expired(end));
        }
        Ok(())
    }

    pub(crate) fn check_authority(&self) -> Result<(), CertificateError> {
        if self.is_authority { Ok(()) } else { Err(CertificateError::NoAuthority) }
    }

    /// Whether this authority vouches for a certificate, by itself or through `intermediates`.
    pub(crate) fn vouches_for(
        &self,
        certificate: &Self,
        intermediates: &[Vec<u8>],
        now: i64,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(CertificateDer::from(self.der.as_slice())).is_err() {
            return false;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let Ok(verifier) = verifier else { return false };
        let intermediates: Vec<CertificateDer<'_>> =
            intermediates.iter().map(|it| CertificateDer::from(it.as_slice())).collect();
        let now = Duration::from_secs(u64::try_from(now).unwrap_or_default());
        let leaf = CertificateDer::from(certificate.der.as_slice());
        let now = UnixTime::since_unix_epoch(now);
        verifier.verify_client_cert(&leaf, &intermediates, now).is_ok()
    }

    /// What this authority calls the owner of a certificate: the same when it gives out another one.
    /// Nothing where the certificate has no name.
    pub(crate) fn name_for(&self, certificate: &Self) -> Option<Sha256> {
        if certificate.common_name.is_empty() {
            return None;
        }
        let parts = [self.key.to_string().as_bytes(), &certificate.subject].concat();
        Some(sha256(&parts))
    }
}

/// When a certificate ends, in seconds since 1970.
pub(crate) fn expiry(der: &[u8]) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(*Digest::of(bytes).as_bytes())
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().next().and_then(|it| it.as_str().ok());
    let printable = name.unwrap_or_default().chars().filter(|it| !it.is_control());
    printable.take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn authority(name: &str) -> (Certificate, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).expect("a root").der().to_vec();
        (Certificate::read(der).expect("a good certificate"), Issuer::new(params, key))
    }

    fn issued(issuer: &Issuer<'static, KeyPair>, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a key can be made");
        let der = params.signed_by(&key, issuer).expect("a certificate").der().to_vec();
        Certificate::read(der).expect("a good certificate")
    }

    #[test]
    fn an_authority_vouches_for_what_it_has_signed_itself_or_through_others() {
        let (root, issuer) = authority("root");
        let (stranger, _) = authority("root");
        let leaf = issued(&issuer, &params("press-7"));
        assert!(root.vouches_for(&leaf, &[], NOW));
        assert!(!stranger.vouches_for(&leaf, &[], NOW), "only its name is the same");

        let key = KeyPair::generate().expect("a key can be made");
        let mut between = params("plant");
        between.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let intermediate = between.signed_by(&key, &issuer).expect("an authority").der().to_vec();
        let leaf = issued(&Issuer::new(between, key), &params("press-8"));
        assert!(!root.vouches_for(&leaf, &[], NOW));
        assert!(root.vouches_for(&leaf, &[intermediate], NOW));
    }

    #[test]
    fn an_authority_has_one_name_for_each_owner() {
        let (root, issuer) = authority("root");
        let [first, again] = [(); 2].map(|()| issued(&issuer, &params("press-7")));
        assert_ne!(first.key, again.key);
        assert_eq!(root.name_for(&first), root.name_for(&again));
        assert_ne!(root.name_for(&first), root.name_for(&issued(&issuer, &params("press-8"))));
        let mut nameless = CertificateParams::default();
        nameless.distinguished_name = DistinguishedName::new();
        assert_eq!(root.name_for(&issued(&issuer, &nameless)), None);
        let (other, _) = authority("other");
        assert_ne!(root.name_for(&first), other.name_for(&first));
    }

    #[test]
    fn a_certificate_counts_inside_its_dates_and_a_little_around_them() {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params("press-7");
        (params.not_before, params.not_after) =
            (date_time_ymd(2027, 1, 1), date_time_ymd(2028, 1, 1));
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let certificate = Certificate::read(der).expect("a good certificate");
        let (from, to) = (1_798_761_600, 1_830_297_600);
        for (now, fits) in
            [(from - 301, false), (from - 299, true), (to + 299, true), (to + 301, false)]
        {
            assert_eq!(certificate.check_validity(now).is_ok(), fits, "{now}");
        }
        assert!(certificate.check_authority().is_err());
    }
}
