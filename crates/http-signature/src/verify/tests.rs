//! The tolerant and the intolerant lines of contract §16.2, each with its test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::{Message, SignatureHeaders, SigningKey, content_digest, sign};

mod hostile;
mod other_implementations;
mod rfc9421;

const NOW: u64 = 1_800_000_000;
const URI: &str = "https://fleet.example/api/v1/clients/c/deployments";

/// A client's key, and what the fleet manager knows of it.
struct Pair {
    key: SigningKey,
    public: VerifyingKey,
}

fn pair() -> Pair {
    let pair = KeyPair::generate().expect("P-256 keys can be made");
    let certificate =
        CertificateParams::default().self_signed(&pair).expect("a key signs its certificate");
    Pair {
        key: SigningKey::from_pkcs8_der(pair.serialized_der()).expect("PKCS#8"),
        public: VerifyingKey::from_certificate_der(certificate.der()).expect("P-256"),
    }
}

/// Signs a base as it is, so that a test can write what no signer of ours writes.
fn sign_base(key: &SigningKey, base: &str) -> Vec<u8> {
    key.sign_raw(base.as_bytes()).expect("P-256 can sign")
}

fn check(
    public: &VerifyingKey,
    method: &str,
    body: Option<&[u8]>,
    input: &str,
    signature: &str,
) -> Result<Verified, SignatureError> {
    let digest = body.map(content_digest);
    let mut headers = vec![("signature-input", input), ("signature", signature)];
    headers.extend(digest.iter().map(|it| ("content-digest", it.as_str())));
    check_headers(public, method, body.is_some(), &headers)
}

/// Verifies a request with these header lines.
fn check_headers(
    public: &VerifyingKey,
    method: &str,
    has_body: bool,
    headers: &[(&str, &str)],
) -> Result<Verified, SignatureError> {
    let header = |name: &str| -> Vec<&[u8]> {
        headers.iter().filter(|it| it.0 == name).map(|it| it.1.as_bytes()).collect()
    };
    let received = Received { method, target_uri: URI, has_body, header: &header };
    verify(&received, public, NOW, &Window::default())
}

fn signed(pair: &Pair, method: &str, body: Option<&[u8]>, created: u64) -> SignatureHeaders {
    sign(&pair.key, &Message { method, target_uri: URI, body }, created, "press-7")
        .expect("P-256 can sign")
}

/// Signs `("@method" "@target-uri")` with these parameters and names as they are.
fn signed_by_hand(pair: &Pair, names: [&str; 2], parameters: &str) -> (String, String) {
    let parameters = format!("(\"{}\" \"{}\"){parameters}", names[0], names[1]);
    let base =
        format!("\"@method\": GET\n\"@target-uri\": {URI}\n\"@signature-params\": {parameters}");
    let signature = STANDARD.encode(sign_base(&pair.key, &base));
    (format!("sig1={parameters}"), format!("sig1=:{signature}:"))
}

// margo(SP-19, SP-20, SP-30)
#[test]
fn what_was_signed_is_verified() {
    let pair = pair();
    for body in [None, Some(&b"{}"[..])] {
        let headers = signed(&pair, "POST", body, NOW);
        let verified =
            check(&pair.public, "POST", body, &headers.signature_input, &headers.signature)
                .expect("a good signature");
        assert_eq!(verified.keyid, "press-7");
        assert_eq!(verified.created, NOW);
    }
}

// margo(SP-22, SP-35)
#[test]
fn a_signature_is_bound_to_method_body_and_key() {
    let pair = pair();
    let headers = signed(&pair, "POST", Some(b"{}"), NOW);
    let (input, signature) = (&headers.signature_input, &headers.signature);
    let wrong = Err(SignatureError::Wrong);
    assert_eq!(check(&pair.public, "PUT", Some(b"{}"), input, signature), wrong);
    assert_eq!(check(&pair.public, "POST", Some(b"[]"), input, signature), wrong);
    let other = self::pair();
    assert_eq!(check(&other.public, "POST", Some(b"{}"), input, signature), wrong);
}

