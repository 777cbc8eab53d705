//! `Signature-Input` and `Signature`: structured fields (RFC 9651) with one member each.

use sfv::{Dictionary, InnerList, ListEntry, Parser};

use super::SignatureError;

/// More covered components than anybody needs.
const MOST_COMPONENTS: usize = 32;

/// What a signature says of itself.
pub(super) struct Input<'a> {
    pub(super) label: &'a str,
    /// The text of the components and parameters exactly as it was received.
    pub(super) parameters: &'a str,
    covered: InnerList,
}

impl<'a> Input<'a> {
    pub(super) fn read(line: &'a str) -> Result<Self, SignatureError> {
        const HEADER: &str = "Signature-Input";
        let (label, parameters, member) = sole_member(HEADER, line)?;
        let ListEntry::InnerList(covered) = member else {
            return Err(SignatureError::Malformed(HEADER));
        };
        if covered.items.len() > MOST_COMPONENTS {
            return Err(SignatureError::Malformed(HEADER));
        }
        Ok(Self { label, parameters, covered })
    }

    /// The names of the covered components, as they are written.
    pub(super) fn covered_names(&self) -> Result<Vec<&str>, SignatureError> {
        let mut names: Vec<&str> = Vec::new();
        for item in &self.covered.items {
            let name =
                item.bare_item.as_string().ok_or(SignatureError::Malformed("Signature-Input"))?;
            let name = name.as_str();
            if !item.params.is_empty() {
                return Err(SignatureError::UnsupportedComponent(name.to_owned()));
            }
            if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(SignatureError::UnresolvedComponent(name.to_owned()));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// A parameter that is text.
    pub(super) fn string(&self, name: &'static str) -> Result<Option<&str>, SignatureError> {
        let Some(value) = self.covered.params.get(name) else { return Ok(None) };
        let value = value.as_string().ok_or(SignatureError::Parameter(name))?;
        Ok(Some(value.as_str()))
    }

    /// A parameter that is a time in seconds since 1970.
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<u64>, SignatureError> {
        let Some(value) = self.covered.params.get(name) else { return Ok(None) };
        let seconds = value.as_integer().and_then(|it| u64::try_from(i64::from(it)).ok());
        seconds.map(Some).ok_or(SignatureError::Parameter(name))
    }
}

/// The bytes of the signature with this label.
pub(super) fn signature_bytes(line: &str, label: &str) -> Result<Vec<u8>, SignatureError> {
    const HEADER: &str = "Signature";
    let (found, _, member) = sole_member(HEADER, line)?;
    if found != label {
        return Err(SignatureError::LabelMismatch);
    }
    let ListEntry::Item(item) = member else { return Err(SignatureError::Malformed(HEADER)) };
    let bytes = item.bare_item.as_byte_sequence().ok_or(SignatureError::Malformed(HEADER))?;
    Ok(bytes.to_vec())
}

/// The key, the text and the meaning of a dictionary's one member.
// margo(SP-31): any label, and only one; the same label twice is two.
fn sole_member<'a>(
    header: &'static str,
    line: &'a str,
) -> Result<(&'a str, &'a str, ListEntry), SignatureError> {
    let line = line.trim_matches(' ');
    let members: Dictionary =
        Parser::new(line).parse().map_err(|_| SignatureError::Malformed(header))?;
    let (_, member) = members.into_iter().next().ok_or(SignatureError::Missing(header))?;
    if has_comma_outside_of_strings(line) {
        return Err(SignatureError::Several);
    }
    let (label, text) = line.split_once('=').ok_or(SignatureError::Malformed(header))?;
    Ok((label, text, member))
}

/// In a well-formed dictionary such a comma divides members.
fn has_comma_outside_of_strings(line: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => return true,
            _ => {}
        }
    }
    false
}
