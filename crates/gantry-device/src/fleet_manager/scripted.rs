//! A client with a fleet manager that does what a test tells it to.

use std::path::Path;

use testkit::certificates::{ALWAYS, Authority};
use testkit::meddler::Meddler;

use super::{FleetManager, SigningKey};

/// Both ends, over real TLS.
pub(crate) struct Scripted {
    /// The root that the client has pinned.
    pub(crate) authority: Authority,
    pub(crate) meddler: Meddler,
    pub(crate) link: FleetManager,
}

impl Scripted {
    /// Starts a fleet manager, whose root is `ca.pem` in this folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let authority = Authority::new();
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("writable");
        let meddler = Meddler::start(0, authority.server("localhost", ALWAYS), None);
        let origin = format!("https://localhost:{}", meddler.port());
        let link = FleetManager::new(&origin, &ca, key()).expect("a client");
        Self { authority, meddler, link }
    }
}

/// A key to sign with.
pub(super) fn key() -> SigningKey {
    let pair = rcgen::KeyPair::generate().expect("a key can be made");
    SigningKey::from_pkcs8_der(pair.serialized_der()).expect("a good key")
}
