//! Verifying a signed request with the key of a certificate: what a fleet manager does.
//!
//! The base is built from the received bytes of `Signature-Input`, never from parsed and written
//! again parameters: their order is the signer's, and parameters that are unknown here count too.

mod key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{Dictionary, InnerList, ListEntry, Parser};

use crate::base::{Line, signature_base};

pub use key::{UnusableCertificate, VerifyingKey};

/// More covered components than anybody needs.
const MOST_COMPONENTS: usize = 32;

/// A request as it was received.
pub struct Received<'a> {
    pub method: &'a str,
    /// The absolute URI that the client meant: built from a configured origin, not from `Host`.
    pub target_uri: &'a str,
    /// Every line of `Signature-Input`.
    pub signature_input: &'a [&'a str],
    /// Every line of `Signature`.
    pub signature: &'a [&'a str],
    /// Whether there is a body, whose digest then has to be covered.
    pub has_body: bool,
    /// The value of a header by its lower-case name, several lines joined with `, `.
    pub header: &'a dyn Fn(&str) -> Option<String>,
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
    /// 300 s back and 60 s forward (contract §16.2).
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
    #[error("the request carries more than one signature")]
    Several,
    #[error("Signature and Signature-Input have different labels")]
    LabelMismatch,
    #[error("the signature does not cover {0}")]
    NotCovered(&'static str),
    #[error("the covered component `{0}` is not supported")]
    UnsupportedComponent(String),
    #[error("the covered component `{0}` is not in the request, or is covered twice")]
    UnresolvedComponent(String),
    #[error("the parameter `{0}` is missing or malformed")]
    Parameter(&'static str),
    #[error("the parameter `alg` does not fit the key of the certificate")]
    AlgorithmMismatch,
    #[error("the signature was created too long ago; is the clock of the client right?")]
    TooOld,
    #[error("the signature was created in the future; is the clock of the client right?")]
    TooNew,
    #[error("the signature does not match the request and the key of the certificate")]
    Wrong,
}

/// Verifies the one signature of a request at `now` (seconds since 1970).
pub fn verify(
    received: &Received<'_>,
    key: &VerifyingKey,
    now: u64,
    window: &Window,
) -> Result<Verified, SignatureError> {
    let (label, parameters, covered) = signature_input(received.signature_input)?;
    let signature = signature_bytes(received.signature, &label)?;

    let names = covered_names(&covered, received.has_body)?;
    let keyid = string_parameter(&covered, "keyid").ok_or(SignatureError::Parameter("keyid"))?;
    if keyid.is_empty() {
        return Err(SignatureError::Parameter("keyid"));
    }
    let created =
        integer_parameter(&covered, "created")?.ok_or(SignatureError::Parameter("created"))?;
    check_time(created, integer_parameter(&covered, "expires")?, now, window)?;
    if covered.params.contains_key("alg") {
        let algorithm =
            string_parameter(&covered, "alg").ok_or(SignatureError::Parameter("alg"))?;
        if !key.allows(&algorithm) {
            return Err(SignatureError::AlgorithmMismatch);
        }
    }

    let values = names
        .iter()
        .map(|name| component_value(received, &name.to_ascii_lowercase()))
        .collect::<Result<Vec<_>, _>>()?;
    let base_with = |name_of: fn(&str) -> String| {
        let names: Vec<String> = names.iter().map(|name| name_of(name)).collect();
        let lines: Vec<Line<'_>> =
            names.iter().zip(&values).map(|(name, value)| Line { name, value }).collect();
        signature_base(&lines, &parameters)
    };
    // margo(§16.2): RFC 9421 wants lower-case names; a signer that wrote capitals may have signed
    // them as well.
    let base = base_with(str::to_ascii_lowercase);
    let canonical = key.verify(base.as_bytes(), &signature).or_else(|| {
        let has_capitals = names.iter().any(|name| name.bytes().any(|it| it.is_ascii_uppercase()));
        has_capitals.then(|| key.verify(base_with(str::to_owned).as_bytes(), &signature)).flatten()
    });
    let canonical = canonical.ok_or(SignatureError::Wrong)?;

    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(ring::digest::digest(&ring::digest::SHA256, base.as_bytes()).as_ref());
    context.update(&canonical);
    let mut replay_key = [0; 32];
    replay_key.copy_from_slice(context.finish().as_ref());
    Ok(Verified { keyid, created, replay_key })
}

/// The label, the raw text of the parameters, and what they say.
fn signature_input(lines: &[&str]) -> Result<(String, String, InnerList), SignatureError> {
    const HEADER: &str = "Signature-Input";
    let line = match lines {
        [] => return Err(SignatureError::Missing(HEADER)),
        [line] => line.trim(),
        _ => return Err(SignatureError::Several),
    };
    let members: Dictionary =
        Parser::new(line).parse().map_err(|_| SignatureError::Malformed(HEADER))?;
    let mut members = members.into_iter();
    let (label, member) = members.next().ok_or(SignatureError::Missing(HEADER))?;
    if members.next().is_some() {
        return Err(SignatureError::Several);
    }
    let ListEntry::InnerList(covered) = member else {
        return Err(SignatureError::Malformed(HEADER));
    };
    let (_, parameters) = line.split_once('=').ok_or(SignatureError::Malformed(HEADER))?;
    Ok((label.as_str().to_owned(), parameters.to_owned(), covered))
}

fn signature_bytes(lines: &[&str], label: &str) -> Result<Vec<u8>, SignatureError> {
    const HEADER: &str = "Signature";
    let line = match lines {
        [] => return Err(SignatureError::Missing(HEADER)),
        [line] => line.trim(),
        _ => return Err(SignatureError::Several),
    };
    let (found, value) = line.split_once('=').ok_or(SignatureError::Malformed(HEADER))?;
    if value.contains(',') {
        return Err(SignatureError::Several);
    }
    if found.trim() != label {
        return Err(SignatureError::LabelMismatch);
    }
    let encoded = value
        .strip_prefix(':')
        .and_then(|it| it.strip_suffix(':'))
        .ok_or(SignatureError::Malformed(HEADER))?;
    STANDARD.decode(encoded).map_err(|_| SignatureError::Malformed(HEADER))
}

fn covered_names(covered: &InnerList, has_body: bool) -> Result<Vec<String>, SignatureError> {
    if covered.items.len() > MOST_COMPONENTS {
        return Err(SignatureError::Malformed("Signature-Input"));
    }
    let mut names = Vec::new();
    for item in &covered.items {
        let name = item
            .bare_item
            .as_string()
            .ok_or(SignatureError::Malformed("Signature-Input"))?
            .as_str()
            .to_owned();
        if !item.params.is_empty() {
            return Err(SignatureError::UnsupportedComponent(name));
        }
        if names.iter().any(|known: &String| known.eq_ignore_ascii_case(&name)) {
            return Err(SignatureError::UnresolvedComponent(name));
        }
        names.push(name);
    }
    // margo(§16.2): required coverage.
    let covers = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    for wanted in ["@method", "@target-uri"] {
        if !covers(wanted) {
            return Err(SignatureError::NotCovered(wanted));
        }
    }
    if has_body && !covers("content-digest") {
        return Err(SignatureError::NotCovered("content-digest"));
    }
    Ok(names)
}

fn component_value(received: &Received<'_>, name: &str) -> Result<String, SignatureError> {
    let value = match name {
        "@method" => received.method.to_owned(),
        "@target-uri" => received.target_uri.to_owned(),
        derived if derived.starts_with('@') => {
            return Err(SignatureError::UnsupportedComponent(name.to_owned()));
        }
        header => (received.header)(header)
            .ok_or_else(|| SignatureError::UnresolvedComponent(name.to_owned()))?,
    };
    if value.contains(['\n', '\r']) {
        return Err(SignatureError::UnresolvedComponent(name.to_owned()));
    }
    Ok(value)
}

fn string_parameter(covered: &InnerList, name: &str) -> Option<String> {
    Some(covered.params.get(name)?.as_string()?.as_str().to_owned())
}

fn integer_parameter(
    covered: &InnerList,
    name: &'static str,
) -> Result<Option<u64>, SignatureError> {
    covered
        .params
        .get(name)
        .map(|value| {
            value
                .as_integer()
                .and_then(|integer| u64::try_from(i64::from(integer)).ok())
                .ok_or(SignatureError::Parameter(name))
        })
        .transpose()
}

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
