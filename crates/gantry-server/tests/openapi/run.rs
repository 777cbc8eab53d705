//! One run of schemathesis against one document.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use serde_json::Value;
use testkit::programs;

use crate::scene::Scene;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi");
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/schemathesis");

/// Its requests are not counted as good ones, since a hook makes their bodies.
const NOT_COUNTED: &str = "POST /operator/v1/applications";

/// Which API is asked, by what name and how.
pub(crate) struct Api {
    pub(crate) name: &'static str,
    /// The path of its OpenAPI document.
    pub(crate) document: &'static str,
    /// Whether an administrator asks.
    pub(crate) with_token: bool,
}

/// Runs schemathesis to its end, prints one line, and panics with all that was found when something was.
pub(crate) fn run(api: &Api) {
    assert_installed();
    let scene = Scene::set();
    let report = scene.fleet.dir().join("report.json");
    let output = programs::run(&mut command(api, &scene, &report));
    let report = fs::read(&report).ok().and_then(|it| serde_json::from_slice::<Value>(&it).ok());
    let report = report.unwrap_or_default();
    let counted = &report["test_cases"];
    let (cases, failures) = (&counted["generated"], &counted["unique_failures"]);
    let line = format!("schemathesis: {}: {cases} cases, {failures} failures", api.name);
    // Past the test harness, which keeps what a test prints to itself.
    writeln!(io::stderr(), "{line}").expect("somebody listens");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{said}{errors}");
    assert_eq!(never_accepted(&report), [""; 0], "{line}: nothing was found out about these");
}

/// The operations of which every request was refused, so that nothing but the door was seen of them.
fn never_accepted(report: &Value) -> Vec<&str> {
    let operations = report["valid_rates"].as_object().expect("the report has rates");
    assert!(operations.len() > 10, "{operations:?}");
    let accepted = |phases: &Value| {
        let phases = phases.as_object().expect("rates are by phases");
        phases.values().any(|it| it["accepted"].as_u64().is_some_and(|it| it > 0))
    };
    let names = operations.iter().filter(|(_, it)| !accepted(it)).map(|(name, _)| name.as_str());
    names.filter(|it| *it != NOT_COUNTED).collect()
}

fn assert_installed() {
    let installed = fs::read(Path::new(INSTALLED).join("stamp")).ok();
    assert!(
        installed == fs::read(Path::new(SOURCE).join("requirements.txt")).ok(),
        "schemathesis is not installed as {SOURCE} says: run `scripts/set-up.sh test`"
    );
}

fn command(api: &Api, scene: &Scene, report: &Path) -> Command {
    let known = scene.fleet.dir().join("scene.json");
    fs::write(&known, scene.known.to_string()).expect("the scene can be written");
    let mut command = Command::new(Path::new(INSTALLED).join("venv/bin/schemathesis"));
    command
        .current_dir(scene.fleet.dir())
        // No proxy and no roots of this machine come between.
        .env_clear()
        .env("GANTRY_SCENE", known)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", SOURCE)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("--config-file")
        .arg(Path::new(SOURCE).join("schemathesis.toml"))
        .args(["run", "--no-color", "--report", "json", "--report-json-path"])
        .arg(report)
        .arg("--tls-verify")
        .arg(scene.fleet.ca());
    if api.with_token {
        let token = scene.fleet.operator().token().to_owned();
        command.arg("--header").arg(format!("Authorization: Bearer {token}"));
    }
    command.arg(format!("{}{}", scene.fleet.url(), api.document));
    command
}
