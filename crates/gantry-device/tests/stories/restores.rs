//! The fleet manager comes back from a backup that is older than what the device has taken up. The device takes
//! the restored state by itself, by whichever way it fetches, and refuses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{programs, wait};

use crate::scene::Scene;
use crate::support::{PRESS, json};

fn server(scene: &Scene, verb: &str, backup: &Path) {
    let mut command = Command::new(programs::path("gantry-server"));
    command.arg(verb).arg(backup).arg("--config").arg(scene.fleet.dir().join("server.toml"));
    programs::stdout_of(&mut command);
}

/// The documents in force at the device.
fn in_force(scene: &Scene) -> Value {
    let accepted = fs::read_to_string(scene.press.state_dir().join("accepted.json"));
    json(&accepted.expect("the device has accepted a state"))["deployments"].clone()
}

fn back_up(scene: &Scene) -> PathBuf {
    let backup = scene.fleet.dir().join("fleet.backup");
    server(scene, "backup", &backup);
    backup
}

/// Waits until the device has a revision above this one; gives it.
fn rises_above(scene: &Scene, revision: u64) -> u64 {
    wait::until("a higher revision to be in force", || {
        let status = scene.status();
        assert_eq!(status["securityEvent"], Value::Null, "{status}");
        status["revision"].as_u64().filter(|it| *it > revision && status["lastError"].is_null())
    })
}

/// Waits until operators see that the workload runs.
fn is_seen_installed(scene: &Scene) {
    wait::until("operators to see that it is installed", || {
        let shown = json(&scene.gantry(&["deployment", "show", "hello", "-o", "json"]));
        (shown["state"] == "installed").then_some(())
    });
}

/// A device that has taken up two more revisions than the backup has, and the fleet manager stopped.
fn scene_with_a_loss(source: &str) -> (Scene, PathBuf, Value) {
    let mut scene = Scene::with(source);
    let (backup, backed_up) = (back_up(&scene), in_force(&scene));
    for (revision, greeting) in [(3, "Moin"), (4, "Servus")] {
        scene.change(greeting);
        scene.takes_up(revision);
    }
    assert_ne!(in_force(&scene), backed_up);
    assert_eq!(scene.fleet.stop(), Some(0));
    (scene, backup, backed_up)
}

/// The device follows what comes after the restore, by the way that it was told to.
fn goes_on(scene: &Scene, restored: u64) {
    let said_before = scene.press.log().len();
    scene.change("Hola");
    assert_eq!(rises_above(scene, restored), restored + 1);
    is_seen_installed(scene);
    let shown = json(&scene.gantry(&["client", "show", PRESS, "-o", "json"]));
    assert_eq!(shown["securityEvent"], Value::Null, "{shown}");
    let log = scene.press.log();
    assert!(!log[said_before..].contains("using HTTP for this poll"), "{log}");
}

fn a_restore_is_followed(source: &str) {
    let (mut scene, backup, backed_up) = scene_with_a_loss(source);
    server(&scene, "restore", &backup);
    scene.fleet.start_server();
    let restored = rises_above(&scene, 4);
    assert_eq!(in_force(&scene), backed_up);
    goes_on(&scene, restored);
}

/// As the tools of a database put it back: no version is raised, so the device's own word has to do.
fn a_database_that_was_put_back_is_followed(source: &str) {
    let (mut scene, backup, backed_up) = scene_with_a_loss(source);
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(scene.fleet.dir().join("data")).arg("-xf").arg(&backup).arg("gantry.db");
    programs::stdout_of(&mut tar);
    scene.fleet.start_server();
    assert_eq!(rises_above(&scene, 4), 6);
    assert_eq!(in_force(&scene), backed_up);
    goes_on(&scene, 6);
}

#[test]
fn what_was_told_since_the_backup_is_told_again() {
    let mut scene = Scene::with("http");
    is_seen_installed(&scene);
    assert_eq!(scene.press.stop(), Some(0));
    scene.change("Moin");
    let backup = back_up(&scene);
    scene.press.start_program();
    scene.takes_up(3);
    is_seen_installed(&scene);
    let in_force_before = in_force(&scene);

    assert_eq!(scene.fleet.stop(), Some(0));
    server(&scene, "restore", &backup);
    scene.fleet.start_server();
    is_seen_installed(&scene);
    assert_eq!(in_force(&scene), in_force_before);
}

#[test]
fn a_device_that_fetches_with_git_takes_a_restored_state() {
    a_restore_is_followed("git");
}

#[test]
fn a_device_that_fetches_over_http_takes_a_restored_state() {
    a_restore_is_followed("http");
}

#[test]
fn a_device_that_fetches_with_git_makes_a_database_catch_up() {
    a_database_that_was_put_back_is_followed("git");
}

#[test]
fn a_device_that_fetches_over_http_makes_a_database_catch_up() {
    a_database_that_was_put_back_is_followed("http");
}
