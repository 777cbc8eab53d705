//! The arrows between Gantry's crates, as ARCHITECTURE.md draws them: each crate may depend on what
//! is named here and on no other crate of Gantry. A new crate has to take its place in the table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const ALLOWED: &[(&str, &[&str])] = &[
    ("margo-contract", &[]),
    ("http-signature", &[]),
    ("git-serve", &[]),
    ("commit-signature", &[]),
    ("fleet-domain", &[]),
    ("operator-api", &[]),
    ("fleet-store", &["fleet-domain"]),
    ("fleet-publish", &["commit-signature", "fleet-domain", "git-serve", "margo-contract"]),
    (
        "gantry-server",
        &[
            "commit-signature",
            "fleet-domain",
            "fleet-publish",
            "fleet-store",
            "git-serve",
            "http-signature",
            "margo-contract",
            "operator-api",
        ],
    ),
    ("gantry", &["operator-api"]),
    ("device-providers", &["margo-contract"]),
    (
        "gantry-device",
        &["commit-signature", "device-providers", "http-signature", "margo-contract"],
    ),
    ("testkit", &["http-signature", "margo-contract", "operator-api"]),
];

/// Every dependency between Gantry's crates that is not in the table. What only tests need (their
/// `dev-dependencies`) is left out: tests may reach across layers.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for folder in super::entries(&root.join("crates"))? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name}: not in the table of xtask/src/layers.rs"));
            continue;
        };
        let path = folder.join("Cargo.toml");
        let manifest = fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?
            .parse::<toml::Table>()
            .with_context(|| format!("parsing {}", path.display()))?;
        faults.extend(
            dependencies(&manifest)
                .filter(|dependency| ALLOWED.iter().any(|(known, _)| known == dependency))
                .filter(|dependency| !allowed.contains(dependency))
                .map(|dependency| format!("{name}: must not depend on {dependency}")),
        );
    }
    Ok(faults)
}

fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = &str> {
    ["dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|table| table.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_only_crates_that_it_has_and_has_no_circle() {
        for (place, (name, allowed)) in ALLOWED.iter().enumerate() {
            for dependency in *allowed {
                let below = ALLOWED.iter().position(|(known, _)| known == dependency);
                assert!(
                    below.is_some_and(|below| below < place),
                    "{dependency} has to stand above {name}"
                );
            }
        }
    }

    #[test]
    fn a_dependency_is_seen_however_it_is_written() {
        let manifest = "[dependencies]\na.workspace = true\nb = { path = '../b' }\n\
                        [dev-dependencies]\nc = '1'\n";
        let manifest: toml::Table = manifest.parse().expect("the test writes valid TOML");
        assert_eq!(dependencies(&manifest).collect::<Vec<_>>(), ["a", "b"]);
    }
}
