//! The algorithms that signatures may have, by the names of their parameter `alg`.

/// How a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    RsaV15Sha256,
    /// Named by the contract only; RFC 9421 does not register it.
    RsaPssSha256,
    RsaPssSha512,
    Ed25519,
}

impl Algorithm {
    // margo(SP-23): those that a server has to verify, and those of RFC 9421 that fit a certificate.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ecdsa-p256-sha256" => Self::EcdsaP256Sha256,
            "ecdsa-p384-sha384" => Self::EcdsaP384Sha384,
            "rsa-v1_5-sha256" => Self::RsaV15Sha256,
            "rsa-pss-sha256" => Self::RsaPssSha256,
            "rsa-pss-sha512" => Self::RsaPssSha512,
            "ed25519" => Self::Ed25519,
            _ => return None,
        })
    }
}
