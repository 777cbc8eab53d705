//! Headers that no honest signer writes: refused, for what they are, and soon.

use super::*;
use crate::field::LONGEST_FIELD;

#[test]
fn the_headers_of_a_signature_come_once_and_as_plain_text() {
    let pair = pair();
    let good = signed(&pair, "GET", None, NOW);
    let (input, signature) = (good.signature_input.as_str(), good.signature.as_str());
    let with = |inputs: &[&str], signatures: &[&str]| {
        let inputs = inputs.iter().map(|it| ("signature-input", *it));
        let signatures = signatures.iter().map(|it| ("signature", *it));
        let headers: Vec<(&str, &str)> = inputs.chain(signatures).collect();
        check_headers(&pair.public, "GET", false, &headers).map(drop)
    };
    assert_eq!(with(&[input], &[signature]), Ok(()));
    let missing = |name| Err(SignatureError::Missing(name));
    assert_eq!(with(&[], &[signature]), missing("Signature-Input"));
    assert_eq!(with(&[""], &[signature]), missing("Signature-Input"));
    assert_eq!(with(&[input], &[]), missing("Signature"));
    let malformed = |name| Err(SignatureError::Malformed(name));
    assert_eq!(with(&[input, "\u{fc}"], &[signature]), malformed("Signature-Input"));
    assert_eq!(with(&[input], &[signature, "\u{fc}"]), malformed("Signature"));
    assert_eq!(
        with(&[&input.replacen(';', "\r\n ;", 1)], &[signature]),
        malformed("Signature-Input")
    );
    // margo(SP-31): several are refused, in several lines as well as under the same label.
    let other = input.replacen("sig1", "sig2", 1);
    for inputs in [&[input, input][..], &[input, &other], &[&format!("{input},{input}")]] {
        assert_eq!(with(inputs, &[signature]), Err(SignatureError::Several), "{inputs:?}");
    }
    for signatures in [&[signature, signature][..], &[&format!("{signature}, sig2=:AAAA:")]] {
        assert_eq!(with(&[input], signatures), Err(SignatureError::Several), "{signatures:?}");
    }
}

#[test]
fn a_comma_in_a_key_id_is_no_second_signature() {
    let pair = pair();
    for keyid in ["a, b", "a\\\", sig2=(\\\"", "\\\\"] {
        let parameters = format!(";created={NOW};keyid=\"{keyid}\"");
        let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], &parameters);
        assert!(check(&pair.public, "GET", None, &input, &signature).is_ok(), "{input}");
    }
}

#[test]
fn numbers_are_whole_and_in_their_bounds() {
    let pair = pair();
    let malformed = SignatureError::Malformed("Signature-Input");
    let parameter = SignatureError::Parameter("created");
    for (created, refused) in [
        ("999999999999999", SignatureError::TooNew),
        ("9999999999999999", malformed.clone()),
        ("99999999999999999999999999999999999999", malformed.clone()),
        ("-999999999999999", parameter.clone()),
        ("-0", SignatureError::TooOld),
        ("1800000000.0", parameter.clone()),
        ("\"1800000000\"", parameter.clone()),
        ("@1800000000", parameter.clone()),
        ("?1", parameter.clone()),
        ("", malformed.clone()),
        ("0x6b49d200", malformed),
        ("1800000000;created=1", SignatureError::TooOld),
    ] {
        let parameters = format!(";created={created};keyid=\"d\"");
        let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], &parameters);
        let found = check(&pair.public, "GET", None, &input, &signature);
        assert_eq!(found, Err(refused), "{created}");
    }
}

// margo(SP-32): `alg` has to fit the key, and with RSA the signature.
#[test]
fn an_algorithm_that_is_named_has_to_be_known_and_to_fit() {
    let pair = pair();
    for (name, refused) in [
        ("rsa-pss-sha512", SignatureError::AlgorithmMismatch),
        ("ed25519", SignatureError::AlgorithmMismatch),
        ("ecdsa-p384-sha384", SignatureError::AlgorithmMismatch),
        ("hmac-sha256", SignatureError::UnknownAlgorithm),
        ("ECDSA-P256-SHA256", SignatureError::UnknownAlgorithm),
        ("none", SignatureError::UnknownAlgorithm),
        ("", SignatureError::UnknownAlgorithm),
    ] {
        let parameters = format!(";created={NOW};keyid=\"d\";alg=\"{name}\"");
        let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], &parameters);
        let found = check(&pair.public, "GET", None, &input, &signature);
        assert_eq!(found, Err(refused), "{name}");
        // Who has not the key does not learn of which kind it is.
        let other = super::pair();
        let found = check(&other.public, "GET", None, &input, &signature);
        assert!(
            matches!(found, Err(SignatureError::Wrong | SignatureError::UnknownAlgorithm)),
            "{found:?}"
        );
    }
    let parameters = format!(";created={NOW};keyid=\"d\";alg=ed25519");
    let (input, signature) = signed_by_hand(&pair, ["@method", "@target-uri"], &parameters);
    let found = check(&pair.public, "GET", None, &input, &signature);
    assert_eq!(found, Err(SignatureError::Parameter("alg")));
}

