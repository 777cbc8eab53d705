//! `Content-Digest` (RFC 9530): SHA-256 is written and asked for; SHA-512 beside it is checked as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// The value of `Content-Digest` for a body.
// margo(SP-19)
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, body)))
}

#[cfg(feature = "verify")]
mod check;
#[cfg(feature = "verify")]
pub use check::{DigestError, check_content_digest};

#[cfg(test)]
mod tests {
    use super::*;

    // margo(SP-19)
    #[test]
    fn the_digest_of_a_body_is_that_of_rfc_9530() {
        for (body, digest) in [
            // RFC 9530, appendix B.1 and B.2.
            (
                &b"{\"hello\": \"world\"}\n"[..],
                "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            ),
            (b"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ] {
            assert_eq!(content_digest(body), digest);
        }
    }
}
