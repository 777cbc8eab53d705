//! What is refused, and what is not.

use serde_json::json;

use super::*;

fn refused(document: &Value, allowed: &[&str]) -> Option<Failure> {
    let model = Model::parse(document.to_string().as_bytes()).expect("a model");
    let judged = Judged { project: "p", folder: Path::new("/nowhere/package"), model: &model };
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
        ("volumes", json!([{"type": "volume", "target": "/data"}])),
        ("volumes", json!([{"type": "tmpfs", "target": "/tmp"}])),
        ("volumes", json!([bind("/nowhere/package/a"), bind("/nowhere/package/b")])),
        ("logging", json!({"driver": "json-file", "options": {"max-size": "1m"}})),
        ("sysctls", json!({"net.core.somaxconn": "1024"})),
        ("ulimits", json!({"nofile": 1024})),
        ("labels", json!({"traefik.enable": "true"})),
        ("networks", json!({"default": {"aliases": ["x"], "ipv4_address": "10.0.0.9"}})),
        ("scale", json!(3)),
        ("volumes", json!([bind("/nowhere/package/state")])),
        ("x-note", json!("a word")),
    ] {
        let mut document = service(key, &value);
        document["volumes"] = json!({"data": {"name": "p_data"}});
        assert_eq!(refused(&document, &[]), None, "{key}: {value}");
    }
    let named = json!({"volumes": {"data": {"name": "p_data"}}, "networks": {"default":
        {"name": "p_default", "driver": "bridge", "ipam": {}, "internal": true}},
        "configs": {"c": {"name": "p_c", "file": "/nowhere/package/c"}, "d": {"content": "x"}},
        "secrets": {"s": {"environment": "S"}}});
    assert_eq!(refused(&named, &[]), None);
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
        ("deploy", json!({"resources": {"reservations": {"devices": [{"count": 1}]}}}), "devices"),
        ("device_cgroup_rules", json!(["b *:* rwm"]), "device_cgroup_rules"),
        ("gpus", json!([{"count": -1}]), "gpus"),
        ("cgroup", json!("host"), "cgroup"),
        ("cap_add", json!(["NET_ADMIN"]), "cap_add"),
        ("security_opt", json!(["seccomp:unconfined"]), "security_opt"),
        ("volumes_from", json!(["container:other"]), "volumes_from"),
        ("volumes", bind("/var/run/docker.sock"), "bind_mounts"),
        ("volumes", bind("/"), "bind_mounts"),
        ("volumes", bind("/nowhere/package-of-another"), "bind_mounts"),
        ("volumes", bind("/nowhere/package/../other"), "bind_mounts"),
        ("logging", json!({"driver": "syslog"}), "logging"),
        // Podman writes the log to any file of the host.
        (
            "logging",
            json!({"driver": "json-file", "options": {"path": "/etc/cron.d/x"}}),
            "logging",
        ),
        ("runtime", json!("other"), "runtime"),
        ("isolation", json!("process"), "isolation"),
        ("annotations", json!({"run.oci.handler": "x"}), "annotations"),
        ("sysctls", json!({"kernel.core_pattern": "|/x"}), "sysctls"),
        ("sysctls", json!(["kernel.core_pattern=|/x"]), "sysctls"),
        ("ulimits", json!({"rtprio": 99}), "ulimits"),
        ("storage_opt", json!({"size": "1G"}), "storage_opt"),
        ("oom_score_adj", json!(-1000), "oom_score_adj"),
        ("oom_kill_disable", json!(true), "oom_kill_disable"),
        ("cpu_rt_runtime", json!("95000us"), "cpu_rt_runtime"),
        ("external_links", json!(["other-db-1"]), "external_links"),
        ("credential_spec", json!({"file": "x"}), "credential_spec"),
        ("provider", json!({"type": "a-program-of-the-host"}), "provider"),
        ("post_start", json!([{"command": "x", "privileged": true}]), "post_start"),
        ("pre_stop", json!([{"command": "x"}]), "pre_stop"),
        ("models", json!({"m": {}}), "models"),
        ("use_api_socket", json!(true), "use_api_socket"),
        ("labels", json!({"com.docker.compose.project": "other"}), "labels"),
        ("labels", json!(["com.docker.compose.oneoff=True"]), "labels"),
        ("labels", json!({"io.gantry.files": "x"}), "labels"),
        ("deploy", json!({"labels": {"com.docker.compose.project": "other"}}), "labels"),
        ("deploy", json!({"replicas": 1_000_000}), "scale"),
        ("scale", json!(1_000_000), "scale"),
        ("networks", json!({"default": {"driver_opts": {"x": "y"}}}), "driver_opts"),
        ("volumes", json!([{"type": "volume", "source": "/etc", "target": "/x"}]), "bind_mounts"),
        ("volumes", json!([{"type": "npipe", "source": "x", "target": "/x"}]), "bind_mounts"),
        ("volumes", json!(["/etc:/etc"]), "bind_mounts"),
        ("volumes", bind("/nowhere/package/a:/etc"), "bind_mounts"),
        (
            "volumes",
            json!([{"type": "bind", "source": "/nowhere/package/a", "target": "/x",
                "bind": {"propagation": "rshared"}}]),
            "propagation",
        ),
        ("a_key_of_tomorrow", json!(true), "a_key_of_tomorrow"),
    ] {
        let document = service(key, &value);
        let failure = refused(&document, &[]).expect(key);
        assert_eq!(failure.code, code::NOT_ALLOWED);
        let named = format!("allow = [\"{to_allow}\"]");
        assert!(failure.message.contains("`web`"), "{failure}");
        assert!(failure.message.contains(&named), "{named}: {failure}");
        assert_eq!(refused(&document, &[to_allow]), None, "{key}");
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
        (json!({"networks": {"lan": {"ipam": {"config": [{"subnet": "0.0.0.0/1"}]}}}}), "ipam"),
        (json!({"networks": {"host": {"name": "host", "external": true}}}), "external"),
        (json!({"networks": {"lan": {"labels": {"com.docker.compose.project": "q"}}}}), "labels"),
        (json!({"volumes": {"data": {"driver": "nfs"}}}), "driver"),
        (json!({"volumes": {"data": {"a_key_of_tomorrow": true}}}), "a_key_of_tomorrow"),
        (json!({"secrets": {"s": {"name": "p_s", "file": "/etc/shadow"}}}), "bind_mounts"),
        (json!({"configs": {"c": {"file": "/nowhere/package/../x"}}}), "bind_mounts"),
        (json!({"secrets": {"s": {"external": true}}}), "external"),
        (json!({"secrets": {"s": {"template_driver": "x"}}}), "template_driver"),
        (json!({"models": {"m": {"model": "x"}}}), "models"),
    ] {
        let failure = refused(&document, &[]).expect(to_allow);
        assert!(failure.message.contains(&format!("[\"{to_allow}\"]")), "{failure}");
    }
}

