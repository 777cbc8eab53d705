//! Any bytes are a certificate with a key to rely on, or an error. Strangers onboard with them.
#![no_main]

use http_signature::VerifyingKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = VerifyingKey::from_certificate_der(bytes) {
        assert!(format!("{key:?}").len() > 32, "a key has bytes");
    }
});
