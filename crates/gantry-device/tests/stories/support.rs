//! A plant for one test: a fleet manager, a device that was let in, and a workload with names and a
//! port that no other test uses. Dropping it removes what is left on the engine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::port;
use testkit::{programs, wait};

/// The device's name in every story; each has a fleet of its own.
pub(crate) const PRESS: &str = "press-7";
const APPLICATION: &str = "com-gantry-hello";
/// Waits for what an order wants, and not for ever.
pub(crate) const WAIT: [&str; 3] = ["--wait", "--timeout", "60s"];

/// Everything that a story needs.
pub(crate) struct Plant {
    pub(crate) fleet: TestFleet,
    pub(crate) press: TestDevice,
    /// The name of the deployment; the engine calls its component after it.
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Plant {
    /// A device that was let in, with the example application in the catalogue.
    pub(crate) fn start(configuration: &str) -> Self {
        let fleet = TestFleet::start();
        let press = TestDevice::start_with(&fleet, PRESS, configuration);
        Self::around(fleet, press)
    }

    /// As [`Plant::start`], with a device whose client is running.
    pub(crate) fn around(fleet: TestFleet, press: TestDevice) -> Self {
        docker(&["image", "inspect", "gantry-hello:1"]);
        let plant = Self { fleet, press, name: unique_name(), port: port::free() };
        plant.waits_for_approval();
        plant.gantry(&["client", "approve", PRESS]);
        wait::until("the device to report its capabilities", || {
            let client = plant.client();
            client["devices"].as_array().is_some_and(|it| !it.is_empty()).then_some(())
        });
        plant.gantry(&["application", "add", &example().to_string_lossy()]);
        plant
    }

    /// Waits until the device's request to be let in is listed.
    pub(crate) fn waits_for_approval(&self) {
        wait::until("the device to wait for approval", || {
            self.gantry(&["client", "list"]).contains("waiting").then_some(())
        });
    }

    /// What an operator's command prints; panics when it fails.
    pub(crate) fn gantry(&self, arguments: &[&str]) -> String {
        programs::stdout_of(&mut self.fleet.gantry(arguments))
    }

    /// Orders the example application with this greeting; `more` are further options.
    pub(crate) fn deploy(&self, greeting: &str, more: &[&str]) -> Output {
        let (greeting, port) = (format!("greeting={greeting}"), format!("port={}", self.port));
        let order = [
            &["deploy", APPLICATION, "--to", PRESS, "--name", &self.name],
            &["--set", &greeting, "--set", &port][..],
            more,
        ];
        programs::run(&mut self.fleet.gantry(&order.concat()))
    }

    /// As [`Plant::deploy`], and waits until it is installed.
    pub(crate) fn install(&self, greeting: &str) -> String {
        let output = self.deploy(greeting, &WAIT);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}\n{}", self.press.log());
        said
    }

    /// The client, as operators see it.
    pub(crate) fn client(&self) -> Value {
        json(&self.gantry(&["client", "show", PRESS, "-o", "json"]))
    }

    /// The state of the deployment, as operators see it.
    pub(crate) fn state(&self) -> String {
        let deployment = json(&self.gantry(&["deployment", "show", &self.name, "-o", "json"]));
        deployment["state"].as_str().expect("a deployment has a state").to_owned()
    }

    /// Waits until operators see this state.
    pub(crate) fn state_reached(&self, state: &str) {
        wait::until(&format!("the state {state}"), || (self.state() == state).then_some(()));
    }

    /// Waits until the client's newest revision is this one.
    pub(crate) fn revision_reached(&self, revision: u64) {
        wait::until("the revision to be published", || {
            (self.client()["revision"] == revision).then_some(())
        });
    }

    /// What the workload answers over HTTP, if it does.
    pub(crate) fn greeting(&self) -> Option<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.trim_end().to_owned())
    }

    /// The containers of the workload, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}-hello", self.name);
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &project]);
        ids.lines().map(str::to_owned).collect()
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        // The client first, or it would repair what is taken away.
        if std::thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "--- gantry-device:\n{}", self.press.log());
            let _ = writeln!(stderr, "--- gantry-server:\n{}", self.fleet.log());
        }
        self.press.end();
        let project = format!("label=com.docker.compose.project={}-hello", self.name);
        for (kind, remove) in [
            (&["ps", "--all"][..], &["rm", "--force"][..]),
            (&["network", "ls"], &["network", "rm"]),
        ] {
            let ids = docker(&[kind, &["--quiet", "--filter", &project]].concat());
            for id in ids.lines() {
                docker(&[remove, &[id]].concat());
            }
        }
    }
}

/// What a Docker command prints; panics when it fails.
pub(crate) fn docker(arguments: &[&str]) -> String {
    programs::stdout_of(Command::new("docker").args(arguments))
}

/// Adds an application with one component, both of this name, to the catalogue.
pub(crate) fn add_application(fleet: &TestFleet, name: &str, compose_file: &str) {
    let folder = fleet.dir().join("packages").join(name);
    let component = folder.join("compose");
    fs::create_dir_all(&component).expect("the test's folder can be written");
    let description = format!(
        "apiVersion: margo.org/v1-alpha1\nkind: ApplicationDescription\nmetadata:\n  id: {name}\n  \
         name: {name}\n  version: 1.0.0\n  catalog: {{organization: [{{name: Gantry}}]}}\n\
         deploymentProfiles:\n  - type: compose\n    id: {name}-compose\n    components:\n      \
         - name: {name}\n        properties: {{packageLocation: compose, wait: true, timeout: 1m0s}}\n"
    );
    let write = |path: PathBuf, text: &str| {
        fs::write(path, text).expect("the test's folder can be written");
    };
    write(folder.join("margo.yaml"), &description);
    write(component.join("compose.yaml"), compose_file);
    programs::stdout_of(&mut fleet.gantry(&["application", "add", &folder.to_string_lossy()]));
}

/// The package of the example application.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello")
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

pub(crate) fn unique_name() -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    format!("gantry-test-{}-{number}", std::process::id())
}
