//! What a kill leaves half done is brought to an end without losing anything.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use device_providers::{HelmProvider, Observed, Provider, code};
use serde_json::json;
use testkit::wait;

use crate::chart::Chart;
use crate::stage::Stage;

/// Lets Helm begin something that does not end by itself, and kills it once the release stands so.
fn kill_at(stage: &Stage, status: &str, arguments: &[&str]) {
    let mut child = stage.helm(arguments).spawn().expect("helm is built");
    wait::until(status, || (stage.history().last()?["status"] == status).then_some(()));
    // It has applied its manifest by then, or is about to.
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    assert_eq!(stage.last_revision()["status"], status);
}

/// Begins an installation or update to a version that never gets ready.
fn kill_upgrade(stage: &Stage, version: &str, status: &str) {
    let package = stage.path().join("killed.tgz");
    fs::write(&package, Chart::web().version(version).pack()).expect("a writable folder");
    let package = package.display().to_string();
    let arguments = ["upgrade", &stage.workload.name, &package, "--install", "--create-namespace"];
    let more = ["--wait", "--set", "fate=starting,greeting=half"];
    kill_at(stage, status, &[&arguments[..], &more].concat());
}

#[test]
fn an_installation_that_was_killed_is_taken_up_again_and_nothing_is_removed_for_it() {
    for major in [3, 4] {
        let stage = Stage::new("install-kill", major);
        kill_upgrade(&stage, "1.0.0", "pending-install");
        assert_eq!(stage.amiss().message, "its installation was not finished");
        let identity = |stage: &Stage| {
            let made = stage.get("api/v1", "configmaps", &stage.workload.name);
            made.map(|it| it["metadata"]["uid"].clone())
        };
        let before = identity(&stage);
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
        assert_eq!(stage.config()["greeting"], "Hello");
        if before.is_some() {
            assert_eq!(identity(&stage), before, "it was not made anew");
        }
    }
}

#[test]
fn an_update_that_was_killed_is_made_again() {
    for major in [3, 4] {
        let stage = Stage::new("update-kill", major);
        stage.install();
        kill_upgrade(&stage, "1.1.0", "pending-upgrade");
        assert_eq!(stage.amiss().message, "its installation was not finished");
        stage.pack(&Chart::web().version("1.2.0"));
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
        assert_eq!(stage.last_revision()["chart"], "web-1.2.0");
    }
}

#[test]
fn what_ran_before_an_update_that_was_killed_is_put_back_when_the_next_one_fails() {
    let mut stage = Stage::new("twice", 4);
    stage.install();
    kill_upgrade(&stage, "1.1.0", "pending-upgrade");
    stage.set("fate", json!("crash"));
    stage.workload.timeout = std::time::Duration::from_secs(6);
    let failure = stage.fail();
    assert!(failure.message.contains("revision 1 (chart web-1.0.0"), "{failure}");
    assert_eq!(stage.observe(), Observed::Running);
    assert_eq!(stage.config()["greeting"], "Hello");
}

#[test]
fn going_back_that_was_killed_is_no_obstacle() {
    for major in [3, 4] {
        let mut stage = Stage::new("back-kill", major);
        stage.set("fate", json!("starting"));
        stage.workload.wait = false;
        stage.install();
        stage.workload.parameters.clear();
        stage.workload.wait = true;
        stage.install();
        let name = stage.workload.name.clone();
        kill_at(&stage, "pending-rollback", &["rollback", &name, "1", "--wait"]);
        assert_eq!(stage.amiss().message, "its installation was not finished");
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
    }
}

#[test]
fn a_removal_that_was_killed_is_finished_before_the_next_installation() {
    for major in [3, 4] {
        let stage = Stage::new("remove-kill", major);
        stage.install();
        let name = stage.workload.name.clone();
        let hold = |finalizers| json!({"metadata": {"finalizers": finalizers}});
        stage.patch("api/v1", "configmaps", &name, &hold(json!(["gantry.test/stay"])));
        kill_at(&stage, "uninstalling", &["uninstall", &name, "--wait", "--cascade", "foreground"]);
        assert_eq!(stage.amiss().message, "its removal was not finished");
        stage.patch("api/v1", "configmaps", &name, &hold(json!([])));
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
        assert_eq!(stage.history().len(), 1, "it was installed anew");
    }
}

#[test]
fn an_update_that_was_killed_leaves_nothing_behind_when_the_workload_is_removed() {
    let stage = Stage::new("gone-kill", 4);
    stage.install();
    kill_upgrade(&stage, "1.1.0", "pending-upgrade");
    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
    assert_eq!((stage.deployment(), stage.pods()), (None, 0));
}

#[test]
fn a_client_that_stops_ends_helm_and_takes_it_up_again_later() {
    for major in [3, 4] {
        let mut stage = Stage::new("stop", major);
        stage.install();
        stage.set("fate", json!("starting"));
        let stop = Arc::new(AtomicBool::new(false));
        let provider = HelmProvider::new(stage.settings.clone(), Arc::clone(&stop));
        let failure = thread::scope(|scope| {
            let install = scope.spawn(|| provider.install(&stage.workload));
            wait::until("the update to begin", || {
                (stage.last_revision()["status"] == "pending-upgrade").then_some(())
            });
            stop.store(true, Ordering::Relaxed);
            install.join().expect("no panic").expect_err("it was stopped")
        });
        assert_eq!(failure.code, code::INTERRUPTED, "{failure}");
        stage.workload.parameters.clear();
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
    }
}
