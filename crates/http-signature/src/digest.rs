//! `Content-Digest` (RFC 9530) with SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a body is not what its `Content-Digest` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("the header Content-Digest is missing; the body needs `sha-256=:<base64>:`")]
    Missing,
    #[error("the header Content-Digest has no `sha-256=:<base64>:`")]
    NoSha256,
    #[error("the body does not have the digest that the header Content-Digest names")]
    Mismatch,
}

/// The value of `Content-Digest` for a body.
pub fn content_digest(body: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    format!("sha-256=:{}:", STANDARD.encode(digest))
}

/// Checks a body against the header that came with it. Digests of other algorithms beside SHA-256
/// are passed over.
pub fn check_content_digest(header: Option<&str>, body: &[u8]) -> Result<(), DigestError> {
    let header = header.ok_or(DigestError::Missing)?;
    let sha256 = header
        .split(',')
        .filter_map(|member| member.trim().split_once('='))
        .find(|(algorithm, _)| algorithm.eq_ignore_ascii_case("sha-256"))
        .map(|(_, value)| value.trim())
        .ok_or(DigestError::NoSha256)?;
    let expected = content_digest(body);
    if expected.strip_prefix("sha-256=") == Some(sha256) {
        Ok(())
    } else {
        Err(DigestError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_body_is_that_of_rfc_9530() {
        assert_eq!(
            content_digest(b"{\"hello\": \"world\"}\n"),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
    }

    #[test]
    fn a_body_is_checked_against_its_sha_256_among_others() {
        let digest = content_digest(b"body");
        let header = format!("sha-512=:AAAA:, {digest}");
        assert_eq!(check_content_digest(Some(&header), b"body"), Ok(()));
        assert_eq!(check_content_digest(Some(&header), b"Body"), Err(DigestError::Mismatch));
        assert_eq!(
            check_content_digest(Some("sha-512=:AAAA:"), b"body"),
            Err(DigestError::NoSha256)
        );
        assert_eq!(check_content_digest(None, b"body"), Err(DigestError::Missing));
    }
}
