//! How a client asks to be let in (contract §16.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::document::{self, DocumentError, Node};

const API_VERSION: &str = "onboarding.margo.org/v1alpha1";
const KIND: &str = "OnboardingRequest";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A client presents its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnboardingRequest {
    pub certificate_der: Vec<u8>,
}

impl OnboardingRequest {
    /// Reads a request; the certificate is base64 of DER or of PEM (contract §16.4).
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            if let Some(kind) = root.get_text("kind").filter(|it| it != KIND) {
                root.fault_of("kind", format!("`{kind}` has to be {KIND}"));
            }
            Some(Self { certificate_der: certificate(root)? })
        })
    }

    pub fn to_json(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "certificate": STANDARD.encode(&self.certificate_der),
        })
    }
}

fn certificate(root: &Node<'_>) -> Option<Vec<u8>> {
    let text = root.need_text("certificate")?;
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|bytes| {
        if !bytes.starts_with(BEGIN.as_bytes()) {
            return Some(bytes);
        }
        let pem = String::from_utf8(bytes).ok()?;
        let inner = pem.strip_prefix(BEGIN)?.split_once(END)?.0;
        STANDARD.decode(inner.replace(['\n', '\r'], "")).ok()
    });
    if decoded.is_none() {
        root.fault_of("certificate", "has to be base64 of an X.509 certificate in DER or PEM");
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_as_der_or_pem() {
        let request = OnboardingRequest { certificate_der: vec![0x30, 1, 2] };
        let der = request.to_json().to_string();
        assert_eq!(OnboardingRequest::parse(der.as_bytes()), Ok(request.clone()));

        let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([0x30, 1, 2]));
        let body = json!({"certificate": STANDARD.encode(pem)}).to_string();
        assert_eq!(OnboardingRequest::parse(body.as_bytes()), Ok(request));
    }

    #[test]
    fn what_is_no_base64_is_a_fault_of_the_certificate() {
        for body in [json!({"certificate": "%"}), json!({}), json!({"certificate": 7})] {
            let error = OnboardingRequest::parse(body.to_string().as_bytes()).expect_err("a fault");
            assert_eq!(error.faults()[0].field, "certificate");
        }
    }
}