#[test]
fn a_container_that_could_lead_another_mount_elsewhere_is_refused() {
    let bind = |source: &str, read_only: bool| {
        json!({"type": "bind", "source": format!("/nowhere/package{source}"), "target": "/x",
            "read_only": read_only})
    };
    let document = |one: &Value, other: &Value| {
        json!({"services": {"a": {"volumes": [one]}, "b": {"volumes": [other]}},
            "configs": {"c": {"file": "/nowhere/package/conf/c"}}})
    };
    for source in ["", "/state"] {
        let inner = format!("{source}/inner");
        let failure = refused(&document(&bind(source, false), &bind(&inner, true)), &[]);
        assert!(failure.expect(source).message.contains("bind_mounts"));
        assert_eq!(refused(&document(&bind(source, true), &bind(&inner, false)), &[]), None);
        assert_eq!(refused(&document(&bind(source, false), &bind(source, false)), &[]), None);
    }
    let mut with_config = document(&bind("/conf", false), &bind("/other", false));
    assert_eq!(refused(&with_config, &[]), None);
    with_config["services"]["b"]["configs"] = json!([{"source": "c", "target": "/c"}]);
    assert!(refused(&with_config, &[]).is_some());
}

#[test]
fn files_that_compose_reads_come_from_the_package_unless_the_owner_allows_others() {
    let outside = [Outside { key: "extends", path: "/var/lib/other/model.json".to_owned() }];
    let failure = check_files(&outside, &BTreeSet::new()).expect_err("a file of the host");
    assert!(failure.message.contains("extends: /var/lib/other/model.json"), "{failure}");
    assert_eq!(check_files(&outside, &[BIND_MOUNTS.to_owned()].into()), Ok(()));
}
