//! What a package may ask of the device: what keeps it in its containers. All else needs the word
//! of the device's owner, key by key.
//!
//! The resolved model is judged, and the files that it was made of. The lists name what is harmless,
//! so that a key which Compose learns tomorrow is refused until somebody has thought about it.

mod path;
mod resource;
mod service;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use self::path::is_inside;
use super::files::Outside;
use super::model::Model;
use crate::{Failure, code};

/// The most refusals that a message names.
const MOST_NAMED: usize = 10;
/// What stands for all paths of the host outside of the package.
const BIND_MOUNTS: &str = "bind_mounts";
/// The parts of a model that are judged one by one; any other is refused.
const PARTS: [&str; 7] =
    ["name", "version", "services", "networks", "volumes", "configs", "secrets"];

/// What a package asks for and may not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    /// What the owner would have to allow.
    key: String,
    /// Who asks for what, for a person.
    what: String,
}

/// A package at its place, as it is to be judged.
pub(super) struct Judged<'a> {
    pub(super) project: &'a str,
    /// Where its files lie; nothing of the host's outside is its own.
    pub(super) folder: &'a Path,
    pub(super) model: &'a Model,
}

/// Refuses a package whose Compose files read files of the host.
pub(super) fn check_files(outside: &[Outside], allowed: &BTreeSet<String>) -> Result<(), Failure> {
    let asked = outside.iter().map(|it| Asked::path(it.key, &it.path));
    refuse(asked, allowed)
}

/// Refuses a package that asks for more than is harmless or allowed.
pub(super) fn check(judged: &Judged<'_>, allowed: &BTreeSet<String>) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for (key, value) in judged.model.document() {
        if !PARTS.contains(&key.as_str()) && !key.starts_with("x-") && !is_unset(value) {
            asked.push(Asked { key: key.clone(), what: format!("`{}`", plain(key)) });
        }
    }
    for (name, it) in judged.model.part("services") {
        asked.extend(service::asked(judged, name, it));
    }
    for kind in resource::KINDS {
        for (name, it) in judged.model.part(kind.name) {
            asked.extend(resource::asked(judged, kind, name, it));
        }
    }
    asked.extend(overlapping(judged));
    refuse(asked, allowed)
}

/// Refuses a package at its final place where a link leads one of its mounts out of it, or where a
/// container of the version that runs could put one at any moment.
pub(super) fn check_links(
    model: &Model,
    running: Option<&Model>,
    folder: &Path,
    allowed: &BTreeSet<String>,
) -> Result<(), Failure> {
    let running = running.map(Model::mounts).unwrap_or_default();
    let is_reachable = |path: &Path| {
        let mut writable = running.iter().filter(|it| it.is_writable);
        writable.any(|it| it.source != path && path.starts_with(it.source))
    };
    let asked = model.mounts().into_iter().filter_map(|it| {
        let why = if !is_inside(it.source, folder) {
            BIND_MOUNTS
        } else if is_reachable(it.source) {
            "a mount in a folder that the version which runs can write to (it has to be removed first)"
        } else {
            return None;
        };
        let who = format!("service `{}`: {why}", plain(it.service));
        Some(Asked::path(&who, &it.source.to_string_lossy()))
    });
    refuse(asked, allowed)
}

/// Mounts that a container could lead elsewhere: it can write to a folder that holds what is mounted
/// by itself as well, and the engine follows links there whenever it starts a container.
fn overlapping(judged: &Judged<'_>) -> Vec<Asked> {
    let mounts = judged.model.mounts();
    let inner =
        |outer: &Path| mounts.iter().find(|it| it.source != outer && it.source.starts_with(outer));
    let writable = mounts.iter().filter(|it| it.is_writable && is_inside(it.source, judged.folder));
    writable
        .filter_map(|it| {
            let inner = inner(it.source)?;
            let what = format!(
                "service `{}`: a folder to write to that holds another mount, {}",
                plain(it.service),
                plain(&inner.source.to_string_lossy())
            );
            Some(Asked { key: BIND_MOUNTS.to_owned(), what })
        })
        .collect()
}

fn refuse(
    asked: impl IntoIterator<Item = Asked>,
    allowed: &BTreeSet<String>,
) -> Result<(), Failure> {
    let asked: BTreeSet<Asked> =
        asked.into_iter().filter(|it| !allowed.contains(&it.key)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = asked.iter().take(MOST_NAMED).map(|it| it.what.as_str()).collect();
    let keys: BTreeSet<String> = asked.iter().map(|it| format!("\"{}\"", plain(&it.key))).collect();
    let keys: Vec<String> = keys.into_iter().take(MOST_NAMED).collect();
    let more = asked.len().saturating_sub(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let message = format!(
        "the owner of this device does not allow what the package asks for: {}{more} \
         (allow = [{}] under [compose] in the configuration of the device would)",
        named.join(", "),
        keys.join(", ")
    );
    Err(Failure::new(code::NOT_ALLOWED, message))
}

impl Asked {
    /// A key of a service or another part.
    fn key(who: &str, key: &str, value: &Value) -> Self {
        Self { key: key.to_owned(), what: format!("{who}: {}: {}", plain(key), shown(value)) }
    }

    /// A path of the host.
    fn path(who: &str, path: &str) -> Self {
        Self { key: BIND_MOUNTS.to_owned(), what: format!("{who}: {}", plain(path)) }
    }
}

/// The labels that Compose, or we, know a workload by.
fn claims(labels: &Value) -> bool {
    let ours = |name: &str| name.starts_with("com.docker.compose") || name.starts_with("io.gantry");
    match labels {
        Value::Object(labels) => labels.keys().any(|it| ours(it)),
        Value::Array(labels) => labels.iter().filter_map(Value::as_str).any(ours),
        _ => false,
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.is_empty(),
        Value::Object(it) => it.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A value for a message: its beginning.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    plain(&text)
}

fn plain(text: &str) -> String {
    text.chars().take(80).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

#[cfg(test)]
mod tests;
