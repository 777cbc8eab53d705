//! What networks, volumes, configs and secrets may be: the workload's own, and of the usual kind.

use std::path::Path;

use serde_json::Value;

use super::path::is_inside;
use super::{Asked, Judged, claims, is_unset, plain};

/// A part of the model whose members are resources.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The keys that change nothing outside the workload.
    harmless: &'static [&'static str],
    /// The drivers that keep to the device, and containers behind its own address.
    drivers: &'static [&'static str],
}

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "networks",
        harmless: &["attachable", "enable_ipv4", "enable_ipv6", "internal"],
        drivers: &["", "bridge"],
    },
    Kind { name: "volumes", harmless: &[], drivers: &["", "local"] },
    Kind { name: "configs", harmless: &["content", "environment"], drivers: &[""] },
    Kind { name: "secrets", harmless: &["content", "environment"], drivers: &[""] },
];

pub(super) fn asked(judged: &Judged<'_>, kind: &Kind, name: &str, it: &Value) -> Vec<Asked> {
    let who = format!("{} `{}`", kind.name, plain(name));
    let mut asked = Vec::new();
    for (key, value) in it.as_object().into_iter().flatten() {
        if is_unset(value) || key.starts_with("x-") {
            continue;
        }
        let is_harmless = match key.as_str() {
            // Another name is that of what somebody else has made.
            "name" if *value == format!("{}_{name}", judged.project) => true,
            "name" => {
                asked.push(Asked::key(&who, "external", value));
                continue;
            }
            "driver" => kind.drivers.contains(&value.as_str().unwrap_or_default()),
            "labels" => !claims(value),
            // A subnet of the package's choice can be the device's own, and cut it off.
            "ipam" => is_unset(&value["config"]) && is_unset(&value["driver"]),
            "file" => {
                let path = value.as_str().unwrap_or_default();
                if !is_inside(Path::new(path), judged.folder) {
                    asked.push(Asked::path(&who, path));
                }
                continue;
            }
            key => kind.harmless.contains(&key),
        };
        if !is_harmless {
            asked.push(Asked::key(&who, key, value));
        }
    }
    asked
}
