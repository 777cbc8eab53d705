//! What OpenPGP (RFC 9580) says about a signature, and what is asked of it here beyond the arithmetic:
//! no broken hashes, no short keys, nothing that has expired or was revoked.
//!
//! A revocation counts wherever one stands, whoever made it and for whatever reason: the key is refused,
//! and that is the safe side.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use pgp::composed::{
    CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey,
    SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails as _, PublicParams, Tag, Timestamp};

use super::SignatureError;
use crate::package::digest_of;

/// How a clear-signed text begins (RFC 9580 section 7).
const CLEAR_SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
/// More keys in a file than this are not looked at, nor more parts of one.
const MOST_KEYS: usize = 16;
/// The same for signatures.
const MOST_SIGNATURES: usize = 4;
/// How far the clocks of a signer and this device may differ, in seconds.
const CLOCK_DIFFERENCE: i64 = 24 * 60 * 60;
/// The shortest modulus of an RSA key, in bytes.
const SHORTEST_MODULUS: usize = 2048 / 8;

/// A key with all that its owner has said about it.
pub(super) struct Certificate(SignedPublicKey);

/// The signatures in one file, and what they are over.
pub(super) struct Signatures {
    all: Vec<Signature>,
    over: Over,
}

/// What is signed.
enum Over {
    /// The package itself; the signature is detached.
    Package,
    /// This text, clear-signed, which names the SHA-256 of the package as `sha256sum` writes it.
    Checksums(String),
}

/// The keys in a file, armored or not.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, SignatureError> {
    let unreadable = |error: pgp::errors::Error| SignatureError::Unreadable {
        what: "what should be the key",
        problem: error.to_string(),
    };
    let (keys, _) = SignedPublicKey::from_reader_many_buf(bytes).map_err(unreadable)?;
    keys.take(MOST_KEYS).map(|it| it.map(Certificate).map_err(unreadable)).collect()
}

impl Signatures {
    /// Reads a detached signature, armored or not, or a clear-signed list of checksums.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let unreadable = |problem: String| SignatureError::Unreadable {
            what: "what should be the signature",
            problem,
        };
        if bytes.trim_ascii_start().starts_with(CLEAR_SIGNED) {
            let text = std::str::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
            let read = CleartextSignedMessage::from_string(text.trim_start());
            let (message, _) = read.map_err(|error| unreadable(error.to_string()))?;
            let all = message.signatures().iter().take(MOST_SIGNATURES).cloned().collect();
            return Ok(Self { all, over: Over::Checksums(message.signed_text()) });
        }
        let read = DetachedSignature::from_reader_many_buf(bytes);
        let (signatures, _) = read.map_err(|error| unreadable(error.to_string()))?;
        let signatures: Result<Vec<_>, _> =
            signatures.take(MOST_SIGNATURES).map(|it| it.map(|it| it.signature)).collect();
        let signatures = signatures.map_err(|error| unreadable(error.to_string()))?;
        if signatures.is_empty() {
            return Err(unreadable("there is no signature in it".to_owned()));
        }
        Ok(Self { all: signatures, over: Over::Package })
    }
}

impl Certificate {
    /// Of the primary key, in upper-case hexadecimal digits.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:X}", self.0.fingerprint())
    }

    /// Whether one of the signatures was made over the package by a key of this certificate that may
    /// sign, as of `now` in seconds since 1970.
    pub(super) fn check(
        &self,
        signatures: &Signatures,
        package: &Path,
        now: i64,
    ) -> Result<(), SignatureError> {
        let unusable = |problem| SignatureError::Key { fingerprint: self.fingerprint(), problem };
        let signing = self.signing_keys(now).map_err(unusable)?;
        let mut failure = SignatureError::Wrong(self.fingerprint());
        for signature in &signatures.all {
            if let Err(problem) = is_sound(signature, now) {
                failure = SignatureError::Weak(problem);
                continue;
            }
            if !signatures.over.is_signed_with(signature) {
                failure = SignatureError::Weak("it is not one over a file".to_owned());
                continue;
            }
            for key in &signing {
                let over = signatures.over.open(package).map_err(SignatureError::Package)?;
                if key.has_made(signature, over) {
                    return signatures.over.is_about(package);
                }
            }
        }
        Err(failure)
    }

    /// The keys that may sign now; why there is none otherwise.
    fn signing_keys(&self, now: i64) -> Result<Vec<Key<'_>>, &'static str> {
        let primary = &self.0.primary_key;
        let details = &self.0.details;
        let is_revoked_id = |it: &Signature| it.typ() == Some(SignatureType::CertRevocation);
        if !details.revocation_signatures.is_empty() {
            return Err("it was revoked");
        }
        let direct = details.direct_signatures.iter().filter(|it| it.verify_key(primary).is_ok());
        let users = details.users.iter().take(MOST_KEYS);
        let users = users.filter(|user| !user.signatures.iter().any(is_revoked_id));
        let certifications = users.flat_map(|user| {
            user.signatures.iter().filter(|it| {
                it.is_certification()
                    && it.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            })
        });
        let newest = newest(direct.chain(certifications), now)
            .ok_or("it has no self-signature that can be relied on")?;
        if is_over(primary.created_at(), newest.key_expiration_time(), now) {
            return Err("it has expired");
        }
        if !is_strong(primary.public_params()) {
            return Err("its algorithm is too weak, or not known");
        }
        let mut keys = Vec::new();
        if newest.key_flags().sign() {
            keys.push(Key::Primary(primary));
        }
        let subkeys = self.0.public_subkeys.iter().take(MOST_KEYS);
        keys.extend(subkeys.filter(|it| self.may_sign(it, now)).map(|it| Key::Subkey(&it.key)));
        if keys.is_empty() {
            return Err("none of its parts may sign now");
        }
        Ok(keys)
    }

    fn may_sign(&self, subkey: &SignedPublicSubKey, now: i64) -> bool {
        let primary = &self.0.primary_key;
        let (key, signatures) = (&subkey.key, &subkey.signatures);
        if signatures.iter().any(|it| it.typ() == Some(SignatureType::SubkeyRevocation)) {
            return false;
        }
        let bindings = signatures.iter().filter(|it| {
            it.typ() == Some(SignatureType::SubkeyBinding)
                && it.verify_subkey_binding(primary, key).is_ok()
        });
        let Some(binding) = newest(bindings, now) else { return false };
        let back = binding.embedded_signature().is_some_and(|it| {
            is_sound(it, now).is_ok() && it.verify_primary_key_binding(key, primary).is_ok()
        });
        binding.key_flags().sign()
            && back
            && is_strong(key.public_params())
            && !is_over(key.created_at(), binding.key_expiration_time(), now)
    }
}

