//! The Compose provider on a real engine. These tests need a Docker Engine, `docker compose` and
//! the image `gantry-hello:1` (scripts/build-hello-image.sh), and fail without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fs, process};

use device_providers::compose::{Commands, ComposeProvider};
use device_providers::{Observed, Provider, Workload, code};
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
        let provider = ComposeProvider::new(Commands::default(), Arc::new(AtomicBool::new(false)));
        let workload = Workload {
            project: format!("gantry-test-{name}-{}", process::id()),
            component: "web".to_owned(),
            directory: folder.path().join("component"),
            archive: folder.path().join("archive.tar.gz"),
            environment: BTreeMap::from([("GREETING".to_owned(), "Hello".to_owned())]),
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
        fs::write(&self.workload.archive, bytes).expect("a writable folder");
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
        let filter = format!("label=com.docker.compose.project={}", self.workload.project);
        let out = docker(&[kind, &["--quiet", "--filter", &filter]].concat());
        out.lines().map(str::to_owned).collect()
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
        Observed::Degraded { detail } => detail,
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

    stage.workload.environment.insert("GREETING".to_owned(), "Moin".to_owned());
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
        stage.workload.environment.insert(format!("V{index}"), (*value).to_owned());
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

    stage.workload.environment.clear();
    let failure = stage.provider.install(&stage.workload).expect_err("a missing parameter");
    assert_eq!(failure.code, code::BAD_PACKAGE);
    assert!(failure.message.contains("the parameter greeting is missing"), "{failure}");
    fs::write(&stage.workload.archive, "nothing").expect("a writable folder");
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
fn an_engine_that_is_missing_is_said_to_be() {
    let stage = Stage::new("engine", WEB);
    let commands = Commands {
        compose: vec!["/nowhere/docker".to_owned(), "compose".to_owned()],
        engine: vec!["/nowhere/docker".to_owned()],
    };
    let provider = ComposeProvider::new(commands, Arc::new(AtomicBool::new(false)));
    let failures = [
        provider.install(&stage.workload).expect_err("no engine"),
        provider.observe(&stage.workload).expect_err("no engine"),
        provider.remove(&stage.workload).expect_err("no engine"),
    ];
    for failure in failures {
        assert_eq!(failure.code, code::ENGINE_UNAVAILABLE, "{failure}");
    }
    assert!(Path::new(stage.folder.path()).exists());
}
