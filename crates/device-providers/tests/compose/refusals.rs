//! What a package may not do, as real Compose reads it.

use std::fs;

use device_providers::{Observed, code};

use super::stage::{Stage, WEB, allowing, service, services};

#[test]
fn a_dangerous_package_is_refused_however_it_is_written() {
    let base = "services:\n  base:\n    image: gantry-hello:1\n    cap_add: [NET_ADMIN]\n    \
                environment: {GREETING: x}\n";
    let extends = "services:\n  web: {extends: {file: base.yaml, service: base}}\n";
    let anchor = "x-base: &base\n  image: gantry-hello:1\n  environment: {GREETING: x}\n  \
                  cap_add: ['${CAPABILITY}']\nservices:\n  web: {<<: *base}\n";
    let mut stage = Stage::new("danger", WEB);
    stage.workload.parameters.insert("CAPABILITY".to_owned(), "NET_ADMIN".into());
    for compose in [extends, "include: [base.yaml]\nservices: {}\n", anchor] {
        stage.pack(&[("compose.yaml", compose), ("base.yaml", base)]);
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{failure}");
        assert!(failure.message.contains("allow = [\"cap_add\"]"), "{failure}");
        assert_eq!(stage.observe(), Observed::Absent, "nothing was started");
    }
    stage.obey(allowing("cap_add"));
    stage.install();
    let added =
        stage.engine(&["inspect", "--format", "{{.HostConfig.CapAdd}}", &stage.container()]);
    assert!(added.contains("NET_ADMIN"), "{added}");
}

#[test]
fn the_hosts_files_stay_out_of_reach() {
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(secret.path(), "SECRET=1\n").expect("a writable file");
    let env_file = format!("env_file: [{}]", secret.path().display());
    for line in [
        env_file.as_str(),
        "volumes: ['/var/run/docker.sock:/docker.sock']",
        "volumes: ['../../..:/host:ro']",
        "volumes: ['${HOST_PATH}:/host']",
    ] {
        let mut stage = Stage::new("files-of-host", &services(&[service("web", &[line])]));
        stage.workload.parameters.insert("HOST_PATH".to_owned(), "/etc".into());
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{line}: {failure}");
        assert!(failure.message.contains("bind_mounts"), "{line}: {failure}");
    }
}

#[test]
fn a_link_that_a_workload_has_put_beside_its_package_leads_nowhere() {
    let compose = services(&[service("web", &["volumes: ['./state:/state']"])]);
    let mut stage = Stage::new("link", &compose);
    stage.hurry();
    stage.install();
    let state = stage.package().join("state");
    fs::remove_dir_all(&state).expect("a bound folder");
    std::os::unix::fs::symlink("/etc", &state).expect("a writable folder");
    let failure = stage.fail();
    assert_eq!(failure.code, code::NOT_ALLOWED, "{failure}");
}

#[test]
fn a_mount_where_the_version_that_runs_could_put_a_link_waits_for_its_removal() {
    let package = |mount: &str| services(&[service("web", &[&format!("volumes: ['{mount}']")])]);
    let mut stage = Stage::new("race", &package(".:/package"));
    stage.hurry();
    stage.install();
    stage.pack(&[("compose.yaml", &package("./state:/state"))]);
    let failure = stage.fail();
    assert_eq!(failure.code, code::NOT_ALLOWED, "{failure}");
    assert!(failure.message.contains("has to be removed first"), "{failure}");
    stage.remove();
    stage.install();
}

