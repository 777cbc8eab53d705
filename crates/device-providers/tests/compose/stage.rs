//! A workload with an engine to run on, and what tests ask of both.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use device_providers::compose::{Commands, ComposeProvider, Rules};
use device_providers::{Failure, Observed, Provider, Workload};
use margo_contract::compose_archive::ComposeArchive;
use tempfile::TempDir;

/// One service with a health check, a volume, a folder of its own and a parameter it cannot do without.
pub(crate) const WEB: &str = "
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
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) commands: Commands,
    pub(crate) provider: ComposeProvider,
    pub(crate) workload: Workload,
}

impl Stage {
    /// A package on the Docker Engine of this machine.
    pub(crate) fn new(name: &str, compose_file: &str) -> Self {
        Self::on(Commands::default(), name, compose_file)
    }

    /// A package on an engine of its own.
    pub(crate) fn on(commands: Commands, name: &str, compose_file: &str) -> Self {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = TempDir::new().expect("a temporary folder");
        let stage = Self {
            provider: provider(commands.clone(), Rules::default()),
            workload: Workload {
                name: format!("gantry-test-{name}-{}-{number}", std::process::id()),
                component: "web".to_owned(),
                directory: folder.path().join("component"),
                namespace: "default".to_owned(),
                package: folder.path().join("archive.tar.gz"),
                parameters: BTreeMap::from([("GREETING".to_owned(), "Hello".into())]),
                wait: true,
                timeout: Duration::from_secs(60),
            },
            folder,
            commands,
        };
        stage.engine(&["image", "inspect", "gantry-hello:1"]);
        stage.pack(&[("compose.yaml", compose_file)]);
        stage
    }

    pub(crate) fn pack(&self, files: &[(&str, &str)]) {
        pack(&self.workload.package, files);
    }

    /// From now on installing ends once all is started, where nothing is to be learnt by waiting.
    pub(crate) fn hurry(&mut self) {
        self.workload.wait = false;
    }

    pub(crate) fn obey(&mut self, rules: Rules) {
        self.provider = provider(self.commands.clone(), rules);
    }

    pub(crate) fn install(&self) {
        self.provider.install(&self.workload).expect("a package that runs");
    }

    pub(crate) fn fail(&self) -> Failure {
        self.provider.install(&self.workload).expect_err("a package that cannot be installed")
    }

    pub(crate) fn remove(&self) {
        self.provider.remove(&self.workload).expect("a removable workload");
    }

    pub(crate) fn observe(&self) -> Observed {
        self.provider.observe(&self.workload).expect("an engine that answers")
    }

    /// What is amiss with the workload.
    pub(crate) fn amiss(&self) -> String {
        match self.observe() {
            Observed::Degraded(failure) => failure.message,
            other => panic!("{other:?} should be degraded"),
        }
    }

    pub(crate) fn package(&self) -> PathBuf {
        self.workload.directory.join("package")
    }

    /// What the engine has of a kind, such as `volume ls`.
    pub(crate) fn labelled(&self, kind: &[&str]) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.workload.name);
        let out = self.engine(&[kind, &["--quiet", "--filter", &filter]].concat());
        out.lines().map(str::to_owned).collect()
    }

    /// The container of a service.
    pub(crate) fn container_of(&self, service: &str) -> Option<String> {
        let service = format!("label=com.docker.compose.service={service}");
        self.labelled(&["ps", "--all", "--no-trunc", "--filter", &service]).pop()
    }

    pub(crate) fn container(&self) -> String {
        self.labelled(&["ps", "--all", "--no-trunc"]).pop().expect("a container")
    }

    pub(crate) fn environment_of(&self, service: &str) -> Vec<String> {
        let container = self.container_of(service).expect("a container");
        let text = self.engine(&["inspect", "--format", "{{json .Config.Env}}", &container]);
        serde_json::from_str(&text).expect("a list of variables")
    }

    pub(crate) fn engine(&self, arguments: &[&str]) -> String {
        run(&self.commands.engine, arguments)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Podman wants those that live in others to go first, whichever these are.
        for _ in 0..2 {
            for (kind, remove) in [
                (&["ps", "--all"][..], &["rm", "--force"][..]),
                (&["network", "ls"], &["network", "rm"]),
                (&["volume", "ls"], &["volume", "rm"]),
            ] {
                for id in self.labelled(kind) {
                    let mut command = Command::new(&self.commands.engine[0]);
                    command.args(&self.commands.engine[1..]).args(remove).arg(&id);
                    // What is still there is met again.
                    let _ = command.output();
                }
            }
        }
    }
}

/// Writes an archive with these files.
pub(crate) fn pack(archive: &Path, files: &[(&str, &str)]) {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    let packed = ComposeArchive::of_files(files.collect()).expect("a good archive").pack("web");
    fs::write(archive, packed.expect("writing to memory")).expect("a writable folder");
}

pub(crate) fn provider(commands: Commands, rules: Rules) -> ComposeProvider {
    ComposeProvider::new(commands, rules, Arc::new(AtomicBool::new(false)))
}

pub(crate) fn allowing(key: &str) -> Rules {
    Rules { allow: [key.to_owned()].into(), ..Rules::default() }
}

/// Runs a program to its good end; what it printed.
pub(crate) fn run(command: &[impl AsRef<OsStr>], arguments: &[&str]) -> String {
    let (program, first) = command.split_first().expect("a program");
    let output = Command::new(program).args(first).args(arguments).output();
    let output = output.expect("a program that is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {arguments:?}: {errors}", program.as_ref());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A service that needs nothing, and more lines of it.
pub(crate) fn service(name: &str, more: &[&str]) -> String {
    let lines: String = more.iter().map(|it| format!("    {it}\n")).collect();
    format!("  {name}:\n    image: gantry-hello:1\n    environment: {{GREETING: x}}\n{lines}")
}

pub(crate) fn services(all: &[String]) -> String {
    format!("services:\n{}", all.concat())
}

pub(crate) fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|it| (*it).to_owned()).collect()
}
