//! HTTP message signatures (RFC 9421) and content digests (RFC 9530) with the keys of X.509
//! certificates, as Margo's signed profile uses them (contract §16.2). No I/O and no clock: the time
//! is an argument.
//!
//! A signature covers the method, the target URI and, when there is a body, its digest. So a request
//! is bound to what it asks, where, with which body, and when.

mod base;
mod digest;
#[cfg(feature = "verify")]
mod field;
mod sign;
#[cfg(feature = "verify")]
mod verify;

pub use digest::content_digest;
#[cfg(feature = "verify")]
pub use digest::{DigestError, check_content_digest};
pub use sign::{InvalidKey, SignatureHeaders, SigningError, SigningKey, sign};
#[cfg(feature = "verify")]
pub use verify::{
    Received, SignatureError, UnusableCertificate, Verified, VerifyingKey, Window, verify,
};

/// A request that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// In upper case, as it is sent.
    pub method: &'a str,
    /// Absolute: scheme, host, port unless it is the default, path and query.
    pub target_uri: &'a str,
    /// Nothing for a request without a body.
    pub body: Option<&'a [u8]>,
}