#[test]
fn components_are_plain_names_that_are_in_the_request_once() {
    let pair = pair();
    let rest = format!(";created={NOW};keyid=\"d\"");
    let input = |components: &str| format!("sig1=(\"@method\" \"@target-uri\"{components}){rest}");
    let unresolved = |name: &str| SignatureError::UnresolvedComponent(name.to_owned());
    let unsupported = |name: &str| SignatureError::UnsupportedComponent(name.to_owned());
    let many: String = (0..31).map(|number| format!(" \"x-{number}\"")).collect();
    for (components, refused) in [
        (" \"x-absent\"", unresolved("x-absent")),
        (" \"@METHOD\"", unresolved("@METHOD")),
        (" \"@target-uri\"", unresolved("@target-uri")),
        (" \"date\";sf", unsupported("date")),
        (" \"@query-param\";name=\"a\"", unsupported("@query-param")),
        (" \"@status\"", unsupported("@status")),
        (" date", SignatureError::Malformed("Signature-Input")),
        (" 1", SignatureError::Malformed("Signature-Input")),
        (&many, SignatureError::Malformed("Signature-Input")),
    ] {
        let found = check(&pair.public, "GET", None, &input(components), "sig1=:AAAA:");
        assert_eq!(found, Err(refused), "{components}");
    }
}

#[test]
fn a_line_of_a_covered_header_cannot_be_added_or_left_out() {
    let pair = pair();
    let parameters = format!("(\"@method\" \"@target-uri\" \"x-more\");created={NOW};keyid=\"d\"");
    let base = format!(
        "\"@method\": GET\n\"@target-uri\": {URI}\n\"x-more\": a, b\n\"@signature-params\": {parameters}"
    );
    let signature = format!("sig1=:{}:", STANDARD.encode(sign_base(&pair.key, &base)));
    let input = format!("sig1={parameters}");
    let with = |lines: &[&str]| {
        let mut headers = vec![("signature-input", input.as_str()), ("signature", &signature)];
        headers.extend(lines.iter().map(|it| ("x-more", *it)));
        check_headers(&pair.public, "GET", false, &headers).map(drop)
    };
    assert_eq!(with(&["a", " b\t"]), Ok(()));
    assert_eq!(with(&["a, b"]), Ok(()));
    assert_eq!(with(&["a"]), Err(SignatureError::Wrong));
    assert_eq!(with(&["a", "b", "c"]), Err(SignatureError::Wrong));
    let not_plain = SignatureError::UnresolvedComponent("x-more".to_owned());
    assert_eq!(with(&["a", "b", "\u{fc}"]), Err(not_plain));
}

#[test]
fn long_headers_are_refused_before_they_are_read() {
    let pair = pair();
    let good = signed(&pair, "GET", None, NOW);
    let (input, signature) = (&good.signature_input, &good.signature);
    for long in [
        format!("{input};x=\"{}\"", "y".repeat(64 << 10)),
        format!("{input}{}", ";x".repeat(32 << 10)),
        format!("sig1=({}", "(".repeat(64 << 10)),
        format!("sig1=({})", "\"a\" ".repeat(16 << 10)),
    ] {
        let found = check(&pair.public, "GET", None, &long, signature);
        assert_eq!(found, Err(SignatureError::TooLong("Signature-Input")));
    }
    let long = format!("sig1=:{}:", "A".repeat(64 << 10));
    let found = check(&pair.public, "GET", None, input, &long);
    assert_eq!(found, Err(SignatureError::TooLong("Signature")));
    let longest = format!("sig1=:{}:", "A".repeat(LONGEST_FIELD - 8));
    let found = check(&pair.public, "GET", None, input, &longest);
    assert_eq!(found, Err(SignatureError::Wrong));
}

// margo(SP-30): also the digest of the empty body, when it is sent and covered.
#[test]
fn a_request_without_a_body_may_have_the_digest_of_nothing() {
    let pair = pair();
    let headers = signed(&pair, "GET", Some(b""), NOW);
    let digest = headers.content_digest.expect("there is a body, if an empty one");
    let headers = [
        ("signature-input", headers.signature_input.as_str()),
        ("signature", &headers.signature),
        ("content-digest", &digest),
    ];
    assert!(check_headers(&pair.public, "GET", false, &headers).is_ok());
}
