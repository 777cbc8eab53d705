//! The public key of an X.509 certificate, if it is one to rely on.

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_RSASSAPSS, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::RSAPublicKey;

use super::key::Kind;
use super::{VerifyingKey, ed25519};

/// The largest certificate, in bytes. Each is kept for as long as its client.
const LARGEST: usize = 16 << 10;
/// RSA keys below this are weak.
const LEAST_RSA_BITS: usize = 2048;
/// RSA keys above this take too long to verify with.
const MOST_RSA_BITS: usize = 8192;
/// Exponents above this, in bits, too.
const MOST_EXPONENT_BITS: usize = 33;

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificate {
    #[error("not an X.509 certificate in DER")]
    NotX509,
    #[error("larger than {LARGEST} bytes")]
    TooLarge,
    #[error(
        "the key of the certificate is of an unsupported kind; use P-256, P-384, Ed25519 or RSA"
    )]
    UnsupportedKey,
    #[error(
        "the elliptic curve key of the certificate is no uncompressed point of the curve's size"
    )]
    NotAPoint,
    #[error("the Ed25519 key of the certificate is one that anybody can sign for")]
    WeakEd25519,
    #[error("the RSA key of the certificate has {0} bits; {LEAST_RSA_BITS} are the least")]
    WeakRsa(usize),
    #[error("the RSA key of the certificate has {0} bits; {MOST_RSA_BITS} are the most")]
    LongRsa(usize),
    #[error("the RSA key of the certificate has an unusable modulus or exponent")]
    UnusableRsa,
}

impl VerifyingKey {
    /// Takes the key out of an X.509 certificate. Neither its chain nor its dates are looked at.
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, UnusableCertificate> {
        if der.len() > LARGEST {
            return Err(UnusableCertificate::TooLarge);
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| UnusableCertificate::NotX509)?;
        if !rest.is_empty() {
            return Err(UnusableCertificate::NotX509);
        }
        let info = certificate.public_key();
        let bytes = info.subject_public_key.data.to_vec();
        let certificate_ends = certificate.validity().not_after.timestamp();
        Ok(Self { kind: kind(info, &bytes)?, bytes, certificate_ends })
    }

    /// When the certificate that it was taken out of ends, in seconds since 1970. For the caller to judge.
    pub fn certificate_ends(&self) -> i64 {
        self.certificate_ends
    }
}

fn kind(info: &SubjectPublicKeyInfo<'_>, key: &[u8]) -> Result<Kind, UnusableCertificate> {
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => check_point(key, 32).map(|()| Kind::P256),
            Some(curve) if curve == OID_NIST_EC_P384 => check_point(key, 48).map(|()| Kind::P384),
            _ => Err(UnusableCertificate::UnsupportedKey),
        };
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return check_rsa(key).map(|()| Kind::Rsa);
    }
    if *algorithm == OID_PKCS1_RSASSAPSS {
        return check_rsa(key).map(|()| Kind::RsaPss);
    }
    match <&[u8; 32]>::try_from(key) {
        Ok(key) if *algorithm == OID_SIG_ED25519 => {
            if ed25519::has_small_order(key) {
                return Err(UnusableCertificate::WeakEd25519);
            }
            Ok(Kind::Ed25519)
        }
        _ => Err(UnusableCertificate::UnsupportedKey),
    }
}

/// Whether it is on the curve shows when the first signature is verified with it.
fn check_point(key: &[u8], size: usize) -> Result<(), UnusableCertificate> {
    let is_point = key.len() == 1 + 2 * size && key.first() == Some(&4);
    if is_point { Ok(()) } else { Err(UnusableCertificate::NotAPoint) }
}

// Strong keys only, of a size that bounds the time.
fn check_rsa(key: &[u8]) -> Result<(), UnusableCertificate> {
    let (rest, key) = RSAPublicKey::from_der(key).map_err(|_| UnusableCertificate::UnusableRsa)?;
    let bits = bits(key.modulus);
    if bits < LEAST_RSA_BITS {
        return Err(UnusableCertificate::WeakRsa(bits));
    }
    if bits > MOST_RSA_BITS {
        return Err(UnusableCertificate::LongRsa(bits));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|it| it % 2 == 1);
    let is_usable = rest.is_empty()
        && is_odd(key.modulus)
        && is_odd(key.exponent)
        && (2..=MOST_EXPONENT_BITS).contains(&self::bits(key.exponent));
    if is_usable { Ok(()) } else { Err(UnusableCertificate::UnusableRsa) }
}

