//! Verifying a signed request with the key of a certificate: what a fleet manager does.
//!
//! The base is built from the received bytes of `Signature-Input`, never from parsed and written
//! again parameters: their order is the signer's, and parameters that are unknown here count too.

mod algorithm;
mod certificate;
mod component;
mod ecdsa;
mod ed25519;
mod input;
mod key;

use ring::digest::{Context, SHA256, digest};

use crate::base::{Line, signature_base};
use crate::field::{LONGEST_FIELD, joined};

use algorithm::Algorithm;
use input::{Input, signature_bytes};

pub use certificate::UnusableCertificate;
pub use key::VerifyingKey;

/// A request as it was received.
pub struct Received<'a> {
    pub method: &'a str,
    /// The absolute URI that the client meant: built from a configured origin, not from `Host`.
    pub target_uri: &'a str,
    /// Whether there is a body, whose digest then has to be covered.
    pub has_body: bool,
    /// Every line of a header by its lower-case name, as it came.
    pub header: &'a dyn Fn(&str) -> Vec<&'a [u8]>,
}

/// How old a signature may be.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Seconds that `created` may lie in the past.
    pub back: u64,
    /// Seconds that it may lie in the future.
    pub forward: u64,
}

impl Default for Window {
    /// 300 s back and 60 s forward, margo(SP-40).
    fn default() -> Self {
        Self { back: 300, forward: 60 }
    }
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub keyid: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The same for the same signature however it is encoded, and for no other: what to remember in
    /// order to refuse a replay.
    pub replay_key: [u8; 32],
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the header {0} is missing")]
    Missing(&'static str),
    #[error("the header {0} is malformed")]
    Malformed(&'static str),
    #[error("the header {0} is longer than {LONGEST_FIELD} bytes")]
    TooLong(&'static str),
    #[error("the request carries more than one signature")]
    Several,
    #[error("Signature and Signature-Input have different labels")]
    LabelMismatch,
    #[error("the signature does not cover {0}")]
    NotCovered(&'static str),
    #[error("the covered component `{0}` is not supported")]
    UnsupportedComponent(String),
    #[error("the covered component `{0}` is not in the request, is not plain text, or comes twice")]
    UnresolvedComponent(String),
    #[error("the parameter `{0}` is missing or malformed")]
    Parameter(&'static str),
    #[error("the parameter `alg` names an algorithm that is not supported; it can be left out")]
    UnknownAlgorithm,
    #[error("the parameter `alg` is not the algorithm of the signature; it can be left out")]
    AlgorithmMismatch,
    #[error("the signature was created too long ago; is the clock of the client right?")]
    TooOld,
    #[error("the signature was created in the future; is the clock of the client right?")]
    TooNew,
    #[error("the signature does not match the request and the key of the certificate")]
    Wrong,
}

/// Verifies the one signature of a request at `now` (seconds since 1970).
///
/// What is cheap comes first, and nothing before the signature itself depends on the key: who does not
/// have it learns nothing of it.
pub fn verify(
    received: &Received<'_>,
    key: &VerifyingKey,
    now: u64,
    window: &Window,
) -> Result<Verified, SignatureError> {
    // margo(X-33)
    let line = received.field("Signature-Input")?;
    let input = Input::read(&line)?;
    let signature = signature_bytes(&received.field("Signature")?, input.label)?;

    let names = input.covered_names()?;
    check_coverage(&names, received.has_body)?;
    let keyid = input.string("keyid")?.ok_or(SignatureError::Parameter("keyid"))?;
    // margo(SP-38)
    if keyid.is_empty() {
        return Err(SignatureError::Parameter("keyid"));
    }
    let created = input.seconds("created")?.ok_or(SignatureError::Parameter("created"))?;
    check_time(created, input.seconds("expires")?, now, window)?;
    // margo(SP-32): `alg` is optional.
    let named = input.string("alg")?;
    let named =
        named.map(|it| Algorithm::named(it).ok_or(SignatureError::UnknownAlgorithm)).transpose()?;

    let bases = Bases::of(received, &names, input.parameters)?;
    let held = bases.any_held(key, &signature).ok_or(SignatureError::Wrong)?;
    if named.is_some_and(|named| named != held.algorithm) {
        return Err(SignatureError::AlgorithmMismatch);
    }

    let mut context = Context::new(&SHA256);
    context.update(digest(&SHA256, bases.lower_case.as_bytes()).as_ref());
    context.update(&held.name);
    let mut replay_key = [0; 32];
    replay_key.copy_from_slice(context.finish().as_ref());
    Ok(Verified { keyid: keyid.to_owned(), created, replay_key })
}

impl Received<'_> {
    /// The value of a header that has to be there and is taken apart.
    fn field(&self, name: &'static str) -> Result<String, SignatureError> {
        let lines = (self.header)(&name.to_ascii_lowercase());
        if lines.iter().map(|it| it.len()).sum::<usize>() > LONGEST_FIELD {
            return Err(SignatureError::TooLong(name));
        }
        let value = joined(&lines).map_err(|_| SignatureError::Malformed(name))?;
        value.ok_or(SignatureError::Missing(name))
    }
}

/// What may have been signed.
struct Bases {
    lower_case: String,
    /// With the names as they are in the request, if that is something else.
    literal: Option<String>,
}

impl Bases {
    fn of(
        received: &Received<'_>,
        names: &[&str],
        parameters: &str,
    ) -> Result<Self, SignatureError> {
        let lower: Vec<String> = names.iter().map(|it| it.to_ascii_lowercase()).collect();
        let values = lower
            .iter()
            .map(|name| component::value(received, name))
            .collect::<Result<Vec<_>, _>>()?;
        let base_of = |names: &[&str]| {
            let lines: Vec<Line<'_>> =
                names.iter().zip(&values).map(|(name, value)| Line { name, value }).collect();
            signature_base(&lines, parameters)
        };
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        // margo(SP-29): RFC 9421 wants lower-case names; a signer that wrote capitals may have signed
        // them as well.
        let literal = (lower != names).then(|| base_of(names));
        Ok(Self { lower_case: base_of(&lower), literal })
    }

    fn any_held(&self, key: &VerifyingKey, signature: &[u8]) -> Option<key::Held> {
        let held = key.verify(self.lower_case.as_bytes(), signature);
        held.or_else(|| key.verify(self.literal.as_ref()?.as_bytes(), signature))
    }
}

// margo(SP-20, SP-35): required coverage.
fn check_coverage(names: &[&str], has_body: bool) -> Result<(), SignatureError> {
    let covers = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    let digest = has_body.then_some("content-digest");
    for wanted in ["@method", "@target-uri"].into_iter().chain(digest) {
        if !covers(wanted) {
            return Err(SignatureError::NotCovered(wanted));
        }
    }
    Ok(())
}

// margo(SP-24)
fn check_time(
    created: u64,
    expires: Option<u64>,
    now: u64,
    window: &Window,
) -> Result<(), SignatureError> {
    if created > now.saturating_add(window.forward) {
        return Err(SignatureError::TooNew);
    }
    if created < now.saturating_sub(window.back) || expires.is_some_and(|expires| expires < now) {
        return Err(SignatureError::TooOld);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
