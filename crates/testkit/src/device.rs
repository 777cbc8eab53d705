//! A whole device client for one test: the real `gantry-device` with a state directory and a
//! configuration of its own, for one [`TestFleet`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

use crate::fleet::TestFleet;
use crate::programs::{self, Running};

/// A device client, running or not.
pub struct TestDevice {
    folder: PathBuf,
    /// Another `gantry-device` than the one that is built beside the test.
    executable: Option<PathBuf>,
    program: Option<Running>,
}

impl TestDevice {
    /// Starts a client for a device of this name that looks for changes every second.
    pub fn start(fleet: &TestFleet, name: &str) -> Self {
        Self::start_with(fleet, name, "")
    }

    /// As [`TestDevice::start`], with more sections of configuration.
    pub fn start_with(fleet: &TestFleet, name: &str, configuration: &str) -> Self {
        let mut device = Self::prepare(fleet, name, configuration);
        device.start_program();
        device
    }

    /// A client that is configured and not started.
    pub fn prepare(fleet: &TestFleet, name: &str, configuration: &str) -> Self {
        let folder = fleet.dir().join("devices").join(name);
        fs::create_dir_all(&folder).expect("the test's folder can be written");
        let toml = format!(
            "state_dir = \"{}\"\n[server]\nurl = \"{}\"\nca = \"{}\"\n[device]\nid = \"{name}\"\n\
             vendor = \"Example Machines\"\nmodel_number = \"EM-100\"\nserial_number = \"0007\"\n\
             [polling]\ninterval = \"1s\"\nlongest_pause = \"1s\"\n{configuration}",
            folder.join("state").display(),
            fleet.url(),
            fleet.ca().display()
        );
        fs::write(folder.join("device.toml"), toml).expect("the configuration can be written");
        Self { folder, executable: None, program: None }
    }

    /// Takes another build of the client from now on.
    pub fn set_executable(&mut self, path: &Path) {
        self.executable = Some(path.to_owned());
    }

    /// Starts the client, on what it left in its state directory.
    pub fn start_program(&mut self) {
        let mut command = self.command(&["run"]);
        self.program = Some(Running::start(&mut command, &self.folder.join("device.log")));
    }

    /// One of the client's commands, beside the running client.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let executable = self.executable.clone();
        let mut command =
            Command::new(executable.unwrap_or_else(|| programs::path("gantry-device")));
        command
            .arg("--config")
            .arg(self.configuration())
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        command
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("device.toml")
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The folder of this device in the test's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `gantry-device status` tells; nothing before the client has written it for the first time.
    pub fn status(&self) -> Option<Value> {
        let output = programs::run(&mut self.command(&["status", "--output", "json"]));
        output.status.success().then(|| {
            serde_json::from_slice(&output.stdout).expect("the status is JSON when asked to be")
        })
    }

    /// The process id of the running client.
    pub fn id(&self) -> u32 {
        self.program.as_ref().expect("the client is running").id()
    }

    /// Lets the client do nothing until [`TestDevice::thaw`].
    pub fn freeze(&self) {
        self.program.as_ref().expect("the client is running").freeze();
    }

    pub fn thaw(&self) {
        self.program.as_ref().expect("the client is running").thaw();
    }

    /// Takes the client away without a warning, as a power cut does.
    pub fn kill(&mut self) {
        self.program.take().expect("the client is running").kill();
    }

    /// The most memory that the running client has ever held, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let id = self.program.as_ref().expect("the client is running").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it is running");
        let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes.expect("Linux tells it") * 1024
    }

    /// Asks the client to stop and gives its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.program.take().expect("the client is running").stop()
    }

    /// Asks the client to read its configuration again, as `systemctl reload` does.
    pub fn hang_up(&self) {
        self.program.as_ref().expect("the client is running").hang_up();
    }

    /// Ends the client if it runs.
    pub fn end(&mut self) {
        self.program = None;
    }

    /// All that the client has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("device.log")).unwrap_or_default()
    }
}
