//! The Compose provider on a real engine. These tests need a Docker Engine, `docker compose` and
//! the image `gantry-hello:1` (scripts/build-hello-image.sh), and fail without them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fs, process};

use device_providers::compose::{Commands, ComposeProvider, Rules};
use device_providers::{Failure, Observed, Provider, Workload, code};
use margo_contract::compose_archive::ComposeArchive;
use tempfile::TempDir;

const WEB: &str = "
services:
  web:
    image: gantry-hello:1
    pull_policy: never
    environment: {GREETING: '${GREETING:?the parameter greeting is missing}'}
    volumes: ['data:/data', './state:/state']
    healthcheck: {test: [CMD, /hello-server, check], interval: 1s, retries: 20}
volumes: {data: {}}
";

/// A workload with an engine to run on; dropping it removes all that is left of it.
struct Stage {
    folder: TempDir,
    provider: ComposeProvider,
    workload: Workload,
}

impl Stage {
    fn new(name: &str, compose_file: &str) -> Self {
        docker(&["image", "inspect", "gantry-hello:1"]);
        let folder = TempDir::new().expect("a temporary folder");
        let provider = provider(Commands::default(), Rules::default());
        let workload = Workload {
            name: format!("gantry-test-{name}-{}", process::id()),
            component: "web".to_owned(),
            directory: folder.path().join("component"),
            namespace: "default".to_owned(),
            package: folder.path().join("archive.tar.gz"),
            parameters: BTreeMap::from([("GREETING".to_owned(), "Hello".into())]),
            wait: true,
            timeout: Duration::from_secs(60),
        };
        let stage = Self { folder, provider, workload };
        stage.pack(&[("compose.yaml", compose_file)]);
        stage
    }

    fn pack(&self, files: &[(&str, &str)]) {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        let archive = ComposeArchive::of_files(files.collect()).expect("a good archive");
        let bytes = archive.pack("web").expect("writing to memory");
        fs::write(&self.workload.package, bytes).expect("a writable folder");
    }

    fn install(&self) {
        self.provider.install(&self.workload).expect("a package that runs");
    }

    fn observe(&self) -> Observed {
        self.provider.observe(&self.workload).expect("an engine that answers")
    }

    fn package(&self) -> PathBuf {
        self.workload.directory.join("package")
    }

    fn labelled(&self, kind: &[&str]) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.workload.name);
        let out = docker(&[kind, &["--quiet", "--filter", &filter]].concat());
        out.lines().map(str::to_owned).collect()
    }

    fn fail(&self) -> Failure {
        self.provider.install(&self.workload).expect_err("a package that cannot be installed")
    }

    /// The container of a service.
    fn container_of(&self, service: &str) -> Option<String> {
        let project = format!("label=com.docker.compose.project={}", self.workload.name);
        let service = format!("label=com.docker.compose.service={service}");
        let filters = ["--filter", &project, "--filter", &service];
        let out = docker(&[&["ps", "--all", "--quiet"], &filters[..]].concat());
        out.lines().next().map(str::to_owned)
    }

    fn container(&self) -> String {
        self.labelled(&["ps", "--all"]).pop().expect("a container")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (kind, remove) in [
            (&["ps", "--all"][..], &["rm", "--force"][..]),
            (&["network", "ls"], &["network", "rm"]),
            (&["volume", "ls"], &["volume", "rm"]),
        ] {
            for id in self.labelled(kind) {
                docker(&[remove, &[id.as_str()]].concat());
            }
        }
    }
}

fn provider(commands: Commands, rules: Rules) -> ComposeProvider {
    ComposeProvider::new(commands, rules, Arc::new(AtomicBool::new(false)))
}