// margo(SP-24, SP-40)
#[test]
fn a_signature_holds_inside_its_window_only() {
    let pair = pair();
    let at = |created| {
        let headers = signed(&pair, "GET", None, created);
        check(&pair.public, "GET", None, &headers.signature_input, &headers.signature)
            .map(|it| it.created)
    };
    assert_eq!(at(NOW - 300), Ok(NOW - 300));
    assert_eq!(at(NOW - 301), Err(SignatureError::TooOld));
    assert_eq!(at(NOW + 60), Ok(NOW + 60));
    assert_eq!(at(NOW + 61), Err(SignatureError::TooNew));
}

#[test]
fn parameters_count_as_they_were_received() {
    let pair = pair();
    for parameters in [
        ";keyid=\"d\";created=1800000000",
        ";created=1800000000;keyid=\"d\";alg=\"ecdsa-p256-sha256\"",
        ";x=1;created=1800000000;keyid=\"d\";nonce=\"n\"",
        "; created=1800000000;  keyid=\"d\"",
    ] {
        let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], parameters);
        let verified = check(&pair.public, "GET", None, &input, &signature);
        assert_eq!(verified.map(|it| it.keyid), Ok("d".to_owned()), "{parameters}");
    }
}

// margo(SP-29): exactly as received, blanks included.
#[test]
fn blanks_between_components_count_and_blanks_around_the_header_do_not() {
    let pair = pair();
    let parameters = format!("( \"@method\"   \"@target-uri\" );created={NOW}; keyid=\"d\"");
    let base =
        format!("\"@method\": GET\n\"@target-uri\": {URI}\n\"@signature-params\": {parameters}");
    let signature = STANDARD.encode(sign_base(&pair.key, &base));
    let (input, signature) = (format!(" \tsig1={parameters}  "), format!("\tsig1=:{signature}: "));
    assert!(check(&pair.public, "GET", None, &input, &signature).is_ok());
    let narrower = input.replacen("   ", " ", 1);
    let refused = check(&pair.public, "GET", None, &narrower, &signature);
    assert_eq!(refused, Err(SignatureError::Wrong));
}

// margo(SP-32, SP-38)
#[test]
fn parameters_that_are_missing_or_do_not_fit_are_refused() {
    let pair = pair();
    for (parameters, refused) in [
        (";keyid=\"d\"", SignatureError::Parameter("created")),
        (";created=1800000000", SignatureError::Parameter("keyid")),
        (";created=1800000000;keyid=\"\"", SignatureError::Parameter("keyid")),
        (";created=-1;keyid=\"d\"", SignatureError::Parameter("created")),
        (
            ";created=1800000000;keyid=\"d\";alg=\"rsa-v1_5-sha256\"",
            SignatureError::AlgorithmMismatch,
        ),
        (";created=1800000000;keyid=\"d\";expires=1799999999", SignatureError::TooOld),
    ] {
        let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], parameters);
        assert_eq!(check(&pair.public, "GET", None, &input, &signature), Err(refused));
    }
}

// margo(SP-29)
#[test]
fn capitals_in_component_names_are_taken_either_way() {
    let pair = pair();
    let digest = content_digest(b"{}");
    let parameters =
        "(\"@method\" \"@target-uri\" \"Content-Digest\");created=1800000000;keyid=\"d\"";
    for name_in_base in ["content-digest", "Content-Digest"] {
        let base = format!(
            "\"@method\": POST\n\"@target-uri\": {URI}\n\"{name_in_base}\": {digest}\n\
             \"@signature-params\": {parameters}"
        );
        let signature = format!("sig1=:{}:", STANDARD.encode(sign_base(&pair.key, &base)));
        let input = format!("sig1={parameters}");
        let verified = check(&pair.public, "POST", Some(b"{}"), &input, &signature);
        assert!(verified.is_ok(), "{name_in_base}: {verified:?}");
    }
}

