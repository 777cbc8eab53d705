//! How a client asks to be let in (contract §16.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::document::{self, DocumentError, Node};

const API_VERSION: &str = "onboarding.margo.org/v1alpha1";
const KIND: &str = "OnboardingRequest";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// The longest chain, the certificate itself included.
const LONGEST_CHAIN: usize = 8;
const END: &str = "-----END CERTIFICATE-----";

/// A client presents its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnboardingRequest {
    pub certificate_der: Vec<u8>,
    /// Those between it and the root, in DER, where the certificate came with its chain.
    pub intermediates: Vec<Vec<u8>>,
}

impl OnboardingRequest {
    /// Reads a request; the certificate is base64 of DER or of PEM. PEM may go on with
    /// the chain.
    // margo(SP-14, SP-57, T-11)
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(&document::json(bytes)?, |root| {
            if let Some(kind) = root.get_text("kind").filter(|it| it != KIND) {
                root.fault_of("kind", format!("`{kind}` has to be {KIND}"));
            }
            let mut chain = chain(root)?.into_iter();
            Some(Self { certificate_der: chain.next()?, intermediates: chain.collect() })
        })
    }

    // margo(SP-14)
    pub fn to_json(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "certificate": STANDARD.encode(&self.certificate_der),
        })
    }
}

/// The certificate, and what came after it.
fn chain(root: &Node<'_>) -> Option<Vec<Vec<u8>>> {
    let text = root.need_text("certificate")?;
    let chain = STANDARD.decode(text.trim()).ok().and_then(|bytes| {
        if bytes.starts_with(BEGIN.as_bytes()) { pem(bytes) } else { Some(vec![bytes]) }
    });
    match chain {
        None => {
            let message = "has to be base64 of an X.509 certificate in DER or PEM";
            root.fault_of("certificate", message);
            None
        }
        Some(chain) if chain.len() > LONGEST_CHAIN => {
            let message = format!("has a chain of more than {LONGEST_CHAIN} certificates");
            root.fault_of("certificate", message);
            None
        }
        chain => chain,
    }
}

fn pem(bytes: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let text = String::from_utf8(bytes).ok()?;
    let blocks = text.split(BEGIN).skip(1).take(LONGEST_CHAIN + 1).map(|block| {
        let (inner, _) = block.split_once(END)?;
        STANDARD.decode(inner.replace(['\n', '\r'], "")).ok()
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(SP-14, SP-57)
    #[test]
    fn a_certificate_comes_as_der_or_pem() {
        let request =
            OnboardingRequest { certificate_der: vec![0x30, 1, 2], intermediates: Vec::new() };
        let der = request.to_json().to_string();
        assert_eq!(OnboardingRequest::parse(der.as_bytes()), Ok(request.clone()));

        let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([0x30, 1, 2]));
        let body = json!({"certificate": STANDARD.encode(pem)}).to_string();
        assert_eq!(OnboardingRequest::parse(body.as_bytes()), Ok(request));
    }

    // margo(T-11)
    #[test]
    fn a_certificate_may_come_with_its_chain() {
        let pem = |blocks: usize| {
            let block = |number: usize| {
                format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([0x30, number as u8]))
            };
            let text: String = (0..blocks).map(block).collect();
            json!({"certificate": STANDARD.encode(text)}).to_string()
        };
        let request = OnboardingRequest::parse(pem(3).as_bytes()).expect("a chain");
        assert_eq!(request.certificate_der, [0x30, 0]);
        assert_eq!(request.intermediates, [[0x30, 1], [0x30, 2]]);
        let error = OnboardingRequest::parse(pem(9).as_bytes()).expect_err("too long");
        assert_eq!(error.faults()[0].field, "certificate");
    }

    // margo(SP-14)
    #[test]
    fn what_is_no_base64_is_a_fault_of_the_certificate() {
        for body in [json!({"certificate": "%"}), json!({}), json!({"certificate": 7})] {
            let error = OnboardingRequest::parse(body.to_string().as_bytes()).expect_err("a fault");
            assert_eq!(error.faults()[0].field, "certificate");
        }
    }
}
