//! Any headers are a signature that holds, or an error. The lines are `Signature-Input`, `Signature` and one
//! more header; what is verified is the request of the fixtures.
#![no_main]

use http_signature::{Received, VerifyingKey, Window, verify};
use libfuzzer_sys::fuzz_target;

const P256: &[u8] = include_bytes!("../../src/verify/fixtures/messages/p256.der");
const DIGEST: &[u8] = b"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
const NOW: u64 = 1_800_000_000;

fuzz_target!(|bytes: &[u8]| {
    let key = VerifyingKey::from_certificate_der(P256).expect("the fixture is usable");
    let lines: Vec<&[u8]> = bytes.split(|it| *it == b'\n').collect();
    let line = |place: usize| lines.get(place).copied().into_iter().collect();
    let header = |name: &str| match name {
        "signature-input" => line(0),
        "signature" => line(1),
        "content-type" => vec![&b"application/json"[..]],
        "content-digest" => vec![DIGEST],
        _ => line(2),
    };
    let received = Received {
        method: "POST",
        target_uri: "https://fleet.example/api/v1/clients/c/deployments",
        has_body: true,
        header: &header,
    };
    if let Ok(verified) = verify(&received, &key, NOW, &Window::default()) {
        assert!(!verified.keyid.is_empty());
        assert!((NOW - 300..=NOW + 60).contains(&verified.created));
    }
});
