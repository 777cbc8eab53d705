//! A public key, and the algorithms that it verifies.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use super::algorithm::Algorithm;
use super::ecdsa;

/// A public key with which requests are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    pub(super) kind: Kind,
    /// As it is in a certificate: a point, an `RSAPublicKey`, or the key itself.
    pub(super) bytes: Vec<u8>,
    pub(super) certificate_ends: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Rsa,
    /// Of a certificate whose RSA key is for PSS only (RFC 4055).
    RsaPss,
    Ed25519,
}

/// A signature that holds for a key.
pub(super) struct Held {
    pub(super) algorithm: Algorithm,
    /// Names the signature, however it was encoded.
    pub(super) name: Vec<u8>,
}

type Scheme = (Algorithm, &'static dyn VerificationAlgorithm);

const P256: Scheme = (Algorithm::EcdsaP256Sha256, &ECDSA_P256_SHA256_FIXED);
const P384: Scheme = (Algorithm::EcdsaP384Sha384, &ECDSA_P384_SHA384_FIXED);
const EDDSA: Scheme = (Algorithm::Ed25519, &ED25519);
// margo(SP-23, SP-33): `rsa-pss-sha256` is no registered name, so the key decides and each scheme is tried.
const RSA: [Scheme; 3] = [
    (Algorithm::RsaPssSha256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::RsaPssSha512, &RSA_PSS_2048_8192_SHA512),
    (Algorithm::RsaV15Sha256, &RSA_PKCS1_2048_8192_SHA256),
];

impl VerifyingKey {
    pub(super) fn verify(&self, base: &[u8], signature: &[u8]) -> Option<Held> {
        match self.kind {
            Kind::P256 => self.verify_ecdsa(P256, 32, base, signature),
            Kind::P384 => self.verify_ecdsa(P384, 48, base, signature),
            Kind::Rsa => self.verify_any(&RSA, base, signature),
            Kind::RsaPss => self.verify_any(&RSA[..2], base, signature),
            Kind::Ed25519 => self.verify_any(&[EDDSA], base, signature),
        }
    }

    // margo(SP-34, SP-62): whoever has one signature can write it in DER, and as (r, s) and as (r, n-s), so
    // `r` alone names it.
    fn verify_ecdsa(
        &self,
        scheme: Scheme,
        size: usize,
        base: &[u8],
        signature: &[u8],
    ) -> Option<Held> {
        let raw = ecdsa::raw(signature, size)?;
        let held = self.verify_any(&[scheme], base, &raw)?;
        Some(Held { name: raw[..size].to_vec(), ..held })
    }

    fn verify_any(&self, schemes: &[Scheme], base: &[u8], signature: &[u8]) -> Option<Held> {
        let holds = |scheme: &dyn VerificationAlgorithm| {
            scheme.verify(self.bytes.as_slice().into(), base.into(), signature.into()).is_ok()
        };
        let (algorithm, _) = schemes.iter().find(|(_, scheme)| holds(*scheme))?;
        Some(Held { algorithm: *algorithm, name: signature.to_vec() })
    }
}
