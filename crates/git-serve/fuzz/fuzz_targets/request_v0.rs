//! Any body is a request of version 0 or an error, and every request has an answer.
#![no_main]

use git_serve::version::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| git_serve_fuzz::ask(Version::V0, body));
