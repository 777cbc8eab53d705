//! The codes of failures that this client itself reports, beside those of its providers. They are for
//! programs and never change; docs/error-codes.md explains each to operators.

/// The device does not have what the application needs.
pub(crate) const NOT_ELIGIBLE: &str = "not-eligible";
/// The package cannot be used or fetched, for a reason without a code of its own.
pub(crate) const PACKAGE_UNAVAILABLE: &str = "package-unavailable";
/// There is no such package where it should be.
pub(crate) const PACKAGE_NOT_FOUND: &str = "package-not-found";
/// The package is larger than the owner of the device allows.
pub(crate) const PACKAGE_TOO_LARGE: &str = "package-too-large";
/// The host of the package does not let this device have it.
pub(crate) const REGISTRY_DENIED: &str = "registry-denied";
/// What came is not what its digest promises.
pub(crate) const BAD_DIGEST: &str = "bad-digest";
/// The package's signature is missing, wrong, or not good enough.
pub(crate) const BAD_SIGNATURE: &str = "bad-signature";
/// The package is signed with another key than the one that is trusted for the application.
pub(crate) const KEY_CHANGED: &str = "key-changed";
/// Nothing is left of a workload that was installed.
pub(crate) const WORKLOAD_MISSING: &str = "workload-missing";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const OWN: [&str; 9] = [
        NOT_ELIGIBLE,
        PACKAGE_UNAVAILABLE,
        PACKAGE_NOT_FOUND,
        PACKAGE_TOO_LARGE,
        REGISTRY_DENIED,
        BAD_DIGEST,
        BAD_SIGNATURE,
        KEY_CHANGED,
        WORKLOAD_MISSING,
    ];

    #[test]
    fn every_code_is_explained_to_operators_and_nothing_else_is() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/error-codes.md");
        let text = std::fs::read_to_string(file).expect("the document is in the tree");
        let explained: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(code, _)| code))
            .collect();
        let codes: BTreeSet<&str> =
            device_providers::code::ALL.iter().chain(&OWN).copied().collect();
        assert_eq!(explained.iter().copied().collect::<BTreeSet<_>>(), codes);
        assert_eq!(explained.len(), codes.len(), "each code once");
    }
}
