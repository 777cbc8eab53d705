//! The signature base of RFC 9421, section 2.5: the text that is signed.

/// One covered component: its name as it stands in the base, and its value.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

/// Joins the lines and the parameters, which have to be the very text of `Signature-Input`.
pub(crate) fn signature_base(lines: &[Line<'_>], parameters: &str) -> String {
    let mut base = String::new();
    for Line { name, value } in lines {
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    base
}
