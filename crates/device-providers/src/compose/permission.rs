//! What a package may ask of the device: what keeps it in its containers. All else needs the word
//! of the device's owner, key by key.
//!
//! The resolved model is judged. The list names what is harmless, so that a key which Compose learns
//! tomorrow is refused until somebody has thought about it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::model::Model;
use crate::{Failure, code};

/// The most refusals that a message names.
const MOST_NAMED: usize = 10;

/// The keys of a service that change nothing outside its containers.
const HARMLESS: &[&str] = &[
    "annotations",
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
    "ipc",
    "isolation",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "network_mode",
    "networks",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "working_dir",
];
/// The parts of a model that are judged one by one; any other is refused.
const PARTS: [&str; 7] =
    ["name", "version", "services", "networks", "volumes", "configs", "secrets"];
/// Log drivers that keep what is logged on the device.
const LOG_DRIVERS: [&str; 4] = ["", "json-file", "local", "none"];
/// Network drivers that keep containers behind the device's own address.
const NETWORK_DRIVERS: [&str; 2] = ["", "bridge"];

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
    /// The model before parameters were put in: it alone tells which files variables come from.
    pub(super) raw: &'a Model,
}

/// Refuses a package that asks for more than is harmless or allowed.
pub(super) fn check(judged: &Judged<'_>, allowed: &BTreeSet<String>) -> Result<(), Failure> {
    let asked: BTreeSet<Asked> =
        asked(judged).into_iter().filter(|it| !allowed.contains(&it.key)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = asked.iter().take(MOST_NAMED).map(|it| it.what.as_str()).collect();
    let keys: BTreeSet<String> =
        asked.iter().take(MOST_NAMED).map(|it| format!("\"{}\"", it.key)).collect();
    let more = asked.len().saturating_sub(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
    let message = format!(
        "the owner of this device does not allow what the package asks for: {}{more}. With allow = [{keys}] under \
         [compose] in the configuration of the device it would be",
        named.join(", ")
    );
    Err(Failure::new(code::NOT_ALLOWED, message))
}

fn asked(judged: &Judged<'_>) -> Vec<Asked> {
    let mut asked = Vec::new();
    for (key, value) in judged.model.document() {
        if !PARTS.contains(&key.as_str()) && !key.starts_with("x-") && !is_unset(value) {
            asked.push(Asked { key: key.clone(), what: format!("`{}`", plain(key)) });
        }
    }
    for (name, service) in judged.model.part("services") {
        asked.extend(asked_by_service(judged, name, service));
    }
    for (kind, drivers) in [("networks", &NETWORK_DRIVERS[..]), ("volumes", &["", "local"][..])] {
        for (name, it) in judged.model.part(kind) {
            asked.extend(asked_by_resource(judged.project, (kind, name), it, drivers));
        }
    }
    for kind in ["configs", "secrets"] {
        for (name, it) in judged.model.part(kind) {
            let outside = it["file"].as_str().is_some_and(|it| !is_inside(it, judged.folder));
            if outside {
                asked.push(bind_mount(&format!("{kind} `{}`", plain(name)), &it["file"]));
            }
        }
    }
    for (name, service) in judged.raw.part("services") {
        for file in service["env_file"].as_array().into_iter().flatten() {
            let path = file.as_str().or_else(|| file["path"].as_str()).unwrap_or_default();
            // What a parameter would make of it is not known here.
            if path.contains('$') || !is_inside(path, judged.folder) {
                asked.push(bind_mount(
                    &format!("service `{}`: env_file", plain(name)),
                    &path.into(),
                ));
            }
        }
    }
    asked
}

fn asked_by_service(judged: &Judged<'_>, name: &str, service: &Value) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut ask = |key: &str, value: &Value| {
        let what = format!("service `{}`: {}: {}", plain(name), plain(key), shown(value));
        asked.push(Asked { key: key.to_owned(), what });
    };
    for (key, value) in service.as_object().into_iter().flatten() {
        if is_unset(value) || key.starts_with("x-") {
            continue;
        }
        if !is_harmless(key, value) {
            ask(key, value);
        }
    }
    let devices = &service["deploy"]["resources"]["reservations"]["devices"];
    if !is_unset(devices) {
        ask("devices", devices);
    }
    for mount in service["volumes"].as_array().into_iter().flatten() {
        let source = mount["source"].as_str().unwrap_or_default();
        match mount["type"].as_str().unwrap_or_default() {
            "volume" | "tmpfs" => {}
            "bind" if is_inside(source, judged.folder) => {}
            _ => ask("bind_mounts", &source.into()),
        }
    }
    asked
}

/// Whether a service's key keeps to its containers with this value.
fn is_harmless(key: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match key {
        "network_mode" => ["none", "bridge"].contains(&text) || text.starts_with("service:"),
        "pid" => text.starts_with("service:"),
        "ipc" => ["none", "private", "shareable"].contains(&text) || text.starts_with("service:"),
        // The only values that these have lead to the host's.
        "userns_mode" | "uts" => false,
        "logging" => LOG_DRIVERS.contains(&value["driver"].as_str().unwrap_or_default()),
        "security_opt" => value.as_array().into_iter().flatten().all(|it| {
            ["no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"]
                .iter()
                .any(|harmless| it == harmless)
        }),
        _ => HARMLESS.contains(&key),
    }
}

/// A network or volume that is the host's, or another project's.
fn asked_by_resource(
    project: &str,
    (kind, name): (&str, &str),
    it: &Value,
    drivers: &[&str],
) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut ask = |key: &str, value: &Value| {
        let what = format!("{kind} `{}`: {key}: {}", plain(name), shown(value));
        asked.push(Asked { key: key.to_owned(), what });
    };
    if !is_unset(&it["external"]) {
        ask("external", &it["external"]);
    } else if it["name"].as_str().is_some_and(|it| it != format!("{project}_{name}")) {
        ask("external", &it["name"]);
    }
    if !drivers.contains(&it["driver"].as_str().unwrap_or_default()) {
        ask("driver", &it["driver"]);
    }
    if !is_unset(&it["driver_opts"]) {
        ask("driver_opts", &it["driver_opts"]);
    }
    asked
}