// margo(SP-20, SP-35)
#[test]
fn what_has_to_be_covered_is_covered() {
    let pair = pair();
    for (names, missing) in [(["@method", "x"], "@target-uri"), (["@target-uri", "x"], "@method")] {
        let (input, signature) = signed_by_hand(&pair, names, ";created=1800000000;keyid=\"d\"");
        assert_eq!(
            check(&pair.public, "GET", None, &input, &signature),
            Err(SignatureError::NotCovered(missing))
        );
    }
    let bodyless = signed(&pair, "POST", None, NOW);
    assert_eq!(
        check(&pair.public, "POST", Some(b"{}"), &bodyless.signature_input, &bodyless.signature),
        Err(SignatureError::NotCovered("content-digest"))
    );
}

// margo(SP-31)
#[test]
fn one_signature_of_any_label_is_taken_and_several_are_not() {
    let pair = pair();
    let headers = signed(&pair, "GET", None, NOW);
    let relabel = |header: &str| header.replacen("sig1=", "mine=", 1);
    let (input, signature) = (relabel(&headers.signature_input), relabel(&headers.signature));
    assert!(check(&pair.public, "GET", None, &input, &signature).is_ok());
    assert_eq!(
        check(&pair.public, "GET", None, &input, &headers.signature),
        Err(SignatureError::LabelMismatch)
    );
    let two = format!("{}, {}", headers.signature_input, input);
    assert_eq!(
        check(&pair.public, "GET", None, &two, &headers.signature),
        Err(SignatureError::Several)
    );
}

#[test]
fn what_is_not_a_structured_field_is_malformed() {
    let pair = pair();
    let good = signed(&pair, "GET", None, NOW);
    for input in ["", "sig1", "sig1=", "sig1=(", "sig1=\"x\"", "sig1=(\"@method\"", "\u{fc}"] {
        assert!(check(&pair.public, "GET", None, input, &good.signature).is_err(), "{input}");
    }
    for signature in ["", "sig1", "sig1=abc", "sig1=:%%%:", "sig1=:"] {
        assert!(
            check(&pair.public, "GET", None, &good.signature_input, signature).is_err(),
            "{signature}"
        );
    }
}

/// The same ECDSA signature in DER, as OpenSSL writes it.
fn der_of_raw(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|it| *it != 0).unwrap_or(bytes.len() - 1);
        let mut digits = bytes[start..].to_vec();
        if digits[0] >= 0x80 {
            digits.insert(0, 0);
        }
        let length = u8::try_from(digits.len()).expect("an integer is short");
        [vec![2, length], digits].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).expect("a signature is short")], body].concat()
}

// margo(SP-34, SP-62)
#[test]
fn a_der_encoded_signature_is_the_same_signature() {
    let pair = pair();
    let headers = signed(&pair, "GET", None, NOW);
    let raw = signature_bytes(&headers.signature, "sig1").expect("base64");
    let der = format!("sig1=:{}:", STANDARD.encode(der_of_raw(&raw)));

    let as_raw = check(&pair.public, "GET", None, &headers.signature_input, &headers.signature)
        .expect("a good signature");
    let as_der = check(&pair.public, "GET", None, &headers.signature_input, &der)
        .expect("the same signature");
    assert_eq!(as_raw.replay_key, as_der.replay_key);

    let again = signed(&pair, "GET", None, NOW);
    let again = check(&pair.public, "GET", None, &again.signature_input, &again.signature)
        .expect("a good signature");
    assert_ne!(as_raw.replay_key, again.replay_key, "signed anew is no replay");
}

#[test]
fn der_that_is_no_signature_is_refused() {
    for der in [&[][..], &[0x30], &[0x30, 0x81, 1], &[0x30, 4, 2, 9, 1, 1], &[0x31, 0]] {
        let pair = pair();
        let headers = signed(&pair, "GET", None, NOW);
        let signature = format!("sig1=:{}:", STANDARD.encode(der));
        assert_eq!(
            check(&pair.public, "GET", None, &headers.signature_input, &signature),
            Err(SignatureError::Wrong)
        );
    }
}
