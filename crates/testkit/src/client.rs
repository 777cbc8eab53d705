//! A client of the device API that does exactly what a test tells it: sign well, sign badly, or
//! not at all.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_signature::{Message, SigningKey};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::keys::Key;

/// Speaks the device API with a key of its own.
pub struct TestClient {
    http: Http,
    name: String,
    key: SigningKey,
    certificate_der: Vec<u8>,
    id: Option<String>,
}

/// A request before it is signed, so that a test can spoil any part of it.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl TestClient {
    /// Makes a key and a self-signed certificate for `name`.
    pub fn new(http: Http, name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 keys can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&pair).expect("a key can sign its own certificate");
        Self::with_certificate(http, name, &pair, certificate.der().to_vec())
    }

    /// Has this key, and this certificate of it.
    pub fn with_certificate(http: Http, name: &str, pair: &KeyPair, der: Vec<u8>) -> Self {
        let key = SigningKey::from_pkcs8_der(pair.serialized_der()).expect("rcgen writes PKCS#8");
        Self { http, name: name.to_owned(), key, certificate_der: der, id: None }
    }

    /// A client with a fixed key in PKCS#8, called after it.
    pub fn with_key(http: Http, key: &Key) -> Self {
        let PrivateKeyDer::Pkcs8(pkcs8) =
            PrivateKeyDer::from_pem_slice(key.pem.as_bytes()).expect("the file is a key in PEM")
        else {
            panic!("{} is not in PKCS#8", key.name)
        };
        Self {
            http,
            name: key.name.to_owned(),
            key: SigningKey::from_pkcs8_der(pkcs8.secret_pkcs8_der()).expect("a usable key"),
            certificate_der: key.certificate_der(),
            id: None,
        }
    }

    /// Speaks by this way from now on.
    pub fn go_through(&mut self, http: Http) {
        self.http = http;
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that the fleet manager gave at onboarding.
    pub fn id(&self) -> &str {
        self.id.as_deref().expect("the client has onboarded")
    }

    /// The certificate as operators bring it.
    pub fn certificate_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.certificate_der);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    }

    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// The path of a resource of this client.
    pub fn path(&self, below: &str) -> String {
        format!("/api/v1/clients/{}{below}", self.id())
    }

    /// Asks to be let in; remembers the id when it is.
    pub fn onboard(&mut self) -> Answer {
        self.try_onboard().unwrap_or_else(|error| panic!("onboarding: {error}"))
    }

    /// As [`TestClient::onboard`], for servers that may be gone.
    pub fn try_onboard(&mut self) -> Result<Answer, ureq::Error> {
        let body = self.onboarding_request().to_string().into_bytes();
        let answer =
            self.try_send(&self.signed("POST", "/api/v1/onboarding", Some(body), &[JSON]))?;
        if answer.status == 201 {
            let id = answer.json()["clientId"].as_str().expect("an id is text").to_owned();
            self.id = Some(id);
        }
        Ok(answer)
    }

    /// The body with which this client onboards.
    pub fn onboarding_request(&self) -> Value {
        json!({
            "apiVersion": "onboarding.margo.org/v1alpha1",
            "kind": "OnboardingRequest",
            "certificate": STANDARD.encode(&self.certificate_der),
        })
    }

    /// A device that hosts Compose workloads and is called as the client is.
    pub fn capabilities(&self) -> Value {
        capabilities_of(&self.name)
    }

    pub fn report_capabilities(&self) -> Answer {
        self.post(&self.path("/capabilities"), &self.capabilities())
    }

    /// Reports a status; `components` are pairs of name and state.
    pub fn report(&self, deployment: &str, state: &str, components: &[(&str, &str)]) -> Answer {
        self.send(&self.signed_report(deployment, state, components))
    }

    /// The request of [`TestClient::report`], for a test that sends it otherwise, or twice.
    pub fn signed_report(
        &self,
        deployment: &str,
        state: &str,
        components: &[(&str, &str)],
    ) -> SignedRequest {
        let components: Vec<Value> =
            components.iter().map(|(name, state)| json!({"name": name, "state": state})).collect();
        let status = json!({
            "apiVersion": "deployment.margo.org/v1alpha1",
            "kind": "DeploymentStatusManifest",
            "deploymentId": deployment,
            "status": {"state": state},
            "components": components,
        });
        let path = self.path(&format!("/deployments/{deployment}/status"));
        self.signed("POST", &path, Some(status.to_string().into_bytes()), &[JSON])
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&self.signed("GET", path, None, headers))
    }

    /// Asks for its desired state, and says of itself what `contact` holds (`Gantry-Contact`).
    pub fn announce(&self, contact: &str) -> Answer {
        self.get(&self.path("/deployments"), &[("gantry-contact", contact)])
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&self.signed("POST", path, Some(body.to_string().into_bytes()), &[JSON]))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(&self.signed("PUT", path, Some(body.to_string().into_bytes()), &[JSON]))
    }

    /// A request with a good signature of this moment.
    pub fn signed(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> SignedRequest {
        self.signed_at(method, path, body, headers, now())
    }

    /// A request with a good signature of another moment (unix seconds).
    pub fn signed_at(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
        created: u64,
    ) -> SignedRequest {
        let target = format!("{}{path}", self.http.origin());
        let message = Message { method, target_uri: &target, body: body.as_deref() };
        let keyid = self.id.as_deref().unwrap_or("onboarding");
        let signature =
            http_signature::sign(&self.key, &message, created, keyid).expect("a key can sign");
        let mut headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        if let Some(digest) = signature.content_digest {
            headers.push(("content-digest".to_owned(), digest));
        }
        headers.push(("signature-input".to_owned(), signature.signature_input));
        headers.push(("signature".to_owned(), signature.signature));
        SignedRequest { method: method.to_owned(), path: path.to_owned(), headers, body }
    }

    /// Sends a request as it is.
    pub fn send(&self, request: &SignedRequest) -> Answer {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
    }

    /// As [`TestClient::send`], for servers that may be gone.
    pub fn try_send(&self, request: &SignedRequest) -> Result<Answer, ureq::Error> {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.http.try_send(&request.method, &request.path, &headers, request.body.as_deref())
    }
}

impl SignedRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known == name);
        &header.unwrap_or_else(|| panic!("there is no {name}")).1
    }

    /// As it goes over the line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let body = self.body.as_deref().unwrap_or_default();
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Replaces a header, or takes it away.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        if let Some(value) = value {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A device of this name that hosts Compose workloads.
pub fn capabilities_of(device: &str) -> Value {
    json!({
        "apiVersion": "device.margo.org/v1alpha1",
        "kind": "DeviceCapabilitiesManifest",
        "properties": {
            "id": device,
            "vendor": "Example Machines",
            "modelNumber": "EM-100",
            "serialNumber": "0007",
            "roles": ["Standalone Device"],
            "resources": {
                "cpu": {"cores": 4, "architectures": ["amd64"]},
                "memory": "8Gi",
                "storage": "64Gi",
                "peripherals": [],
                "interfaces": [{"type": "ethernet"}],
            },
        },
    })
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Seconds since 1970, as signatures count them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs()
}
