//! The examples of RFC 9421, appendix B, whose keys can be those of a certificate. They do not cover what
//! Margo asks for, so the base and the signature are checked here and no whole request.

use super::*;

const RSA: &[u8] = include_bytes!("../fixtures/rfc9421/test-key-rsa-pss.der");
const P256: &[u8] = include_bytes!("../fixtures/rfc9421/test-key-ecc-p256.der");
const ED25519: &[u8] = include_bytes!("../fixtures/rfc9421/test-key-ed25519.der");

/// The request of appendix B.2.
const REQUEST: [(&str, &str); 5] = [
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("content-type", "application/json"),
    (
        "content-digest",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    ),
    ("content-length", "18"),
    ("accept", "application/json, */*"),
];

/// The algorithm by which the key of a certificate signed a request to this URI.
fn held(
    certificate: &[u8],
    (method, target_uri): (&str, &str),
    input: &str,
    signature: &str,
) -> Option<Algorithm> {
    let header = |name: &str| -> Vec<&[u8]> {
        REQUEST.iter().filter(|it| it.0 == name).map(|it| it.1.as_bytes()).collect()
    };
    let received = Received { method, target_uri, has_body: false, header: &header };
    let input = Input::read(input).expect("a good Signature-Input");
    let names = input.covered_names().expect("good components");
    let bases = Bases::of(&received, &names, input.parameters).expect("all are there");
    let key = VerifyingKey::from_certificate_der(certificate).expect("a usable certificate");
    let signature = signature_bytes(signature, input.label).expect("a good Signature");
    bases.any_held(&key, &signature).map(|it| it.algorithm)
}

const FOO: (&str, &str) = ("POST", "https://example.com/foo?param=Value&Pet=dog");

#[test]
fn b_2_1_minimal_signature_using_rsa_pss_sha512() {
    let input =
        "sig-b21=();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"";
    let signature = "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopem\
        LJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG\
        52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx\
        2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6\
        UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3\
        +7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:";
    assert_eq!(held(RSA, FOO, input, signature), Some(Algorithm::RsaPssSha512));
}

#[test]
fn b_2_3_full_coverage_using_rsa_pss_sha512() {
    let input = "sig-b23=(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \
                 \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"";
    let signature = "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yB\
        iMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fU\
        xN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1\
        pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9\
        bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5Z\
        JzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:";
    assert_eq!(held(RSA, FOO, input, signature), Some(Algorithm::RsaPssSha512));
    let to = ("POST", "https://example.com/foo?param=value&Pet=dog");
    assert_eq!(held(RSA, to, input, signature), None);
}

#[test]
fn b_2_4_a_response_using_ecdsa_p256_sha256() {
    let base = "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": \
        sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\
        \"content-length\": 23\n\"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \
        \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let signature = "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:";
    let key = VerifyingKey::from_certificate_der(P256).expect("a usable certificate");
    let signature = signature_bytes(signature, "sig-b24").expect("a good Signature");
    let held = key.verify(base.as_bytes(), &signature).map(|it| it.algorithm);
    assert_eq!(held, Some(Algorithm::EcdsaP256Sha256));
}

#[test]
fn b_2_6_a_request_using_ed25519() {
    let input = "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");\
                 created=1618884473;keyid=\"test-key-ed25519\"";
    let signature = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
    assert_eq!(held(ED25519, FOO, input, signature), Some(Algorithm::Ed25519));
}

#[test]
fn b_4_message_transformations() {
    let input = "transform=(\"@method\" \"@path\" \"@authority\" \"accept\");created=1618884473;keyid=\"test-key-ed25519\"";
    let signature = "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:";
    let with_query = ("GET", "https://Example.org/demo?name1=Value1&Name2=value2");
    assert_eq!(held(ED25519, with_query, input, signature), Some(Algorithm::Ed25519));
    assert_eq!(held(ED25519, ("POST", with_query.1), input, signature), None);
}
