//! Any `Content-Digest` holds for one body at most. The first lines are the header, the last one the body.
#![no_main]

use http_signature::{check_content_digest, content_digest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines: Vec<&[u8]> = bytes.split(|it| *it == b'\n').collect();
    let body = lines.pop().unwrap_or_default();
    if check_content_digest(&lines, body).is_ok() {
        let other = [body, b"x"].concat();
        assert!(check_content_digest(&lines, &other).is_err());
    }
    let own = content_digest(body);
    assert_eq!(check_content_digest(&[own.as_bytes()], body), Ok(()));
});
