//! What a service may ask for.

use std::path::Path;

use serde_json::Value;

use super::path::is_inside;
use super::{Asked, BIND_MOUNTS, Judged, claims, is_unset, plain};

/// The keys of a service that change nothing outside its containers, whatever their value is. Those
/// whose value matters are judged below.
const HARMLESS: &[&str] = &[
    "attach",
    "blkio_config",
    "cap_drop",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "deploy",
    "develop",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "label_file",
    "links",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "networks",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "secrets",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "tty",
    "user",
    "volumes",
    "working_dir",
];
/// Log drivers that keep what is logged on the device.
const LOG_DRIVERS: [&str; 4] = ["", "json-file", "local", "none"];
/// What such a driver may be told. Podman has an option `path` beside them, for any file of the host.
const LOG_OPTIONS: [&str; 10] = [
    "compress",
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "tag",
];
/// The kernel settings that each container has for itself.
const OWN_SYSCTLS: [&str; 5] = ["net.", "kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."];
/// The limits that give a container no precedence over the host's other work.
const HARMLESS_LIMITS: [&str; 13] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nofile",
    "nproc",
    "rss",
    "sigpending",
    "stack",
];
/// The most containers of one service.
const MOST_CONTAINERS: u64 = 100;

pub(super) fn asked(judged: &Judged<'_>, name: &str, service: &Value) -> Vec<Asked> {
    let who = format!("service `{}`", plain(name));
    let mut asked = Vec::new();
    for (key, value) in service.as_object().into_iter().flatten() {
        if !is_unset(value) && !key.starts_with("x-") && !is_harmless(key, value) {
            asked.push(Asked::key(&who, key, value));
        }
    }
    let deploy = &service["deploy"];
    let devices = &deploy["resources"]["reservations"]["devices"];
    if !is_unset(devices) {
        asked.push(Asked::key(&who, "devices", devices));
    }
    if claims(&deploy["labels"]) {
        asked.push(Asked::key(&who, "labels", &deploy["labels"]));
    }
    let count = deploy["replicas"].as_u64().unwrap_or_default();
    if count > MOST_CONTAINERS {
        asked.push(Asked::key(&who, "scale", &count.into()));
    }
    for network in service["networks"].as_object().into_iter().flat_map(|it| it.values()) {
        if !is_unset(&network["driver_opts"]) {
            asked.push(Asked::key(&who, "driver_opts", &network["driver_opts"]));
        }
    }
    let mounts = service["volumes"].as_array().into_iter().flatten();
    asked.extend(mounts.filter_map(|it| asked_by_mount(judged, &who, it)));
    asked
}

fn asked_by_mount(judged: &Judged<'_>, who: &str, mount: &Value) -> Option<Asked> {
    let source = mount["source"].as_str().unwrap_or_default();
    let is_own = match mount["type"].as_str().unwrap_or_default() {
        // Without a source it is the container's own; any other is judged where it is declared.
        "volume" => {
            source.is_empty() || judged.model.part("volumes").any(|(name, _)| name == source)
        }
        "tmpfs" => true,
        // The engine takes what is before a `:` for the path.
        "bind" => !source.contains(':') && is_inside(Path::new(source), judged.folder),
        _ => false,
    };
    if !is_own {
        return Some(Asked::path(&format!("{who}: {BIND_MOUNTS}"), source));
    }
    let propagation = &mount["bind"]["propagation"];
    (!is_unset(propagation)).then(|| Asked::key(who, "propagation", propagation))
}

/// Whether a service's key keeps to its containers with this value.
fn is_harmless(key: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let members = || value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    match key {
        "network_mode" => ["none", "bridge"].contains(&text) || text.starts_with("service:"),
        "pid" => text.starts_with("service:"),
        "ipc" => ["none", "private", "shareable"].contains(&text) || text.starts_with("service:"),
        "labels" => !claims(value),
        "logging" => {
            LOG_DRIVERS.contains(&value["driver"].as_str().unwrap_or_default())
                && value["options"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(name, _)| LOG_OPTIONS.contains(&name.as_str()))
        }
        "scale" => value.as_u64().is_some_and(|it| it <= MOST_CONTAINERS),
        "security_opt" => value.as_array().into_iter().flatten().all(|it| {
            ["no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"]
                .iter()
                .any(|harmless| it == harmless)
        }),
        "sysctls" => {
            value.is_object()
                && members().all(|it| OWN_SYSCTLS.iter().any(|own| it.starts_with(own)))
        }
        "ulimits" => value.is_object() && members().all(|it| HARMLESS_LIMITS.contains(&it)),
        _ => HARMLESS.contains(&key),
    }
}
