//! Any bytes are a Compose archive or an error, and what is read is what is packed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margo_contract::compose_archive::{ComposeArchive, safe_segments};
use margo_contract_fuzz::tar_gz;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes, &tar_gz(bytes)] {
        let Ok(archive) = ComposeArchive::read(bytes) else { continue };
        assert!(archive.files().keys().all(|path| safe_segments(path).is_ok()));
        let packed = archive.pack("web").expect("writing to memory");
        assert_eq!(ComposeArchive::read(&packed).expect("it was packed here"), archive);
    }
});
