//! The codes of failures that this client itself reports, beside those of its providers. They are for
//! programs and never change; docs/error-codes.md explains each to operators.

/// The device does not have what the application needs.
pub(crate) const NOT_ELIGIBLE: &str = "not-eligible";
/// The package of a component cannot be had.
pub(crate) const PACKAGE_UNAVAILABLE: &str = "package-unavailable";
/// Nothing is left of a workload that was installed.
pub(crate) const WORKLOAD_MISSING: &str = "workload-missing";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const OWN: [&str; 3] = [NOT_ELIGIBLE, PACKAGE_UNAVAILABLE, WORKLOAD_MISSING];

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
