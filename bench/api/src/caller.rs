//! A client of the fleet, and the requests that it signs: ahead of time, since signing is not what is
//! measured.

use std::time::{SystemTime, UNIX_EPOCH};

use bench_population::{COMPONENT, Member};
use http_signature::{Message, SigningKey};
use serde_json::json;

/// A client that can sign.
pub(crate) struct Caller {
    id: String,
    key: SigningKey,
    manifest: String,
    deployment: String,
    authority: String,
}

impl Caller {
    pub(crate) fn new(member: &Member, authority: &str) -> Self {
        Self {
            id: member.client.to_string(),
            key: SigningKey::from_pkcs8_der(&member.key).expect("it is a key"),
            manifest: member.manifest.to_string(),
            deployment: member.deployment.to_string(),
            authority: authority.to_owned(),
        }
    }

    /// Asks for the desired state, which it has.
    pub(crate) fn poll(&self) -> Vec<u8> {
        let path = format!("/api/v1/clients/{}/deployments", self.id);
        let headers = format!(
            "accept: application/vnd.margo.manifest.v1+json\r\nif-none-match: \"{}\"\r\n",
            self.manifest
        );
        self.signed("GET", &path, &headers, None)
    }

    /// Says how far its deployment has got.
    pub(crate) fn report(&self, state: &str) -> Vec<u8> {
        let path = format!("/api/v1/clients/{}/deployments/{}/status", self.id, self.deployment);
        let body = json!({
            "apiVersion": "deployment.margo.org/v1alpha1",
            "kind": "DeploymentStatusManifest",
            "deploymentId": self.deployment,
            "status": {"state": state},
            "components": [{"name": COMPONENT, "state": state}],
        });
        let body = body.to_string();
        let headers =
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        self.signed("POST", &path, &headers, Some(&body))
    }

    fn signed(&self, method: &str, path: &str, headers: &str, body: Option<&str>) -> Vec<u8> {
        let target_uri = format!("https://{}{path}", self.authority);
        let bytes = body.map(str::as_bytes);
        let message = Message { method, target_uri: &target_uri, body: bytes };
        let signature = http_signature::sign(&self.key, &message, now(), &self.id);
        let signature = signature.expect("a key can sign");
        let digest = signature.content_digest.map(|it| format!("content-digest: {it}\r\n"));
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}{}signature-input: {}\r\nsignature: {}\r\n\r\n{}",
            self.authority,
            digest.unwrap_or_default(),
            signature.signature_input,
            signature.signature,
            body.unwrap_or_default()
        )
        .into_bytes()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs()
}
