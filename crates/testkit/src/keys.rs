//! Fixed keys of each kind with their certificates; `keys/README.md` says how they were made.

/// A private key in PEM, and its certificate in PEM.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name of its file.
    pub name: &'static str,
    pub pem: &'static str,
    pub certificate: &'static str,
}

macro_rules! key {
    ($name:literal, $of:literal) => {
        Key {
            name: $name,
            pem: include_str!(concat!("../keys/", $name, ".pem")),
            certificate: include_str!(concat!("../keys/", $of, ".crt")),
        }
    };
}

pub const P256: Key = key!("p256", "p256");
pub const P256_SEC1: Key = key!("p256-sec1", "p256");
pub const P384: Key = key!("p384", "p384");
pub const P384_SEC1: Key = key!("p384-sec1", "p384");
pub const RSA: Key = key!("rsa", "rsa");
pub const RSA_PKCS1: Key = key!("rsa-pkcs1", "rsa");
pub const ED25519: Key = key!("ed25519", "ed25519");

/// All that a client may sign with.
pub const ALL: [Key; 7] = [P256, P256_SEC1, P384, P384_SEC1, RSA, RSA_PKCS1, ED25519];

/// Keys that no fleet manager takes.
pub const UNUSABLE: [Key; 2] = [key!("rsa1024", "rsa1024"), key!("p521", "p521")];

impl Key {
    /// The certificate in DER.
    pub fn certificate_der(&self) -> Vec<u8> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        certificate.expect("the file is a certificate in PEM").to_vec()
    }
}