fn allowing(key: &str) -> Rules {
    Rules { allow: [key.to_owned()].into(), ..Rules::default() }
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn environment_of(container: &str) -> Vec<String> {
    let text = docker(&["inspect", "--format", "{{json .Config.Env}}", container]);
    serde_json::from_str(&text).expect("a list of variables")
}

fn detail(observed: &Observed) -> &str {
    match observed {
        Observed::Degraded(failure) => &failure.message,
        other => panic!("{other:?} should be degraded"),
    }
}

#[test]
fn a_package_is_installed_updated_in_place_and_removed_and_its_data_stays() {
    let mut stage = Stage::new("life", WEB);
    assert_eq!(stage.observe(), Observed::Absent);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    let first = stage.container();
    stage.install();
    assert_eq!(stage.container(), first, "installing again changes nothing");
    let volumes = stage.labelled(&["volume", "ls"]);
    assert_eq!(volumes.len(), 1);
    fs::write(stage.package().join("state/kept"), "data").expect("a bound folder");

    stage.workload.parameters.insert("GREETING".to_owned(), "Moin".into());
    stage.install();
    assert!(environment_of(&stage.container()).contains(&"GREETING=Moin".to_owned()));
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes);

    stage.provider.remove(&stage.workload).expect("a removable workload");
    assert_eq!(stage.observe(), Observed::Absent);
    assert!(stage.labelled(&["ps", "--all"]).is_empty());
    assert!(stage.labelled(&["network", "ls"]).is_empty());
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes, "volumes stay");
    assert!(stage.package().join("state/kept").exists(), "what the workload wrote stays");
    assert!(!stage.package().join("compose.yaml").exists());
    stage.provider.remove(&stage.workload).expect("removing nothing succeeds");
}

