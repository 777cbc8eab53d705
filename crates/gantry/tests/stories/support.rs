//! What several stories need: the end of a command, packages, and a device that speaks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::programs::{self, Running};
use testkit::{http::Answer, wait};

pub(crate) const HELLO: &str = "com-gantry-hello";

/// How a command ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Told {
    let output = programs::run(command);
    Told {
        code: output.status.code().expect("no signal ended the program"),
        stdout: String::from_utf8(output.stdout).expect("gantry prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("gantry prints UTF-8"),
    }
}

/// Runs `gantry` as the first administrator.
pub(crate) fn gantry(fleet: &TestFleet, arguments: &[&str]) -> Told {
    run(&mut fleet.gantry(arguments))
}

/// Runs a command that has to succeed, and gives what it printed. It has nothing to warn of.
#[track_caller]
pub(crate) fn good(fleet: &TestFleet, arguments: &[&str]) -> String {
    let told = gantry(fleet, arguments).ends(0);
    assert_eq!(told.stderr, "", "{arguments:?}");
    told.stdout
}

/// Runs a command that has to fail: nothing is printed but why, and that has all of `needles`.
#[track_caller]
pub(crate) fn bad(fleet: &TestFleet, arguments: &[&str], code: i32, needles: &[&str]) {
    gantry(fleet, arguments).refuses(code, needles);
}

impl Told {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn refuses(self, code: i32, needles: &[&str]) -> Self {
        let told = self.ends(code);
        assert_eq!(told.stdout, "");
        assert_has(&told.stderr, needles);
        told
    }
}

/// Panics with the text unless all of `needles` are in it.
#[track_caller]
pub(crate) fn assert_has(text: &str, needles: &[&str]) {
    for needle in needles {
        assert!(text.contains(needle), "no {needle:?} in:\n{text}");
    }
}

/// The cells of each line of a table, its heads included. Cells have no two spaces in a row.
pub(crate) fn cells(table: &str) -> Vec<Vec<&str>> {
    let cells = table.lines().map(|line| line.split("  ").map(str::trim));
    cells.map(|line| line.filter(|cell| !cell.is_empty()).collect()).collect()
}

/// The folder of the example application.
pub(crate) fn hello() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello")
}

/// The example application in a folder of its own, with another description.
pub(crate) fn package(fleet: &TestFleet, name: &str, edit: impl Fn(&str) -> String) -> PathBuf {
    let folder = fleet.dir().join(name);
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .and_then(|()| fs::write(&path, text))
            .expect("the package can be written");
    };
    let read = |path: &str| {
        fs::read_to_string(Path::new(hello()).join(path)).expect("the example can be read")
    };
    write("margo.yaml", &edit(&read("margo.yaml")));
    for path in ["compose/hello/compose.yaml", "resources/description.md"] {
        write(path, &read(path));
    }
    folder
}

/// As [`package`], as another version.
pub(crate) fn version(fleet: &TestFleet, version: &str) -> PathBuf {
    package(fleet, version, |text| {
        text.replace("version: \"1.0.0\"", &format!("version: \"{version}\""))
    })
}

/// The path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// A fleet with the example application and the device press-7.
pub(crate) fn fleet_with_press() -> (TestFleet, TestClient) {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    good(&fleet, &["application", "add", hello()]);
    (fleet, press)
}

/// `gantry` while it waits for a device.
pub(crate) struct Waiting {
    running: Running,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Waiting {
    pub(crate) fn start(fleet: &TestFleet, arguments: &[&str]) -> Self {
        Self::start_command(fleet, &mut fleet.gantry(arguments))
    }

    /// Starts a command that waits. There is one of them at a time.
    pub(crate) fn start_command(fleet: &TestFleet, command: &mut Command) -> Self {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| fleet.dir().join(name));
        for file in [&stdout, &stderr] {
            fs::write(file, "").expect("the test's folder can be written");
        }
        let running = Running::start_apart(command, &stdout, &stderr);
        Self { running, stdout, stderr }
    }

    /// Waits until the command has said `needle`.
    pub(crate) fn says(&mut self, needle: &str) {
        wait::until(needle, || {
            let said = [&self.stdout, &self.stderr].map(read);
            said.iter().any(|text| text.contains(needle)).then_some(())
        });
    }

    /// Waits for the end of the command.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Told {
        let ended = self.running.end().expect("no signal ended gantry");
        Told { code: ended, stdout: read(&self.stdout), stderr: read(&self.stderr) }.ends(code)
    }
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).expect("what gantry said is UTF-8")
}

/// The id of the deployment whose newest order is published in this revision.
pub(crate) fn published(fleet: &TestFleet, revision: u64) -> String {
    wait::until("the order to be published", || {
        let deployments = fleet.operator().get("/deployments");
        let items = deployments["items"].as_array().expect("a list of deployments").clone();
        let item = items.iter().find(|it| it["revision"] == revision)?;
        Some(item["id"].as_str().expect("an id is text").to_owned())
    })
}

/// What a client says that is in its downtime for so many seconds and has reports to deliver.
pub(crate) fn announcement(seconds: u64) -> String {
    let next = testkit::client::now() + seconds;
    format!("next={next}, by={next}, quiet=downtime, revision=1, undelivered=2")
}

/// The device says that its one component, and so the deployment, is in this state.
pub(crate) fn report(client: &TestClient, deployment: &str, state: &str) {
    let answer = client.report(deployment, state, &[("hello", state)]);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

/// The device says that it has failed, and why.
pub(crate) fn report_failure(client: &TestClient, deployment: &str, message: &str) {
    let error = json!({"code": "PULL", "source": "hello", "message": message});
    let status = json!({
        "apiVersion": "deployment.margo.org/v1alpha1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": deployment,
        "status": {"state": "failed", "error": error},
        "components": [{"name": "hello", "state": "failed", "error": error}],
    });
    let answer = post_status(client, deployment, &status, &[]);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

/// The device says that it has installed what `adopted` is the newest revision of.
pub(crate) fn report_installed_of(client: &TestClient, deployment: &str, adopted: &str) {
    let status = json!({
        "apiVersion": "deployment.margo.org/v1alpha1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": deployment,
        "status": {"state": "installed"},
        "components": [{"name": "hello", "state": "installed"}],
    });
    let adopted = [("gantry-adopted-manifest-version", adopted)];
    post_status(client, deployment, &status, &adopted).expect(200);
}

fn post_status(
    client: &TestClient,
    deployment: &str,
    status: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let path = client.path(&format!("/deployments/{deployment}/status"));
    let body = status.to_string().into_bytes();
    let headers = [&[("content-type", "application/json")], headers].concat();
    client.send(&client.signed("POST", &path, Some(body), &headers))
}
