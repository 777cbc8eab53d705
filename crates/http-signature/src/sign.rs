//! Signing with the key of a certificate: what a device's client does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};

use crate::base::{Line, signature_base};
use crate::{Message, content_digest};

/// A private key of a kind that fleet managers verify. Says nothing about itself when printed.
pub struct SigningKey(Pair);

enum Pair {
    /// P-256 or P-384.
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// The key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key in PKCS#8 on P-256, P-384 or Ed25519, or of RSA with 2048 to 4096 bits")]
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
    /// Takes a key as a PKCS#8 document in DER; the document says of which kind it is.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, InvalidKey> {
        let random = SystemRandom::new();
        let on_curve = |curve| EcdsaKeyPair::from_pkcs8(curve, der, &random);
        on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .or_else(|_| on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING))
            .map(Pair::Ecdsa)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(|it| Pair::Rsa(Box::new(it))))
            .map(Self)
            .map_err(|_| InvalidKey)
    }

    /// Whether signing the same twice gives the same signature.
    fn is_deterministic(&self) -> bool {
        matches!(self.0, Pair::Ed25519(_) | Pair::Rsa(_))
    }

    // margo(SP-22, SP-23): a client picks one of the algorithms that go with its key. Of those with RSA only
    // `rsa-v1_5-sha256` is both in the contract's list and registered by RFC 9421.
    pub(crate) fn sign_raw(&self, bytes: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match &self.0 {
            // `r‖s` (RFC 9421, sections 3.3.4 and 3.3.5).
            Pair::Ecdsa(pair) => pair.sign(&random, bytes).map(|it| it.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(bytes).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| SigningError::NoRandomness)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Signs a request at `created` (seconds since 1970) with the label `sig1`.
// margo(SP-19, SP-20, SP-21, SP-29, SP-30)
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
    let mut parameters = format!("({});created={created};keyid=\"{keyid}\"", names.join(" "));
    // margo(SP-62): the same request twice in a second would be a replay.
    if key.is_deterministic() {
        parameters.push_str(&format!(";nonce=\"{}\"", nonce()?));
    }
    let base = signature_base(&lines, &parameters);
    let signature = key.sign_raw(base.as_bytes())?;
    Ok(SignatureHeaders {
        content_digest,
        signature_input: format!("sig1={parameters}"),
        signature: format!("sig1=:{}:", STANDARD.encode(signature)),
    })
}

fn nonce() -> Result<String, SigningError> {
    let mut nonce = [0; 16];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SigningError::NoRandomness)?;
    Ok(STANDARD.encode(nonce))
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

    // margo(SP-19, SP-20, SP-21, SP-29, SP-30)
    #[test]
    fn the_headers_are_those_of_the_profile_and_name_no_algorithm() {
        let pair = rcgen::KeyPair::generate().expect("P-256 keys can be made");
        let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("PKCS#8");
        let signed = |body| {
            let message = Message { method: "POST", target_uri: "https://fleet.example/x", body };
            sign(&key, &message, 1_800_000_000, "press-7").expect("it signs")
        };
        let with_body = signed(Some(&b"{}"[..]));
        assert_eq!(
            with_body.signature_input,
            "sig1=(\"@method\" \"@target-uri\" \"content-digest\");created=1800000000;keyid=\"press-7\""
        );
        let digest = with_body.content_digest.expect("there is a body");
        assert_eq!(digest, "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:");
        let encoded =
            with_body.signature.strip_prefix("sig1=:").and_then(|it| it.strip_suffix(':'));
        let raw = STANDARD.decode(encoded.expect("bytes")).expect("base64");
        assert_eq!(raw.len(), 64, "r and s");

        let without = signed(None);
        assert_eq!(without.content_digest, None);
        assert_eq!(
            without.signature_input,
            "sig1=(\"@method\" \"@target-uri\");created=1800000000;keyid=\"press-7\""
        );
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_a_key_is_never_printed() {
        assert_eq!(SigningKey::from_pkcs8_der(b"nothing").err(), Some(InvalidKey));
        let pair = rcgen::KeyPair::generate().expect("P-256 keys can be made");
        let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("PKCS#8");
        assert_eq!(format!("{key:?}"), "SigningKey");
    }

    // margo(SP-22, SP-23): whatever key the client has.
    #[test]
    fn every_kind_of_key_signs_what_its_algorithm_verifies() {
        use ring::signature::{
            ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
            UnparsedPublicKey, VerificationAlgorithm,
        };
        let made = |algorithm| rcgen::KeyPair::generate_for(algorithm).expect("a key can be made");
        let rsa = include_bytes!("sign/rsa2048.der").to_vec();
        let rsa = rcgen::KeyPair::try_from(rsa).expect("an RSA key in PKCS#8");
        let kinds: [(rcgen::KeyPair, &dyn VerificationAlgorithm); 4] = [
            (made(&rcgen::PKCS_ECDSA_P256_SHA256), &ECDSA_P256_SHA256_FIXED),
            (made(&rcgen::PKCS_ECDSA_P384_SHA384), &ECDSA_P384_SHA384_FIXED),
            (rsa, &RSA_PKCS1_2048_8192_SHA256),
            (made(&rcgen::PKCS_ED25519), &ED25519),
        ];
        for (pair, algorithm) in kinds {
            let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("a usable key");
            let message =
                Message { method: "GET", target_uri: "https://fleet.example/", body: None };
            let twice = [(); 2].map(|()| sign(&key, &message, 0, "k").expect("it signs").signature);
            assert_ne!(twice[0], twice[1], "signed anew is no replay: {:?}", pair.algorithm());
            let signature = key.sign_raw(b"base").expect("it signs");
            let public = UnparsedPublicKey::new(algorithm, pair.public_key_raw());
            assert_eq!(public.verify(b"base", &signature), Ok(()), "{:?}", pair.algorithm());
        }
    }
}
