//! An engine of the story's own, which it may stop and kill: containers come and go with it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;
use testkit::programs::{self, Running};
use testkit::wait;

/// A second Docker Engine, beside the one that all share. It needs `dockerd`, and root.
pub(crate) struct OwnEngine {
    folder: TempDir,
    program: Option<Running>,
}

impl OwnEngine {
    /// An engine that is not started yet.
    pub(crate) fn prepare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        Self { folder, program: None }
    }

    /// What a client has to be told to use it.
    pub(crate) fn configuration(&self) -> String {
        let engine = format!("\"docker\", \"--host\", \"{}\"", self.host());
        format!("[compose]\ncommand = [{engine}, \"compose\"]\nengine = [{engine}]\n")
    }

    pub(crate) fn start(&mut self) {
        self.launch();
        wait::until("the engine to answer", || self.answers().then_some(()));
    }

    fn launch(&mut self) {
        // Left over from one that was killed, it keeps the next one from starting where nobody reaps the
        // processes that it has left behind.
        let _ = fs::remove_file(self.folder.path().join("exec/containerd/containerd.pid"));
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(self.host());
        for (option, name) in
            [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]
        {
            command.arg(option).arg(self.folder.path().join(name));
        }
        // It leaves the machine's network and its firewall alone.
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--storage-driver=vfs"]);
        self.program = Some(Running::start(&mut command, &self.folder.path().join("log")));
    }

    fn answers(&self) -> bool {
        programs::run(&mut self.docker(&["version"])).status.success()
    }

    /// Gives it an image of the engine that all share.
    pub(crate) fn load(&self, image: &str) {
        let file = self.folder.path().join("image.tar");
        programs::stdout_of(
            Command::new("docker").args(["save", "--output"]).arg(&file).arg(image),
        );
        programs::stdout_of(self.docker(&["load", "--input"]).arg(&file));
    }

    /// As `systemctl stop docker`: its containers end with it.
    pub(crate) fn stop(&mut self) {
        self.program.take().expect("the engine is running").stop();
    }

    /// Takes it away without a warning.
    pub(crate) fn kill(&mut self) {
        self.program.take().expect("the engine is running").kill();
    }

    /// The containers that run, by service, sorted.
    pub(crate) fn running(&self) -> Vec<String> {
        let format = "{{.Label \"com.docker.compose.service\"}}";
        let listed = programs::stdout_of(&mut self.docker(&["ps", "--format", format]));
        let mut services: Vec<String> = listed.lines().map(str::to_owned).collect();
        services.sort();
        services
    }

    /// How many containers there are, running or not.
    pub(crate) fn count(&self) -> usize {
        programs::stdout_of(&mut self.docker(&["ps", "--all", "--quiet"])).lines().count()
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(arguments);
        command
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // What was killed leaves its containers running: only an engine can end them. Nothing panics here,
        // since the story may be doing so.
        if self.program.is_none() && self.folder.path().join("data").is_dir() {
            self.launch();
            let deadline = Instant::now() + wait::PATIENCE;
            while !self.answers() && Instant::now() < deadline {
                thread::park_timeout(Duration::from_millis(100));
            }
        }
        let Some(program) = self.program.take() else { return };
        let listed = programs::run(&mut self.docker(&["ps", "--all", "--quiet"]));
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            programs::run(&mut self.docker(&["rm", "--force", id]));
        }
        program.stop();
    }
}
