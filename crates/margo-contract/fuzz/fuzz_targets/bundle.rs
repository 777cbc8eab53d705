//! Any bytes are the bundle of a manifest or an error, and a bundle is complete.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margo_contract::bundle;
use margo_contract::digest::Digest;
use margo_contract::state_manifest::StateManifest;
use margo_contract_fuzz::tar_gz;

const MANIFEST: &[u8] = include_bytes!("../../tests/fixtures/signed-profile/state-manifest.json");

fuzz_target!(|bytes: &[u8]| {
    let manifest = StateManifest::parse(MANIFEST).expect("the fixture is a manifest");
    for bytes in [bytes, &tar_gz(bytes)] {
        let Ok(documents) = bundle::read(bytes, &manifest) else { continue };
        assert_eq!(documents.len(), manifest.deployments.len());
        assert!(documents.iter().all(|(digest, content)| Digest::of(content) == *digest));
    }
});
