//! Private keys as their owners keep them: PEM files with PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1
//! (`RSA PRIVATE KEY`). All become PKCS#8 here, which is all that the rest understands.

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// Why a file has no key for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableKey {
    #[error("it has no private key in PEM; one with a passphrase cannot be used")]
    NoKey,
    #[error("its key is on another curve than P-256 and P-384")]
    Curve,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` with no parameters (RFC 8017, appendix A.1).
const RSA: &[u8] = &[6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0];
/// `id-ecPublicKey` with a named curve (RFC 5480, section 2.1.1).
const P256: &[u8] = &[6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7];
const P384: &[u8] = &[6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 5, 43, 129, 4, 0, 34];

/// The first private key in a PEM file, as PKCS#8 in DER.
pub(super) fn pkcs8_of_pem(pem: &[u8]) -> Result<Vec<u8>, UnreadableKey> {
    match PrivateKeyDer::from_pem_slice(pem).map_err(|_| UnreadableKey::NoKey)? {
        PrivateKeyDer::Pkcs8(key) => Ok(key.secret_pkcs8_der().to_vec()),
        PrivateKeyDer::Pkcs1(key) => Ok(pkcs8(RSA, key.secret_pkcs1_der())),
        PrivateKeyDer::Sec1(key) => {
            let key = key.secret_sec1_der();
            Ok(pkcs8(curve(key).ok_or(UnreadableKey::Curve)?, key))
        }
        _ => Err(UnreadableKey::NoKey),
    }
}

/// The curve that a SEC1 key has the length of (RFC 5915, section 3). Whether it is on that one shows
/// when the key is used.
fn curve(sec1: &[u8]) -> Option<&'static [u8]> {
    let begins =
        |length| sec1.windows(5).take(4).any(|it| it == [INTEGER, 1, 1, OCTET_STRING, length]);
    if begins(32) {
        Some(P256)
    } else if begins(48) {
        Some(P384)
    } else {
        None
    }
}

/// `PrivateKeyInfo` (RFC 5208, section 5).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let version = value(INTEGER, &[0]);
    let content = [version, value(SEQUENCE, algorithm), value(OCTET_STRING, key)].concat();
    value(SEQUENCE, &content)
}

/// A value in DER.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|it| **it == 0).count()..];
    let mut value = vec![tag];
    match length {
        [] => value.push(0),
        [short @ 0..0x80] => value.push(*short),
        long => {
            value.push(0x80 | long.len() as u8);
            value.extend_from_slice(long);
        }
    }
    value.extend_from_slice(content);
    value
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;
    use testkit::keys;

    use super::*;

    // The keys of a name are the same key.
    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        for (in_pkcs8, other_form) in [
            (keys::P256, keys::P256_SEC1),
            (keys::P384, keys::P384_SEC1),
            (keys::RSA, keys::RSA_PKCS1),
        ] {
            let [expected, found] = [in_pkcs8, other_form].map(|key| {
                let der = pkcs8_of_pem(key.pem.as_bytes()).expect("a private key");
                let pair = KeyPair::try_from(der).expect("PKCS#8 of a usable key");
                pair.public_key_raw().to_vec()
            });
            assert_eq!(found, expected, "{}", other_form.name);
        }
    }

    #[test]
    fn what_is_no_usable_key_is_refused_in_words() {
        let encrypted = keys::P256.pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for pem in ["", "nothing", &encrypted, "-----BEGIN PRIVATE KEY-----\n%\n"] {
            assert_eq!(pkcs8_of_pem(pem.as_bytes()), Err(UnreadableKey::NoKey));
        }
        let of_other_length =
            "-----BEGIN EC PRIVATE KEY-----\nMAUCAQEEQg==\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(pkcs8_of_pem(of_other_length.as_bytes()), Err(UnreadableKey::Curve));
    }
}
