//! The public key of a certificate, and the algorithms that it may be used with.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

/// RSA keys below this are not taken (contract §16.2; design: strong keys only).
const LEAST_RSA_BITS: usize = 2048;

/// A public key with which requests are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Rsa,
    Ed25519,
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificate {
    #[error("not an X.509 certificate in DER")]
    NotX509,
    #[error(
        "the key of the certificate is of an unsupported kind; use P-256, P-384, Ed25519 or RSA"
    )]
    UnsupportedKey,
    #[error("the RSA key of the certificate has {0} bits; 2048 are the least")]
    WeakRsa(usize),
}

impl VerifyingKey {
    /// Takes the key out of an X.509 certificate. Neither its chain nor its dates are looked at.
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, UnusableCertificate> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| UnusableCertificate::NotX509)?;
        if !rest.is_empty() {
            return Err(UnusableCertificate::NotX509);
        }
        let info = certificate.public_key();
        let algorithm = &info.algorithm.algorithm;
        let kind = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = info.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
            match curve {
                Some(curve) if curve == OID_EC_P256 => Kind::P256,
                Some(curve) if curve == OID_NIST_EC_P384 => Kind::P384,
                _ => return Err(UnusableCertificate::UnsupportedKey),
            }
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(PublicKey::RSA(rsa)) = info.parsed() else {
                return Err(UnusableCertificate::UnsupportedKey);
            };
            if rsa.key_size() < LEAST_RSA_BITS {
                return Err(UnusableCertificate::WeakRsa(rsa.key_size()));
            }
            Kind::Rsa
        } else if *algorithm == OID_SIG_ED25519 {
            Kind::Ed25519
        } else {
            return Err(UnusableCertificate::UnsupportedKey);
        };
        Ok(Self { kind, bytes: info.subject_public_key.data.to_vec() })
    }

    /// Whether the name of an algorithm (`alg`) fits this key.
    pub(super) fn allows(&self, algorithm: &str) -> bool {
        match self.kind {
            Kind::P256 => algorithm == "ecdsa-p256-sha256",
            Kind::P384 => algorithm == "ecdsa-p384-sha384",
            Kind::Rsa => {
                ["rsa-pss-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256"].contains(&algorithm)
            }
            Kind::Ed25519 => algorithm == "ed25519",
        }
    }

    /// Verifies a signature; what is returned names it, however it was encoded.
    pub(super) fn verify(&self, base: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
        match self.kind {
            Kind::P256 => self.verify_ecdsa(&ECDSA_P256_SHA256_FIXED, 32, base, signature),
            Kind::P384 => self.verify_ecdsa(&ECDSA_P384_SHA384_FIXED, 48, base, signature),
            // margo(§16.2): `rsa-pss-sha256` is no registered name, so the key decides and each
            // RSA scheme is tried.
            Kind::Rsa => {
                let schemes: [&dyn VerificationAlgorithm; 3] = [
                    &RSA_PSS_2048_8192_SHA256,
                    &RSA_PSS_2048_8192_SHA512,
                    &RSA_PKCS1_2048_8192_SHA256,
                ];
                schemes
                    .into_iter()
                    .any(|scheme| self.holds(scheme, base, signature))
                    .then(|| signature.to_vec())
            }
            Kind::Ed25519 => self.holds(&ED25519, base, signature).then(|| signature.to_vec()),
        }
    }

    /// Raw `r‖s`, or DER as a fallback. Whoever has one signature can write it as (r, s) and as
    /// (r, n-s), so `r` alone names it.
    fn verify_ecdsa(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        size: usize,
        base: &[u8],
        signature: &[u8],
    ) -> Option<Vec<u8>> {
        let raw = if signature.len() == 2 * size {
            signature.to_vec()
        } else {
            raw_of_der(signature, size)?
        };
        self.holds(algorithm, base, &raw).then(|| raw[..size].to_vec())
    }

    fn holds(&self, scheme: &dyn VerificationAlgorithm, base: &[u8], signature: &[u8]) -> bool {
        scheme.verify(self.bytes.as_slice().into(), base.into(), signature.into()).is_ok()
    }
}

/// `r‖s` of an ECDSA signature in DER: a sequence of two integers.
fn raw_of_der(der: &[u8], size: usize) -> Option<Vec<u8>> {
    let (body, rest) = der_value(der, 0x30)?;
    let (r, after_r) = der_value(body, 0x02)?;
    let (s, after_s) = der_value(after_r, 0x02)?;
    if !rest.is_empty() || !after_s.is_empty() {
        return None;
    }
    let mut raw = Vec::with_capacity(2 * size);
    for integer in [r, s] {
        let digits = integer.strip_prefix(&[0]).unwrap_or(integer);
        let padding = size.checked_sub(digits.len())?;
        raw.extend(std::iter::repeat_n(0, padding));
        raw.extend_from_slice(digits);
    }
    Some(raw)
}

/// The content of a DER value with this tag and a length below 128, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag || *length >= 0x80 {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}
