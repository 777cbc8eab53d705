//! Who this client is: a key that never leaves the device, and the certificate that goes with it.

use anyhow::{Context, Result};
use http_signature::SigningKey;
use margo_contract::digest::Digest;
use rcgen::{CertificateParams, DnType, KeyPair};

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
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
}

impl Identity {
    /// Takes the key and the certificate from the state directory, or makes them there on the first
    /// start. `name` becomes the certificate's common name.
    pub(crate) fn open_or_make(state: &StateDir, name: &str) -> Result<Self> {
        let pair = match state.load_bytes(KEY)? {
            Some(pem) => {
                let pem = String::from_utf8(pem).context("reading the client's key")?;
                KeyPair::from_pem(&pem).context("reading the client's key")?
            }
            None => {
                let pair = KeyPair::generate().context("making the client's key")?;
                state.save_bytes(KEY, pair.serialize_pem().as_bytes())?;
                pair
            }
        };
        let der = match state.load_bytes(CERTIFICATE)? {
            Some(der) => der,
            None => {
                let mut params = CertificateParams::default();
                params.distinguished_name.push(DnType::CommonName, name);
                let certificate =
                    params.self_signed(&pair).context("making the client's certificate")?;
                state.save_bytes(CERTIFICATE, certificate.der())?;
                certificate.der().to_vec()
            }
        };
        let key =
            SigningKey::from_pkcs8_der(pair.serialized_der()).context("using the client's key")?;
        Ok(Self { key, certificate: Certificate { der } })
    }
}

impl Certificate {
    /// The one that is there, also while the client works.
    pub(crate) fn look(state: &StateDir) -> Result<Option<Self>> {
        Ok(state.load_bytes(CERTIFICATE)?.map(|der| Self { der }))
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
    fn after_a_power_cut_between_key_and_certificate_the_key_stays() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        Identity::open_or_make(&state, "press-7").expect("a key can be made");
        let key = state.load_bytes(KEY).expect("readable");
        state.remove(CERTIFICATE).expect("removable");
        Identity::open_or_make(&state, "press-7").expect("a certificate can be made");
        assert_eq!(state.load_bytes(KEY).expect("readable"), key);
    }
}
