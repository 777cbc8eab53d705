//! Whether a body is what its `Content-Digest` says.

use ring::digest::{SHA256, SHA512, digest};
use sfv::{Dictionary, ListEntry, Parser};

use crate::field::{LONGEST_FIELD, joined};

/// Why a body is not what its `Content-Digest` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("the header Content-Digest is missing; the body needs `sha-256=:<base64>:`")]
    Missing,
    #[error("the header Content-Digest is malformed; it looks like `sha-256=:<base64>:`")]
    Malformed,
    #[error("the header Content-Digest has no `sha-256=:<base64>:`")]
    NoSha256,
    #[error("the body does not have the digest that the header Content-Digest names")]
    Mismatch,
}

/// Checks a body against every line of the header that came with it.
// margo(SP-19, SP-27): SHA-256 has to be there. Of other digests SHA-512 is checked too, and what is not known
// here is passed over (RFC 9530, section 2). Of an algorithm that is named twice the last digest counts
// (RFC 9651, section 3.2).
pub fn check_content_digest(lines: &[&[u8]], body: &[u8]) -> Result<(), DigestError> {
    let value = joined(lines).map_err(|_| DigestError::Malformed)?.ok_or(DigestError::Missing)?;
    if value.len() > LONGEST_FIELD {
        return Err(DigestError::Malformed);
    }
    let digests: Dictionary = Parser::new(&value).parse().map_err(|_| DigestError::Malformed)?;
    let said = |algorithm: &str| match digests.get(algorithm) {
        None => Ok(None),
        Some(ListEntry::Item(item)) => {
            item.bare_item.as_byte_sequence().map(Some).ok_or(DigestError::Malformed)
        }
        Some(ListEntry::InnerList(_)) => Err(DigestError::Malformed),
    };
    let (sha256, sha512) = (said("sha-256")?.ok_or(DigestError::NoSha256)?, said("sha-512")?);
    let holds = digest(&SHA256, body).as_ref() == sha256
        && sha512.is_none_or(|it| digest(&SHA512, body).as_ref() == it);
    if holds { Ok(()) } else { Err(DigestError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_digest;

    /// RFC 9530, appendix B.1, and what OpenSSL says of the same body in SHA-512.
    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA_512: &str = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCs\
                           yRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    fn check(lines: &[&str]) -> Result<(), DigestError> {
        let lines: Vec<&[u8]> = lines.iter().map(|it| it.as_bytes()).collect();
        check_content_digest(&lines, BODY)
    }

    // margo(SP-19, SP-27)
    #[test]
    fn a_body_has_to_have_the_sha_256_that_is_named() {
        assert_eq!(check(&[SHA_256]), Ok(()));
        assert_eq!(check(&[&content_digest(b"other")]), Err(DigestError::Mismatch));
        assert_eq!(check(&[]), Err(DigestError::Missing));
        assert_eq!(check(&[SHA_512]), Err(DigestError::NoSha256));
        assert_eq!(check(&[""]), Err(DigestError::NoSha256));
    }

    #[test]
    fn sha_512_is_checked_too_and_what_is_unknown_is_passed_over() {
        assert_eq!(check(&[&format!("{SHA_512}, {SHA_256}")]), Ok(()));
        assert_eq!(check(&[&format!("sha-512=:AAAA:, {SHA_256}")]), Err(DigestError::Mismatch));
        assert_eq!(check(&[&format!("sha-3=?1, {SHA_256};x=1, md5=(1 2), a;b=c")]), Ok(()));
    }

    #[test]
    fn several_lines_are_one_header_and_blanks_do_not_count() {
        assert_eq!(check(&[SHA_512, SHA_256]), Ok(()));
        assert_eq!(check(&[&format!(" \t{SHA_512}\t ,\t {SHA_256} ")]), Ok(()));
    }

    #[test]
    fn of_an_algorithm_that_is_named_twice_the_last_digest_counts() {
        let wrong = content_digest(b"other");
        assert_eq!(check(&[&wrong, SHA_256]), Ok(()));
        assert_eq!(check(&[SHA_256, &wrong]), Err(DigestError::Mismatch));
    }

    #[test]
    fn what_is_not_a_structured_field_is_malformed() {
        let long = format!("{SHA_256}, x=\"{}\"", "y".repeat(LONGEST_FIELD));
        for header in [
            "sha-256",
            "sha-256=abc",
            "sha-256=\"RK\"",
            "sha-256=:%%:",
            "sha-256=:AAAA",
            "sha-256=(:AAAA:)",
            "SHA-256=:AAAA:",
            "sha-256=:AAAA:,",
            "sha-256 = :AAAA:",
            "sha-256=:AAAA:, ü=1",
            &long,
        ] {
            assert_eq!(check(&[header]), Err(DigestError::Malformed), "{header}");
        }
    }
}