fn bind_mount(who: &str, path: &Value) -> Asked {
    Asked { key: "bind_mounts".to_owned(), what: format!("{who}: {}", shown(path)) }
}

/// Whether a path of the host lies in the folder, wherever links on the way lead.
fn is_inside(path: &str, folder: &Path) -> bool {
    let path = Path::new(path);
    if !path.is_absolute() || path.components().any(|it| it == Component::ParentDir) {
        return false;
    }
    real(path).starts_with(real(folder))
}

/// The path with its links followed as far as it exists.
fn real(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        // A link that leads nowhere yet may lead anywhere once its target is made.
        if existing.is_symlink() && !existing.exists() {
            return PathBuf::new();
        }
        if let Ok(real) = existing.canonicalize() {
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
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
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(document: &Value, raw: &Value, allowed: &[&str]) -> Option<Failure> {
        let model = |it: &Value| Model::parse(it.to_string().as_bytes()).expect("a model");
        let judged = Judged {
            project: "p",
            folder: Path::new("/nowhere/package"),
            model: &model(document),
            raw: &model(raw),
        };
        check(&judged, &allowed.iter().map(|it| (*it).to_owned()).collect()).err()
    }

    fn service(key: &str, value: &Value) -> Value {
        json!({"name": "p", "services": {"web": {"image": "x", key: value}}})
    }

    #[test]
    fn what_keeps_to_its_containers_needs_no_word_of_the_owner() {
        let bind = |source: &str| json!({"type": "bind", "source": source, "target": "/x"});
        for (key, value) in [
            ("ports", json!([{"target": 80, "published": "8080", "mode": "ingress"}])),
            ("privileged", json!(false)),
            ("cap_drop", json!(["ALL"])),
            ("cap_add", json!([])),
            ("security_opt", json!(["no-new-privileges:true"])),
            ("network_mode", json!("service:db")),
            ("pid", json!("service:db")),
            ("volumes", json!([{"type": "volume", "source": "data", "target": "/data"}])),
            ("volumes", json!([bind("/nowhere/package/state")])),
            ("x-note", json!("a word")),
        ] {
            let document = service(key, &value);
            assert_eq!(refused(&document, &document, &[]), None, "{key}: {value}");
        }
        let named = json!({"volumes": {"data": {"name": "p_data"}}, "networks": {"default":
            {"name": "p_default", "driver": "bridge"}}});
        assert_eq!(refused(&named, &named, &[]), None);
    }

    #[test]
    fn what_reaches_beyond_is_refused_and_named_unless_its_key_is_allowed() {
        let bind = |source: &str| json!([{"type": "bind", "source": source, "target": "/x"}]);
        for (key, value, to_allow) in [
            ("privileged", json!(true), "privileged"),
            ("network_mode", json!("host"), "network_mode"),
            ("network_mode", json!("container:other"), "network_mode"),
            ("pid", json!("host"), "pid"),
            ("ipc", json!("host"), "ipc"),
            ("uts", json!("host"), "uts"),
            ("userns_mode", json!("host"), "userns_mode"),
            ("cgroup_parent", json!("/"), "cgroup_parent"),
            ("devices", json!([{"source": "/dev/sda", "target": "/dev/sda"}]), "devices"),
            (
                "deploy",
                json!({"resources": {"reservations": {"devices": [{"count": 1}]}}}),
                "devices",
            ),
            ("cap_add", json!(["NET_ADMIN"]), "cap_add"),
            ("security_opt", json!(["seccomp:unconfined"]), "security_opt"),
            ("volumes_from", json!(["container:other"]), "volumes_from"),
            ("volumes", bind("/var/run/docker.sock"), "bind_mounts"),
            ("volumes", bind("/"), "bind_mounts"),
            ("volumes", bind("/nowhere/package-of-another"), "bind_mounts"),
            ("volumes", bind("/nowhere/package/../other"), "bind_mounts"),
            ("logging", json!({"driver": "syslog"}), "logging"),
            ("runtime", json!("other"), "runtime"),
            ("a_key_of_tomorrow", json!(true), "a_key_of_tomorrow"),
        ] {
            let document = service(key, &value);
            let failure = refused(&document, &document, &[]).expect(key);
            assert_eq!(failure.code, code::NOT_ALLOWED);
            let named = format!("allow = [\"{to_allow}\"]");
            assert!(failure.message.contains("`web`"), "{failure}");
            assert!(failure.message.contains(&named), "{named}: {failure}");
            assert_eq!(refused(&document, &document, &[to_allow]), None, "{key}");
        }
    }

    #[test]
    fn what_belongs_to_the_host_or_to_another_workload_is_refused() {
        let bound = json!({"type": "none", "o": "bind", "device": "/"});
        for (document, to_allow) in [
            (json!({"volumes": {"data": {"name": "p_data", "driver_opts": bound}}}), "driver_opts"),
            (json!({"volumes": {"data": {"name": "other_data"}}}), "external"),
            (json!({"volumes": {"data": {"name": "other_data", "external": true}}}), "external"),
            (json!({"networks": {"lan": {"name": "p_lan", "driver": "macvlan"}}}), "driver"),
            (json!({"secrets": {"s": {"name": "p_s", "file": "/etc/shadow"}}}), "bind_mounts"),
            (json!({"models": {"m": {"model": "x"}}}), "models"),
        ] {
            let failure = refused(&document, &document, &[]).expect(to_allow);
            assert!(failure.message.contains(&format!("[\"{to_allow}\"]")), "{failure}");
        }
    }

    #[test]
    fn variables_come_from_files_of_the_package_alone() {
        // The resolved model has the variables and not the file.
        let resolved = service("environment", &json!({"A": "b"}));
        let raw = |path: &str| service("env_file", &json!([{"path": path, "required": true}]));
        assert_eq!(refused(&resolved, &raw("/nowhere/package/web.env"), &[]), None);
        for path in ["/etc/gantry/secrets", "/nowhere/package/${F}"] {
            let failure = refused(&resolved, &raw(path), &[]).expect(path);
            assert!(failure.message.contains("env_file"), "{failure}");
        }
    }

    #[test]
    fn a_link_in_the_package_that_leads_out_of_it_is_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let package = folder.path().join("package");
        std::fs::create_dir(&package).expect("a folder");
        for (name, target) in [("out", "/etc"), ("later", "/nowhere/yet"), ("in", ".")] {
            std::os::unix::fs::symlink(target, package.join(name)).expect("a link");
        }
        let is_inside = |it: &str| is_inside(&package.join(it).to_string_lossy(), &package);
        assert!(is_inside("state") && is_inside("in/state"));
        assert!(!is_inside("out") && !is_inside("out/x") && !is_inside("later"));
    }
}