impl Over {
    fn is_signed_with(&self, signature: &Signature) -> bool {
        let may_be_text = matches!(self, Self::Checksums(_));
        match signature.typ() {
            Some(SignatureType::Text) => may_be_text,
            it => it == Some(SignatureType::Binary),
        }
    }

    fn open(&self, package: &Path) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Package => Box::new(File::open(package)?),
            Self::Checksums(text) => Box::new(text.as_bytes()),
        })
    }

    /// Whether what is signed stands for this package.
    fn is_about(&self, package: &Path) -> Result<(), SignatureError> {
        let Self::Checksums(text) = self else { return Ok(()) };
        let digest = File::open(package).and_then(|mut it| digest_of(&mut it));
        let digest = digest.map_err(SignatureError::Package)?.to_string();
        let digest = digest.trim_start_matches("sha256:").to_owned();
        let mut named = text.lines().filter_map(|line| line.split_whitespace().next());
        match named.any(|it| it.eq_ignore_ascii_case(&digest)) {
            true => Ok(()),
            false => Err(SignatureError::NotNamed(digest)),
        }
    }
}

/// The newest signature that can be relied on.
fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>, now: i64) -> Option<&'s Signature> {
    signatures.filter(|it| is_sound(it, now).is_ok()).max_by_key(|it| it.created())
}

/// Whether a signature is one that can be relied on, if the arithmetic is right.
fn is_sound(signature: &Signature, now: i64) -> Result<(), String> {
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err("it is of a version that is not in use".to_owned());
    }
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => {}
        Some(weak) => return Err(format!("its hash is {weak}, which is too weak or not known")),
        None => return Err("it is of a version that is not known".to_owned()),
    }
    let created = signature.created().ok_or("it does not say when it was made")?;
    if i64::from(created.as_secs()) > now.saturating_add(CLOCK_DIFFERENCE) {
        return Err("it was made after the time that it is now".to_owned());
    }
    if is_over(created, signature.signature_expiration_time(), now) {
        return Err("it has expired".to_owned());
    }
    let subpackets = signature.config().into_iter().flat_map(SignatureConfig::hashed_subpackets);
    let is_unknown = |it: &SubpacketData| {
        use SubpacketData::{Experimental, Notation, Other};
        matches!(it, Experimental(..) | Other(..) | Notation(..))
    };
    match subpackets.filter(|it| it.is_critical).any(|it| is_unknown(&it.data)) {
        true => Err("it says something critical that is not understood".to_owned()),
        false => Ok(()),
    }
}

/// Whether what began then and lasts that long is over. Without a length it is never over.
fn is_over(begun: Timestamp, lasts: Option<Duration>, now: i64) -> bool {
    let lasts = lasts.map_or(0, Duration::as_secs);
    lasts > 0 && i64::from(begun.as_secs()) + i64::from(lasts) <= now
}

fn is_strong(key: &PublicParams) -> bool {
    match key {
        PublicParams::RSA(_) => key.write_len() >= SHORTEST_MODULUS,
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => true,
        _ => false,
    }
}

/// A key that may sign.
enum Key<'a> {
    Primary(&'a pgp::packet::PublicKey),
    Subkey(&'a pgp::packet::PublicSubkey),
}

impl Key<'_> {
    /// Whether it made the signature, in its own time.
    fn has_made(&self, signature: &Signature, signed: impl Read) -> bool {
        let (verified, born) = match self {
            Self::Primary(key) => (signature.verify(key, signed), key.created_at()),
            Self::Subkey(key) => (signature.verify(key, signed), key.created_at()),
        };
        verified.is_ok() && signature.created().is_some_and(|it| it >= born)
    }
}
