//! What other implementations signed holds here; fixtures/README.md says how it was made.

use super::*;

/// A certificate, and the two requests that its key signed.
struct Fixture {
    certificate: &'static [u8],
    requests: &'static str,
}

macro_rules! fixture {
    ($certificate:literal, $requests:literal) => {
        Fixture {
            certificate: include_bytes!(concat!("../fixtures/messages/", $certificate, ".der")),
            requests: include_str!(concat!("../fixtures/messages/", $requests, ".txt")),
        }
    };
}

const FIXTURES: [Fixture; 6] = [
    fixture!("p256", "ecdsa-p256-sha256"),
    fixture!("p384", "ecdsa-p384-sha384"),
    fixture!("rsa", "rsa-v1_5-sha256"),
    fixture!("rsa", "rsa-pss-sha256"),
    fixture!("rsa", "rsa-pss-sha512"),
    fixture!("ed25519", "ed25519"),
];

fn requests(fixture: &Fixture) -> Vec<Vec<(String, &'static str)>> {
    let header = |line: &'static str| {
        let (name, value) = line.split_once(": ").expect("a header has a name");
        (name.to_ascii_lowercase(), value)
    };
    fixture.requests.split("\n\n").map(|it| it.lines().map(header).collect()).collect()
}

fn verify_headers(
    certificate: &[u8],
    headers: &[(String, &str)],
) -> Result<Verified, SignatureError> {
    let key = VerifyingKey::from_certificate_der(certificate).expect("a usable certificate");
    let headers: Vec<(&str, &str)> = headers.iter().map(|it| (it.0.as_str(), it.1)).collect();
    check_headers(&key, "POST", true, &headers)
}

// margo(SP-23, SP-33): every algorithm that a server verifies, with and without `alg`.
#[test]
fn requests_that_python_signed_hold() {
    for fixture in &FIXTURES {
        let keyids: Vec<String> = requests(fixture)
            .iter()
            .map(|headers| match verify_headers(fixture.certificate, headers) {
                Ok(verified) => verified.keyid,
                Err(error) => panic!("{headers:?}: {error}"),
            })
            .collect();
        assert_eq!(keyids, ["press-7", "a \"b\" \\ c"]);
    }
}

#[test]
fn a_signature_holds_for_no_other_certificate() {
    for fixture in &FIXTURES {
        for other in FIXTURES.iter().filter(|it| it.certificate != fixture.certificate) {
            for headers in requests(fixture) {
                let wrong = Err(SignatureError::Wrong);
                assert_eq!(verify_headers(other.certificate, &headers), wrong);
            }
        }
    }
}

// margo(SP-35): the body and its digest count with every algorithm.
#[test]
fn a_signature_holds_for_no_other_digest() {
    for fixture in &FIXTURES {
        for mut headers in requests(fixture) {
            let other = content_digest(b"other");
            for header in headers.iter_mut().filter(|it| it.0 == "content-digest") {
                header.1 = &other;
            }
            let refused = verify_headers(fixture.certificate, &headers);
            assert_eq!(refused, Err(SignatureError::Wrong));
        }
    }
}

#[test]
fn signatures_made_with_openssl_hold() {
    let base = include_bytes!("../fixtures/base.txt");
    for (certificate, signature) in [
        (&include_bytes!("../fixtures/p256.der")[..], &include_bytes!("../fixtures/p256.sig")[..]),
        (include_bytes!("../fixtures/p384.der"), include_bytes!("../fixtures/p384.sig")),
        (include_bytes!("../fixtures/rsa.der"), include_bytes!("../fixtures/rsa-pkcs1.sig")),
        (include_bytes!("../fixtures/rsa.der"), include_bytes!("../fixtures/rsa-pss256.sig")),
        (include_bytes!("../fixtures/rsa.der"), include_bytes!("../fixtures/rsa-pss512.sig")),
        (include_bytes!("../fixtures/rsa8192.der"), include_bytes!("../fixtures/rsa8192.sig")),
        (include_bytes!("../fixtures/ed25519.der"), include_bytes!("../fixtures/ed25519.sig")),
    ] {
        let key = VerifyingKey::from_certificate_der(certificate).expect("a usable certificate");
        assert!(key.verify(base, signature).is_some(), "{key:?}");
        assert!(key.verify(b"something else", signature).is_none());
    }
}
