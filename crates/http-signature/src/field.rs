//! The value of a header that may have come in several lines (RFC 9110, section 5.3; RFC 9421, section
//! 2.1), as plain text and never longer than somebody needs.

/// What is signed and digested is ASCII; other bytes mean different things to different programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPlainText;

/// The longest value of a header of ours that is taken apart, in bytes. A signature with the longest
/// RSA key takes 1,400.
pub(crate) const LONGEST_FIELD: usize = 8 << 10;

/// The lines without the blanks around each, joined; nothing where the header is not there.
pub(crate) fn joined(lines: &[&[u8]]) -> Result<Option<String>, NotPlainText> {
    if lines.is_empty() {
        return Ok(None);
    }
    let mut value = String::new();
    for (place, line) in lines.iter().enumerate() {
        if !line.iter().all(|it| matches!(it, b'\t' | b' '..=b'~')) {
            return Err(NotPlainText);
        }
        let line = std::str::from_utf8(line).map_err(|_| NotPlainText)?;
        if place > 0 {
            value.push_str(", ");
        }
        value.push_str(line.trim_matches([' ', '\t']));
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_value_without_the_blanks_around_them() {
        assert_eq!(joined(&[]), Ok(None));
        assert_eq!(joined(&[b" a,\tb\t", b"", b"c"]), Ok(Some("a,\tb, , c".to_owned())));
    }

    #[test]
    fn what_is_not_plain_text_is_refused_and_not_left_out() {
        for line in [&b"\xfc"[..], "ü".as_bytes(), b"a\r\n b", b"a\0", b"\x7f"] {
            assert_eq!(joined(&[b"good", line]), Err(NotPlainText));
        }
    }
}