#[test]
fn no_file_of_the_host_is_read_for_a_package() {
    // Another workload's secrets lie there, in files that Compose can read.
    let other = tempfile::TempDir::new().expect("a temporary folder");
    let model = other.path().join("model.json");
    let variables = other.path().join("variables.env");
    let secret = "services: {web: {image: 'gantry-hello:1', environment: {GREETING: secret}}}";
    fs::write(&model, secret).expect("a writable folder");
    fs::write(&variables, "SECRET=secret\n").expect("a writable folder");
    let (model, variables) = (model.display(), variables.display());
    let stage = Stage::new("host", WEB);
    for compose in [
        format!("services: {{web: {{extends: {{file: '{model}', service: web}}}}}}"),
        format!("include: ['{model}']"),
        format!("include: [{{path: inner.yaml, env_file: '{variables}'}}]"),
        format!("include: [inner.yaml]\nservices: {{x: {{image: x, env_file: ['{variables}']}}}}"),
        format!("x-a: &a {{env_file: '{variables}'}}\nservices: {{x: {{<<: *a, image: x}}}}"),
        "include: ['../../../etc/x.yaml']".to_owned(),
        "include: ['oci://127.0.0.1:9/x:1']".to_owned(),
        "include: ['https://127.0.0.1:9/x.git']".to_owned(),
    ] {
        let inner = services(&[service("inner", &["hostname: '${SECRET}'"])]);
        stage.pack(&[("compose.yaml", &compose), ("inner.yaml", &inner)]);
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{compose}: {failure}");
        assert_eq!(stage.observe(), Observed::Absent);
    }
}

#[test]
fn nothing_is_fetched_for_a_package_even_where_files_of_the_host_are_allowed() {
    for source in ["oci://127.0.0.1:9/x:1", "https://127.0.0.1:9/x.git", "git@127.0.0.1:x/y.git"] {
        let mut stage = Stage::new("remote", &format!("include: ['{source}']"));
        stage.obey(allowing("bind_mounts"));
        let failure = stage.fail();
        assert_eq!(failure.code, code::BAD_PACKAGE, "{source}: {failure}");
    }
}

#[test]
fn variables_of_the_client_stay_with_it() {
    // Nothing of our environment is there to be put into a package, but what tells where the engine is.
    let compose = services(&[service("web", &["labels: {a: '${CARGO_PKG_NAME:-unset}'}"])]);
    let mut stage = Stage::new("environment", &compose);
    stage.hurry();
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    stage.install();
    let labels = stage.engine(&["inspect", "--format", "{{.Config.Labels.a}}", &stage.container()]);
    assert_eq!(labels.trim(), "unset");
}

#[test]
fn variables_that_a_container_has_put_beside_its_package_are_not_taken() {
    let compose = services(&[service("web", &["labels: {a: '${SECRET:-unset}'}"])]);
    let mut stage = Stage::new("planted", &compose);
    stage.hurry();
    stage.install();
    let secret = stage.folder.path().join("secret.env");
    fs::write(&secret, "SECRET=secret\n").expect("a writable folder");
    std::os::unix::fs::symlink(secret, stage.package().join(".env")).expect("a free name");
    stage.install();
    let labels = stage.engine(&["inspect", "--format", "{{.Config.Labels.a}}", &stage.container()]);
    assert_eq!(labels.trim(), "unset");
}

