//! What components are called on the engine. Whatever carries a workload's name there belongs to it, so no two
//! workloads of a device may have the same one, and none may change its name while it is there.

use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::digest::Digest;
use uuid::Uuid;

use crate::running::{Component, Deployment, Running};

/// Compose allows 63 characters; the specification cuts release names at 53, margo(X-22).
const LONGEST: usize = 53;

/// The name of a component: the one that it has already, else one that speaks for itself, else, where that
/// would be too long or is another workload's, one with a part of the deployment's id.
pub(super) fn project(
    id: Uuid,
    document: &ApplicationDeployment,
    component: &str,
    running: &Running,
) -> String {
    let is_at_place =
        |it: &&Component| it.kind == document.kind && it.namespace == document.namespace;
    let all =
        |it: &Deployment| it.components.iter().chain(&it.leaving).cloned().collect::<Vec<_>>();
    let former = running.get(&id).map(all).unwrap_or_default();
    if let Some(former) = former.iter().filter(is_at_place).find(|it| it.name == component) {
        return former.project.clone();
    }
    let others = running.iter().filter(|(other, _)| **other != id).flat_map(|(_, it)| all(it));
    let taken: Vec<String> = others.chain(former).map(|it| it.project).collect();
    let plain = plain(&format!("{}-{component}", document.name));
    if !plain.is_empty() && plain.len() <= LONGEST && !taken.contains(&plain) {
        return plain;
    }
    let hash = Digest::of(format!("{}/{component}", document.id).as_bytes()).to_string();
    let hash = &hash["sha256:".len()..][..8];
    let cut: String = plain.chars().take(LONGEST - 10).collect();
    format!("w{cut}-{hash}")
}

/// Lower-case letters, digits and dashes, none of them at an end: what Compose and Helm both take.
fn plain(name: &str) -> String {
    let letters = name.chars().map(|it| it.to_ascii_lowercase());
    let plain: String =
        letters.map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    plain.trim_matches('-').to_owned()
}
