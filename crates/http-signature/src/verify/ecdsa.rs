//! The two encodings of an ECDSA signature.

/// `r‖s` with `size` bytes each, of a signature in that encoding (RFC 9421, section 3.3.4) or, as a
/// fallback, in DER: a sequence of two integers.
pub(super) fn raw(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    if signature.len() == 2 * size { Some(signature.to_vec()) } else { raw_of_der(signature, size) }
}

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

/// The content of a DER value with this tag and a length below 128, and what follows it. A signature
/// with P-384 has 104 bytes at most.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag || *length >= 0x80 {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}
