//! Who this client is: a key that never leaves the device, and the certificate that goes with it. The
//! client makes a P-256 key, unless its owner has put another pair in place.

mod private_key;

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context, Result, bail};
use http_signature::SigningKey;
use margo_contract::digest::Digest;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::state_dir::StateDir;

const KEY: &str = "client.key";
const CERTIFICATE: &str = "client.der";

/// The client's key and certificate.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

/// What of it others may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
}

impl Identity {
    /// Takes the key and the certificate from the state directory, or makes them there on the first
    /// start. `name` becomes the certificate's common name.
    pub(crate) fn open_or_make(state: &StateDir, name: &str) -> Result<Self> {
        let pair = match load_pair(state)? {
            Some(pair) => pair,
            None => {
                let pair = KeyPair::generate().context("making the client's key")?;
                state.save_bytes(KEY, pair.serialize_pem().as_bytes())?;
                pair
            }
        };
        if state.load_bytes(CERTIFICATE)?.is_none() {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate =
                params.self_signed(&pair).context("making the client's certificate")?;
            state.save_bytes(CERTIFICATE, certificate.der())?;
        }
        Self::load(state)
    }

    /// Takes the key and the certificate that are there, if they go together.
    pub(crate) fn load(state: &StateDir) -> Result<Self> {
        let Some(pair) = load_pair(state)? else { bail!("there is no {KEY}") };
        let Some(Certificate { der }) = Certificate::look(state)? else {
            bail!("there is no {CERTIFICATE}")
        };
        // A certificate holds its public key as it is. One of another key would let nobody in.
        let public_key = pair.subject_public_key_info();
        if !der.windows(public_key.len()).any(|it| it == public_key) {
            bail!("the certificate {CERTIFICATE} belongs to another key than {KEY}");
        }
        let key =
            SigningKey::from_pkcs8_der(pair.serialized_der()).context("using the client's key")?;
        Ok(Self { key, certificate: Certificate { der } })
    }
}

fn load_pair(state: &StateDir) -> Result<Option<KeyPair>> {
    let Some(pem) = state.load_bytes(KEY)? else { return Ok(None) };
    let der = private_key::pkcs8_of_pem(&pem).context("reading the client's key")?;
    // Says of which kinds it can be, where the other crate would say little.
    SigningKey::from_pkcs8_der(&der).context("using the client's key")?;
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(der));
    pair.map(Some).context("using the client's key")
}

/// Notices that somebody has put another key or certificate in place.
#[derive(Debug)]
pub(crate) struct IdentityFiles {
    seen: [Option<(u64, i64, i64, u64)>; 2],
}

impl IdentityFiles {
    /// Takes what is there now as seen.
    pub(crate) fn seen(state: &StateDir) -> Self {
        let of = |name| {
            let it = std::fs::metadata(state.join(name)).ok()?;
            Some((it.ino(), it.mtime(), it.mtime_nsec(), it.size()))
        };
        Self { seen: [of(KEY), of(CERTIFICATE)] }
    }

    /// Whether the files are others than when they were seen; from then on these are.
    pub(crate) fn have_changed(&mut self, state: &StateDir) -> bool {
        let now = Self::seen(state);
        let changed = now.seen != self.seen;
        *self = now;
        changed
    }
}

impl Certificate {
    /// The one that is there, also while the client works.
    pub(crate) fn look(state: &StateDir) -> Result<Option<Self>> {
        let Some(bytes) = state.load_bytes(CERTIFICATE)? else { return Ok(None) };
        // Owners get certificates in PEM as often as in DER.
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Ok(Some(Self { der: bytes }));
        }
        let first = CertificateDer::from_pem_slice(&bytes);
        let first = first.with_context(|| format!("reading {CERTIFICATE} as PEM"))?;
        Ok(Some(Self { der: first.to_vec() }))
    }

    /// SHA-256 of the certificate, as an operator compares it before approving.
    pub(crate) fn fingerprint(&self) -> String {
        Digest::of(&self.der).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stays_who_it_is() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        let first = Identity::open_or_make(&state, "press-7").expect("a key can be made");
        let again = Identity::open_or_make(&state, "other").expect("a key can be read");
        assert_eq!(first.certificate.fingerprint(), again.certificate.fingerprint());
    }

    #[test]
    fn a_certificate_of_another_key_is_refused_and_a_pair_that_is_put_in_place_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let open = |name| StateDir::open(&folder.path().join(name)).expect("nobody else has it");
        let (state, other) = (open("one"), open("other"));
        let first = Identity::open_or_make(&state, "press-7").expect("a key can be made");
        let second = Identity::open_or_make(&other, "press-7").expect("a key can be made");
        let mut files = IdentityFiles::seen(&state);
        assert!(!files.have_changed(&state));

        let put = |name| {
            let bytes = other.load_bytes(name).expect("readable").expect("it is there");
            state.save_bytes(name, &bytes).expect("writable");
        };
        put(KEY);
        assert!(files.have_changed(&state) && !files.have_changed(&state));
        let error = Identity::open_or_make(&state, "press-7").expect_err("they do not go together");
        assert!(error.to_string().contains("belongs to another key"), "{error}");
        put(CERTIFICATE);
        assert!(files.have_changed(&state));
        let now = Identity::open_or_make(&state, "press-7").expect("they go together");
        assert_eq!(now.certificate, second.certificate);
        assert_ne!(now.certificate, first.certificate);
    }

    #[test]
    fn after_a_power_cut_between_key_and_certificate_the_key_stays() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        Identity::open_or_make(&state, "press-7").expect("a key can be made");
        let key = state.load_bytes(KEY).expect("readable");
        state.remove(CERTIFICATE).expect("removable");
        Identity::open_or_make(&state, "press-7").expect("a certificate can be made");
        assert_eq!(state.load_bytes(KEY).expect("readable"), key);
    }

    // margo(SP-22, SP-23): whatever key the owner has put in place.
    #[test]
    fn an_owner_may_put_a_pair_of_any_kind_in_place() {
        for key in testkit::keys::ALL {
            let folder = tempfile::tempdir().expect("a temporary directory can be made");
            let state = StateDir::open(folder.path()).expect("nobody else has it");
            state.save_bytes(KEY, key.pem.as_bytes()).expect("writable");
            let own = Identity::open_or_make(&state, "press-7").expect("a certificate can be made");
            assert_ne!(own.certificate.der, key.certificate_der(), "{}", key.name);
            for certificate in [key.certificate_der(), key.certificate.as_bytes().to_vec()] {
                state.save_bytes(CERTIFICATE, &certificate).expect("writable");
                let identity = Identity::load(&state).expect("they go together");
                assert_eq!(identity.certificate.der, key.certificate_der(), "{}", key.name);
            }
        }
    }

    #[test]
    fn a_key_that_no_fleet_manager_takes_is_refused_in_words() {
        for key in testkit::keys::UNUSABLE {
            let folder = tempfile::tempdir().expect("a temporary directory can be made");
            let state = StateDir::open(folder.path()).expect("nobody else has it");
            state.save_bytes(KEY, key.pem.as_bytes()).expect("writable");
            let error = Identity::open_or_make(&state, "press-7").expect_err("no good key");
            let error = format!("{error:#}");
            assert!(error.contains("RSA with 2048 to 4096 bits"), "{}: {error}", key.name);
            assert!(!error.contains("MII"), "a key is never printed: {error}");
        }
    }
}
