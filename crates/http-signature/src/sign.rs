//! Signing with a P-256 key: what a device's client does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use crate::base::{Line, signature_base};
use crate::{Message, content_digest};

/// A private key on P-256. Says nothing about itself when printed.
pub struct SigningKey(EcdsaKeyPair);

/// The key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 private key in PKCS#8")]
pub struct InvalidKey;

/// Why a request was not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error("the key id has characters that a header cannot carry")]
    KeyId,
    #[error("the system has no randomness to sign with")]
    NoRandomness,
}

/// The headers that carry a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Only for a request with a body.
    pub content_digest: Option<String>,
    pub signature_input: String,
    pub signature: String,
}

impl SigningKey {
    /// Takes a key as a PKCS#8 document in DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, InvalidKey> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
            .map(Self)
            .map_err(|_| InvalidKey)
    }

    /// `r‖s` over these bytes (RFC 9421, section 3.3.4).
    pub(crate) fn sign_raw(&self, bytes: &[u8]) -> Result<Vec<u8>, SigningError> {
        let signature = self.0.sign(&SystemRandom::new(), bytes);
        signature.map(|it| it.as_ref().to_vec()).map_err(|_| SigningError::NoRandomness)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Signs a request at `created` (seconds since 1970) with the label `sig1` (contract §16.2).
pub fn sign(
    key: &SigningKey,
    message: &Message<'_>,
    created: u64,
    keyid: &str,
) -> Result<SignatureHeaders, SigningError> {
    if keyid.is_empty() || !keyid.bytes().all(|it| matches!(it, b' '..=b'~')) {
        return Err(SigningError::KeyId);
    }
    let keyid = keyid.replace('\\', "\\\\").replace('"', "\\\"");
    let content_digest = message.body.map(content_digest);

    let mut lines = vec![
        Line { name: "@method", value: message.method },
        Line { name: "@target-uri", value: message.target_uri },
    ];
    if let Some(value) = &content_digest {
        lines.push(Line { name: "content-digest", value });
    }
    let names: Vec<String> = lines.iter().map(|line| format!("\"{}\"", line.name)).collect();
    let parameters = format!("({});created={created};keyid=\"{keyid}\"", names.join(" "));
    let base = signature_base(&lines, &parameters);
    let signature = key.sign_raw(base.as_bytes())?;
    Ok(SignatureHeaders {
        content_digest,
        signature_input: format!("sig1={parameters}"),
        signature: format!("sig1=:{}:", STANDARD.encode(signature)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_that_a_header_cannot_carry_is_refused() {
        let pair = rcgen::KeyPair::generate().expect("P-256 keys can be made");
        let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("PKCS#8");
        let message = Message { method: "GET", target_uri: "https://fleet.example/", body: None };
        for keyid in ["", "a\nb", "ü"] {
            assert_eq!(sign(&key, &message, 0, keyid), Err(SigningError::KeyId), "{keyid:?}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_a_key_is_never_printed() {
        assert_eq!(SigningKey::from_pkcs8_der(b"nothing").err(), Some(InvalidKey));
        let pair = rcgen::KeyPair::generate().expect("P-256 keys can be made");
        let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("PKCS#8");
        assert_eq!(format!("{key:?}"), "SigningKey");
    }
}
