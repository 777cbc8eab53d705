//! The client as a container, as `deploy/device/compose.yaml` runs it: it drives the engine that it
//! runs on, and what it has to keep outlives its container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::{programs, wait};

use crate::main_job::an_operator_deploys_updates_and_removes;
use crate::support::{PRESS, Plant, docker, unique_name};

/// A client in a container; dropping it takes the container away.
struct Container {
    project: String,
    configuration: PathBuf,
    state: PathBuf,
}

impl Container {
    /// Starts the client on the configuration and the state of `device`.
    fn start(fleet: &TestFleet, device: &TestDevice) -> Self {
        let configuration = device.folder().join("etc");
        fs::create_dir(&configuration).expect("the test's folder can be written");
        fs::copy(fleet.ca(), configuration.join("ca.pem")).expect("the root can be copied");
        let text = fs::read_to_string(device.configuration()).expect("the device is prepared");
        let inside = text.replace(&fleet.ca().display().to_string(), "/etc/gantry/ca.pem");
        assert_ne!(inside, text, "the configuration names the root");
        fs::write(configuration.join("device.toml"), inside).expect("the copy can be written");
        // The engine would make it, for everybody to read.
        fs::create_dir(device.state_dir()).expect("the test's folder can be written");
        let container = Self { project: unique_name(), configuration, state: device.state_dir() };
        container.compose(&["up", "--detach"]);
        container
    }

    fn compose(&self, arguments: &[&str]) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/device/compose.yaml");
        let mut command = Command::new("docker");
        command.args(["compose", "--project-name", &self.project, "--file"]).arg(file);
        command.args(arguments).env("GANTRY_DEVICE_IMAGE", "gantry-device:test");
        command.env("GANTRY_DEVICE_CONFIGURATION", &self.configuration);
        command.env("GANTRY_DEVICE_STATE", &self.state);
        programs::stdout_of(&mut command)
    }

    fn id(&self) -> String {
        self.compose(&["ps", "--all", "--quiet"]).trim().to_owned()
    }

    fn log(&self) -> String {
        self.compose(&["logs", "--no-color"])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        use std::io::Write as _;

        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr().lock(), "--- container:\n{}", self.log());
        }
        self.compose(&["down", "--timeout", "10"]);
    }
}

fn plant_with_container() -> (Plant, Container) {
    let fleet = TestFleet::start();
    let press = TestDevice::prepare(&fleet, PRESS, "");
    let container = Container::start(&fleet, &press);
    (Plant::around(fleet, press), container)
}

// margo(PO-7)
#[test]
fn the_main_job_works_with_the_client_in_a_container() {
    let (plant, container) = plant_with_container();
    an_operator_deploys_updates_and_removes(&plant);
    assert!(!container.log().contains("using HTTP"), "{}", container.log());
}

#[test]
fn a_new_container_of_the_client_takes_up_where_the_former_one_was() {
    let (plant, container) = plant_with_container();
    plant.install("Hello");
    let (client, workload) = (plant.client(), plant.containers());
    let former = container.id();
    container.compose(&["down"]);
    assert_eq!(plant.greeting().as_deref(), Some("Hello"), "the workload runs on without it");
    container.compose(&["up", "--detach"]);
    assert_ne!(container.id(), former);

    plant.gantry(&["deployment", "update", &plant.name, "--set", "greeting=Moin", "--wait"]);
    assert_eq!(plant.greeting().as_deref(), Some("Moin"));
    for kept in ["id", "certificateFingerprint"] {
        assert_eq!(plant.client()[kept], client[kept]);
    }
    assert_ne!(plant.containers(), workload, "the update was carried out");
    let log = container.log();
    assert!(!log.contains("onboarded") && !log.contains("reported the capabilities"), "{log}");
}

#[test]
fn the_container_of_the_client_can_do_nothing_but_drive_the_engine() {
    let (_plant, container) = plant_with_container();
    let asked =
        "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}";
    let told = docker(&["inspect", "--format", asked, &container.id()]);
    assert_eq!(told.trim(), "true [ALL] [no-new-privileges:true]");
    // What the health check runs.
    let status = "/usr/local/bin/gantry-device --config /etc/gantry/device.toml status";
    wait::until("the client to be healthy", || {
        let arguments: Vec<&str> =
            ["exec", "-T", "client"].into_iter().chain(status.split(' ')).collect();
        container.compose(&arguments).contains("onboarded").then_some(())
    });
}