#[test]
fn each_dangerous_key_is_refused_as_real_compose_resolves_it() {
    let stage = Stage::new("keys", WEB);
    for (key, line) in [
        ("privileged", "privileged: true"),
        ("network_mode", "network_mode: host"),
        ("network_mode", "network_mode: 'container:other'"),
        ("pid", "pid: host"),
        ("ipc", "ipc: host"),
        ("uts", "uts: host"),
        ("userns_mode", "userns_mode: host"),
        ("devices", "devices: ['/dev/null:/dev/x']"),
        ("devices", "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}"),
        ("device_cgroup_rules", "device_cgroup_rules: ['c *:* rwm']"),
        ("cap_add", "cap_add: [SYS_ADMIN]"),
        ("security_opt", "security_opt: ['apparmor:unconfined']"),
        ("sysctls", "sysctls: ['kernel.core_pattern=|/x']"),
        ("ulimits", "ulimits: {rtprio: 99}"),
        ("cgroup", "cgroup: host"),
        ("cgroup_parent", "cgroup_parent: /"),
        ("runtime", "runtime: other"),
        ("annotations", "annotations: {run.oci.handler: x}"),
        ("storage_opt", "storage_opt: {size: 1G}"),
        ("oom_score_adj", "oom_score_adj: -1000"),
        ("oom_kill_disable", "oom_kill_disable: true"),
        ("volumes_from", "volumes_from: ['container:other']"),
        ("external_links", "external_links: [other]"),
        ("credential_spec", "credential_spec: {file: x}"),
        ("labels", "labels: ['com.docker.compose.project=other']"),
        ("scale", "scale: 1000"),
        ("logging", "logging: {driver: syslog}"),
        ("logging", "logging: {options: {path: /etc/cron.d/x}}"),
        ("bind_mounts", "volumes: ['/:/host:ro']"),
        ("bind_mounts", "volumes: [{type: bind, source: /run, target: /run}]"),
        ("bind_mounts", "volumes: ['.:/package', './state:/state']"),
        (
            "propagation",
            "volumes: [{type: bind, source: ./a, target: /a, bind: {propagation: shared}}]",
        ),
    ] {
        stage.pack(&[("compose.yaml", &services(&[service("web", &[line])]))]);
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{line}: {failure}");
        assert!(failure.message.contains(&format!("\"{key}\"")), "{line}: {failure}");
    }
    let local = "{driver: local, driver_opts: {type: none, o: bind, device: /}}";
    for (key, document) in [
        ("driver_opts", format!("volumes: {{data: {local}}}")),
        ("external", "volumes: {data: {name: other_data}}".to_owned()),
        ("external", "volumes: {data: {external: true}}".to_owned()),
        ("external", "networks: {default: {name: other_default}}".to_owned()),
        ("external", "networks: {default: {external: true}}".to_owned()),
        ("driver", "networks: {default: {driver: macvlan}}".to_owned()),
        ("ipam", "networks: {default: {ipam: {config: [{subnet: 0.0.0.0/1}]}}}".to_owned()),
        ("bind_mounts", "secrets: {s: {file: /etc/shadow}}".to_owned()),
        ("bind_mounts", "configs: {s: {file: /etc/shadow}}".to_owned()),
    ] {
        // What no service uses is left out of the model.
        let used = match document.split_once(':') {
            Some(("volumes", _)) => "volumes: ['data:/data']",
            Some(("secrets", _)) => "secrets: [s]",
            Some(("configs", _)) => "configs: [s]",
            _ => "init: true",
        };
        let compose = format!("{}{document}", services(&[service("web", &[used])]));
        stage.pack(&[("compose.yaml", &compose)]);
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{document}: {failure}");
        assert!(failure.message.contains(&format!("\"{key}\"")), "{document}: {failure}");
    }
    assert_eq!(stage.observe(), Observed::Absent, "nothing was started");
}

#[test]
fn variables_of_a_package_do_not_steer_compose() {
    let mut stage = Stage::new("steer", WEB);
    stage.hurry();
    let steering = "DOCKER_HOST=tcp://127.0.0.1:9\nDOCKER_CONTEXT=other\nCOMPOSE_PROJECT_NAME=other\n\
                    COMPOSE_FILE=/etc/x.yaml\nCOMPOSE_EXPERIMENTAL_OCI_REMOTE=true\n\
                    COMPOSE_EXPERIMENTAL_GIT_REMOTE=true\nPATH=/nowhere\n";
    stage.pack(&[("compose.yaml", WEB), (".env", steering)]);
    stage.install();
    assert_eq!(stage.labelled(&["ps"]).len(), 1, "on our engine, in our project");
    stage.obey(allowing("bind_mounts"));
    stage.pack(&[("compose.yaml", "include: ['oci://127.0.0.1:9/x:1']"), (".env", steering)]);
    let failure = stage.fail();
    assert_eq!(failure.code, code::BAD_PACKAGE, "{failure}");
    assert!(failure.message.contains("disabled"), "{failure}");
}