/// The length of a big-endian number in bits.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|it| **it == 0).count();
    match number.get(leading) {
        Some(first) => (number.len() - leading) * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::UnusableCertificate::{
        LongRsa, NotAPoint, NotX509, TooLarge, UnsupportedKey, UnusableRsa, WeakEd25519, WeakRsa,
    };
    use super::*;

    fn refusal(der: &[u8]) -> Option<UnusableCertificate> {
        VerifyingKey::from_certificate_der(der).err()
    }

    /// A certificate in which some bytes are replaced; nobody looks at its signature.
    fn changed(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = der.windows(from.len()).position(|it| it == from).expect("they are there");
        [&der[..at], to, &der[at + from.len()..]].concat()
    }

    #[test]
    fn keys_that_are_weak_or_too_long_are_refused() {
        assert_eq!(refusal(include_bytes!("fixtures/rsa1024.der")), Some(WeakRsa(1024)));
        assert_eq!(refusal(include_bytes!("fixtures/rsa9216.der")), Some(LongRsa(9216)));
        assert_eq!(refusal(include_bytes!("fixtures/rsa8192.der")), None);
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        assert_eq!(refusal(include_bytes!("fixtures/p521.der")), Some(UnsupportedKey));
        assert_eq!(refusal(include_bytes!("fixtures/secp256k1.der")), Some(UnsupportedKey));
    }

    #[test]
    fn an_rsa_key_that_anybody_could_sign_with_is_refused() {
        let rsa = include_bytes!("fixtures/rsa.der");
        let exponent = &[2, 3, 1, 0, 1];
        for other in [&[2, 3, 0, 0, 1], &[2, 3, 1, 0, 0], &[2, 3, 0, 0, 0]] {
            assert_eq!(refusal(&changed(rsa, exponent, other)), Some(UnusableRsa), "{other:?}");
        }
        let at = rsa.windows(5).position(|it| it == exponent).expect("it is there");
        let mut even = rsa.to_vec();
        even[at - 1] &= 0xfe;
        assert_eq!(refusal(&even), Some(UnusableRsa));
    }

    #[test]
    fn an_ed25519_key_that_anybody_could_sign_with_is_refused() {
        let good = include_bytes!("fixtures/ed25519.der");
        let before_key = [3, 33, 0];
        let at = good.windows(3).position(|it| it == before_key).expect("it is there") + 3;
        let mut neutral = good.to_vec();
        neutral[at..at + 32].fill(0);
        neutral[at] = 1;
        assert_eq!(refusal(good), None);
        assert_eq!(refusal(&neutral), Some(WeakEd25519));
    }

    #[test]
    fn a_point_is_uncompressed() {
        let p256 = include_bytes!("fixtures/p256.der");
        let compressed = changed(p256, &[3, 66, 0, 4], &[3, 66, 0, 2]);
        assert_eq!(refusal(&compressed), Some(NotAPoint));
        let of_other_curve = changed(
            p256,
            &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7, 3],
            &[6, 8, 42, 134, 72, 206, 61, 3, 1, 6, 3],
        );
        assert_eq!(refusal(&of_other_curve), Some(UnsupportedKey));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let p256 = include_bytes!("fixtures/p256.der");
        assert_eq!(refusal(b"nothing"), Some(NotX509));
        assert_eq!(refusal(&[&p256[..], b"more"].concat()), Some(NotX509));
        assert_eq!(refusal(&p256[..p256.len() - 1]), Some(NotX509));
        assert_eq!(refusal(&vec![0x30; LARGEST + 1]), Some(TooLarge));
    }

    #[test]
    fn lengths_are_counted_in_bits() {
        for (number, expected) in [(&[][..], 0), (&[0, 0], 0), (&[1], 1), (&[0, 0x80, 0], 16)] {
            assert_eq!(bits(number), expected);
        }
    }
}
