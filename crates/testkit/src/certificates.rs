//! Certificates of a test's own making: good ones, expired ones, those of strangers and of other names.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// The name of a fleet manager's embedded root; issuers are found by it.
const ROOT_NAME: &str = "Gantry fleet root";

/// A root that signs servers' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// From and to the first of January of these years.
pub type Years = (i32, i32);
/// Longer than any test runs.
pub const ALWAYS: Years = (2000, 2100);

impl Authority {
    /// A root that nobody trusts yet.
    pub fn new() -> Self {
        Self::with_key(KeyPair::generate().expect("a key can be made"))
    }

    /// The root of a fleet manager, whose data directory this is.
    pub fn of_fleet(data_dir: &Path) -> Self {
        let pem = fs::read_to_string(data_dir.join("ca.key")).expect("the CA's key can be read");
        Self::with_key(KeyPair::from_pem(&pem).expect("the CA's key is PEM"))
    }

    fn with_key(key: KeyPair) -> Self {
        let mut params = params(ROOT_NAME, ALWAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).expect("a root can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The root's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate of this key for a client called `name`, for those years.
    pub fn client(&self, name: &str, years: Years, key: &KeyPair) -> Vec<u8> {
        let certificate = params(name, years).signed_by(key, &self.issuer);
        certificate.expect("the root can sign").der().to_vec()
    }

    /// Writes `server.pem` and `server.key` into a folder, for a server that calls itself `name`.
    pub fn write_server(&self, name: &str, folder: &Path) {
        let (certificate, key) = self.certify(name, ALWAYS);
        let write = |file: &str, text: String| {
            fs::write(folder.join(file), text).expect("the test's folder can be written");
        };
        write("server.pem", certificate.pem());
        write("server.key", key.serialize_pem());
    }

    fn certify(&self, name: &str, years: Years) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params(name, years);
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(name.try_into().expect("a good name"))];
        (params.signed_by(&key, &self.issuer).expect("the root can sign"), key)
    }

    /// What a server needs that calls itself `name`, with a certificate for those years.
    pub fn server(&self, name: &str, years: Years) -> Arc<ServerConfig> {
        let (certificate, key) = self.certify(name, years);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key is a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring can do TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key goes with the certificate");
        Arc::new(config)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn params(name: &str, (from, to): Years) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}