#[test]
fn removing_needs_no_package() {
    let stage = Stage::new("gone", WEB);
    stage.install();
    fs::remove_dir_all(&stage.workload.directory).expect("a folder of ours");
    assert_eq!(detail(&stage.observe()), "its installation was not finished");
    stage.provider.remove(&stage.workload).expect("a removable workload");
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn every_value_reaches_the_container_as_it_was_given() {
    // margo(PA-4)
    let values = [
        "a $HOME ${X} $$ $",
        "it's",
        "say \"hi\"",
        "# hash # x",
        "  around  ",
        "l1\nl2\r\nl3\rend",
        "back\\slash\\\\ \\n \\t \\$ \\\" tail\\",
        "`id` $(id)",
        "ümläut 🦀",
        "",
        "=a=b",
        "\t",
        "\\0101 \\x41",
        "[\"a\",1]",
        "${",
        "\\",
        "\"",
        "'",
    ];
    let mut compose = "services:\n  web:\n    image: gantry-hello:1\n    environment:\n".to_owned();
    let mut stage = Stage::new("values", WEB);
    compose.push_str("      GREETING: x\n");
    for (index, value) in values.iter().enumerate() {
        compose.push_str(&format!("      V{index}: ${{V{index}}}\n"));
        stage.workload.parameters.insert(format!("V{index}"), (*value).into());
    }
    stage.pack(&[("compose.yaml", &compose)]);
    stage.install();
    let found = environment_of(&stage.container());
    for (index, value) in values.iter().enumerate() {
        let wanted = format!("V{index}={value}");
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
    }
}

#[test]
fn a_service_that_fails_is_reported_with_its_exit_code_and_last_words() {
    // margo(P-3)
    for (name, more) in [("once", ""), ("again", "    restart: always\n")] {
        let text = format!(
            "services:\n  pump:\n    image: gantry-hello:1\n    command: [nonsense]\n{more}"
        );
        let stage = Stage::new(name, &text);
        let failure = stage.provider.install(&stage.workload).expect_err("a failing service");
        assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
        assert!(failure.message.contains("service `pump` exited with code 1"), "{failure}");
        assert!(failure.message.contains("unknown argument \"nonsense\""), "{failure}");
        detail(&stage.observe());
    }
}

#[test]
fn an_unhealthy_service_and_one_that_takes_too_long_are_failures() {
    let check = |retries: u8| {
        format!(
            "services:\n  web:\n    image: gantry-hello:1\n    environment: {{GREETING: x}}\n    \
             healthcheck: {{test: [CMD, /hello-server, nonsense], interval: 1s, retries: {retries}}}\n"
        )
    };
    let mut stage = Stage::new("unhealthy", &check(1));
    let failure = stage.provider.install(&stage.workload).expect_err("an unhealthy service");
    assert_eq!(failure.code, code::SERVICE_UNHEALTHY, "{failure}");

    stage.pack(&[("compose.yaml", &check(100))]);
    stage.workload.timeout = Duration::from_secs(5);
    let failure = stage.provider.install(&stage.workload).expect_err("a slow service");
    assert_eq!(failure.code, code::TIMED_OUT, "{failure}");
}

#[test]
fn a_job_that_ends_well_beside_a_service_is_a_success() {
    let job = "  job:\n    image: gantry-hello:1\n    command: [check]\n    network_mode: \
               'service:web'\n    depends_on: {web: {condition: service_healthy}}\n";
    let compose = WEB.replace("volumes: {data: {}}", &format!("{job}volumes: {{data: {{}}}}"));
    let stage = Stage::new("job", &compose);
    stage.install();
    assert_eq!(stage.labelled(&["ps", "--all"]).len(), 2);
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn drift_is_seen_and_repaired() {
    let stage = Stage::new("drift", WEB);
    stage.install();
    docker(&["stop", "--time", "1", &stage.container()]);
    assert!(detail(&stage.observe()).contains("service `web` exited"));
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    docker(&["rm", "--force", &stage.container()]);
    assert_eq!(stage.observe(), Observed::Absent);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn a_bad_package_changes_nothing() {
    let mut stage = Stage::new("bad", WEB);
    stage.install();
    let before = stage.container();

    stage.workload.parameters.clear();
    let failure = stage.provider.install(&stage.workload).expect_err("a missing parameter");
    assert_eq!(failure.code, code::BAD_PACKAGE);
    assert!(failure.message.contains("the parameter greeting is missing"), "{failure}");
    fs::write(&stage.workload.package, "nothing").expect("a writable folder");
    let failure = stage.provider.install(&stage.workload).expect_err("no archive");
    assert_eq!(failure.code, code::BAD_ARCHIVE);

    assert_eq!(stage.observe(), Observed::Running);
    assert_eq!(stage.container(), before);
}

#[test]
fn a_changed_file_that_containers_have_mounted_makes_them_anew() {
    let compose = WEB.replace("'./state:/state'", "'./conf/web.conf:/web.conf:ro'");
    let stage = Stage::new("files", &compose);
    stage.pack(&[("compose.yaml", &compose), ("conf/web.conf", "one"), ("old/x", "x")]);
    stage.install();
    let first = stage.container();

    stage.pack(&[("compose.yaml", &compose), ("conf/web.conf", "two")]);
    stage.install();
    assert_ne!(stage.container(), first);
    let found = fs::read_to_string(stage.package().join("conf/web.conf"));
    assert_eq!(found.expect("the new file"), "two");
    assert!(!stage.package().join("old").exists(), "what the new package lacks is gone");
}

#[test]
fn an_engine_that_is_missing_or_down_is_said_to_be() {
    let stage = Stage::new("engine", WEB);
    let down = ["docker", "--host", "unix:///nowhere/docker.sock"].map(str::to_owned);
    for engine in [vec!["/nowhere/docker".to_owned()], down.to_vec()] {
        let compose = [&engine[..], &["compose".to_owned()]].concat();
        let provider = provider(Commands { compose, engine }, Rules::default());
        let failures = [
            provider.install(&stage.workload).expect_err("no engine"),
            provider.observe(&stage.workload).expect_err("no engine"),
            provider.remove(&stage.workload).expect_err("no engine"),
        ];
        for failure in failures {
            assert_eq!(failure.code, code::ENGINE_UNAVAILABLE, "{failure}");
        }
    }
    assert!(Path::new(stage.folder.path()).exists());
}

/// A service that needs nothing, and more lines of it.
fn service(name: &str, more: &[&str]) -> String {
    let lines: String = more.iter().map(|it| format!("    {it}\n")).collect();
    format!("  {name}:\n    image: gantry-hello:1\n    environment: {{GREETING: x}}\n{lines}")
}

fn services(all: &[String]) -> String {
    format!("services:\n{}", all.concat())
}

#[test]
fn a_package_that_is_not_to_be_waited_for_is_installed_once_it_is_started() {
    let check = "healthcheck: {test: [CMD, /hello-server, nonsense], interval: 1s, retries: 100}";
    let mut stage = Stage::new("nowait", &services(&[service("web", &[check])]));
    stage.workload.wait = false;
    stage.install();
    assert_eq!(stage.observe(), Observed::Running, "its first health check has yet to come");
}

#[test]
fn a_service_that_ends_well_again_and_again_does_not_run() {
    let again = "  again:\n    image: gantry-hello:1\n    command: [check]\n    restart: always\n    \
                 network_mode: 'service:web'\n    depends_on: {web: {condition: service_healthy}}\n";
    let compose = WEB.replace("volumes: {data: {}}", &format!("{again}volumes: {{data: {{}}}}"));
    let stage = Stage::new("flapping", &compose);
    let failure = stage.fail();
    assert!(failure.message.contains("service `again`"), "{failure}");
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
}

#[test]
fn an_update_touches_only_what_it_changes() {
    let conf = "volumes: ['./web.conf:/web.conf:ro', 'data:/data']";
    let volumes = "volumes: {data: {}}\n".to_owned();
    let web = service("web", &[conf]);
    let both = services(&[web.clone(), service("other", &[]), volumes.clone()]);
    let stage = Stage::new("touch", &both);
    stage.pack(&[("compose.yaml", &both), ("web.conf", "one")]);
    stage.install();
    let kept = || (stage.labelled(&["volume", "ls"]), stage.labelled(&["network", "ls"]));
    let before = (stage.container_of("web"), stage.container_of("other"), kept());

    stage.pack(&[("compose.yaml", &both), ("web.conf", "two")]);
    stage.install();
    let after = (stage.container_of("web"), stage.container_of("other"), kept());
    assert_ne!(after.0, before.0, "its file has changed");
    assert_eq!((&after.1, &after.2), (&before.1, &before.2));

    let alone = services(&[web, volumes]);
    stage.pack(&[("compose.yaml", &alone), ("web.conf", "two")]);
    stage.install();
    assert_eq!(stage.container_of("web"), after.0);
    assert_eq!(stage.container_of("other"), None, "a service that was taken out goes");
    assert_eq!(kept(), before.2);
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn an_update_that_fails_says_what_runs_now() {
    let stage = Stage::new("update", &services(&[service("web", &[]), service("other", &[])]));
    stage.install();
    let broken = service("web", &["command: [nonsense]"]);
    stage.pack(&[("compose.yaml", &services(&[broken, service("other", &[])]))]);
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
    assert!(failure.message.ends_with("of it run now: `other` (gantry-hello:1)"), "{failure}");
}

#[test]
fn what_cannot_be_removed_is_named_and_removed_later() {
    let stage = Stage::new("stuck", WEB);
    stage.install();
    let network = format!("{}_default", stage.workload.name);
    let guest = format!("{}-guest", stage.workload.name);
    let run = ["run", "--detach", "--rm", "--env", "GREETING=x", "--network", &network];
    docker(&[&run[..], &["--name", &guest, "gantry-hello:1"]].concat());
    let removed = stage.provider.remove(&stage.workload);
    docker(&["rm", "--force", &guest]);
    let failure = removed.expect_err("a network in use");
    assert_eq!(failure.code, code::REMOVE_FAILED, "{failure}");
    assert!(failure.message.contains(&format!("network {network}")), "{failure}");
    stage.provider.remove(&stage.workload).expect("nobody uses it any more");
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn volumes_go_with_the_workload_only_where_the_owner_says_so() {
    let mut stage = Stage::new("volumes", WEB);
    stage.install();
    assert_eq!(stage.labelled(&["volume", "ls"]).len(), 1);
    let rules = Rules { remove_volumes: true, ..Rules::default() };
    stage.provider = provider(Commands::default(), rules);
    stage.provider.remove(&stage.workload).expect("a removable workload");
    assert!(stage.labelled(&["volume", "ls"]).is_empty());
}

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
    stage.provider = provider(Commands::default(), allowing("cap_add"));
    stage.install();
    let added = docker(&["inspect", "--format", "{{.HostConfig.CapAdd}}", &stage.container()]);
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
    let stage = Stage::new("link", &compose);
    stage.install();
    let state = stage.package().join("state");
    fs::remove_dir_all(&state).expect("a bound folder");
    std::os::unix::fs::symlink("/etc", &state).expect("a writable folder");
    let failure = stage.fail();
    assert_eq!(failure.code, code::NOT_ALLOWED, "{failure}");
}

#[test]
fn why_a_package_cannot_be_started_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    let taken = service("web", &[&format!("ports: ['127.0.0.1:{port}:8080']")]);
    let image = |name: &str, more: &str| format!("  web:\n    image: {name}\n{more}");
    for (name, compose, code) in [
        ("port", taken, code::PORT_TAKEN),
        ("image", image("gantry-none:0", "    pull_policy: never\n"), code::IMAGE_UNAVAILABLE),
        ("registry", image("127.0.0.1:9/none:1", ""), code::REGISTRY_UNREACHABLE),
        ("package", image("gantry-hello:1", "    nonsense: true\n"), code::BAD_PACKAGE),
    ] {
        let stage = Stage::new(name, &services(&[compose]));
        let failure = stage.fail();
        assert_eq!(failure.code, code, "{name}: {failure}");
        assert!(failure.message.ends_with("nothing of it runs now"), "{failure}");
    }
}
