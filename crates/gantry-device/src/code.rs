//! The codes of failures that are this client's own: for programs, and for ever. Those of the workloads
//! are [`device_providers::code`]; docs/error-codes.md tells the meaning and the remedy of each.

/// The device is not what the application needs.
pub(crate) const NOT_ELIGIBLE: &str = "not-eligible";
/// The package cannot be used or fetched, for a reason without a code of its own.
pub(crate) const PACKAGE_UNAVAILABLE: &str = "package-unavailable";
/// There is no such package where it should be.
pub(crate) const PACKAGE_NOT_FOUND: &str = "package-not-found";
/// The package is larger than the owner of the device allows.
pub(crate) const PACKAGE_TOO_LARGE: &str = "package-too-large";
/// The host of the package cannot be reached, or is in trouble.
pub(crate) const REGISTRY_UNREACHABLE: &str = device_providers::code::REGISTRY_UNREACHABLE;
/// The host of the package does not let this device have it.
pub(crate) const REGISTRY_DENIED: &str = "registry-denied";
/// What came is not what its digest promises.
pub(crate) const BAD_DIGEST: &str = "bad-digest";
/// The package's signature is missing, wrong, or not good enough.
pub(crate) const BAD_SIGNATURE: &str = "bad-signature";
/// The package is signed with another key than the one that is trusted for the application.
pub(crate) const KEY_CHANGED: &str = "key-changed";
