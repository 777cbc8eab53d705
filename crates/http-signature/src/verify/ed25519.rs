//! Ed25519 public keys with which anybody could sign.

/// The two y of the points of order 8, in little endian.
const ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether a key is a point whose order divides 8, however it is encoded. A signature can be made for
/// such a key without a private one, since it does not bind the message (RFC 8032, section 5.1.7).
pub(super) fn has_small_order(key: &[u8; 32]) -> bool {
    let mut y = *key;
    // The sign of x.
    y[31] &= 0x7f;
    let [least, middle @ .., most] = y;
    match (least, most) {
        // 0 and 1.
        (0 | 1, 0) if middle == [0; 30] => true,
        // -1, and 0 and 1 again, written as p and p + 1.
        (0xec..=0xee, 0x7f) if middle == [0xff; 30] => true,
        _ => ORDER_8.contains(&y),
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn with_least(least: u8, rest: u8, most: u8) -> [u8; 32] {
        let mut key = [rest; 32];
        (key[0], key[31]) = (least, most);
        key
    }

    #[test]
    fn every_point_of_small_order_is_known_with_either_sign() {
        let mut keys = ORDER_8.to_vec();
        keys.extend([with_least(0, 0, 0), with_least(1, 0, 0)]);
        keys.extend([0xec, 0xed, 0xee].map(|least| with_least(least, 0xff, 0x7f)));
        for mut key in keys {
            assert!(has_small_order(&key));
            key[31] |= 0x80;
            assert!(has_small_order(&key));
            key[1] ^= 1;
            assert!(!has_small_order(&key));
        }
    }

    // Why they are refused: this signature is the same for every text.
    #[test]
    fn anybody_can_sign_for_the_neutral_point() {
        let neutral = with_least(1, 0, 0);
        let signature = [neutral, [0; 32]].concat();
        let key = UnparsedPublicKey::new(&ED25519, neutral);
        assert_eq!(key.verify(b"anything", &signature), Ok(()));
        assert_eq!(key.verify(b"something else", &signature), Ok(()));
    }
}
