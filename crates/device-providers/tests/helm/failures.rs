//! What does not come to run: it is named, and what ran before runs again.

use std::time::Duration;

use device_providers::{Observed, Provider as _, code};
use serde_json::json;
use testkit::wait;

use crate::chart::Chart;
use crate::stage::Stage;

fn failed_update(major: u8) {
    let mut stage = Stage::new("update", major);
    stage.install();
    stage.pack(&Chart::web().version("1.1.0"));
    stage.set("fate", json!("crash"));
    stage.set("greeting", json!("Moin"));
    stage.workload.timeout = Duration::from_secs(8);
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
    for part in [
        "component `web` does not run after 8 s: Pod `update-web-",
        "container `web`: exits again and again with code 3: no pump is connected",
        "Deployment `update-web` has 0 of 1 pods ready",
        "revision 1 (chart web-1.0.0, app version 10) was put back and runs, as revision 3",
    ] {
        assert!(failure.message.contains(part), "{part}\n{failure}");
    }
    assert_eq!(stage.config()["greeting"], "Hello");
    assert_eq!(stage.observe(), Observed::Running, "the former version");
    stage.patch("api/v1", "configmaps", "update-web", &json!({"data": {"greeting": "Bye"}}));
    assert_eq!(stage.amiss().code, code::SERVICE_CHANGED, "what was put back is looked at, too");

    stage.set("fate", json!(""));
    stage.install();
    assert_eq!(stage.last_revision()["chart"], "web-1.1.0");
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn a_failed_update_leaves_the_old_version_running_with_helm_3() {
    failed_update(3);
}

#[test]
fn a_failed_update_leaves_the_old_version_running_with_helm_4() {
    failed_update(4);
}

#[test]
fn a_first_installation_that_fails_names_the_image_and_is_taken_up_again() {
    let mut stage = Stage::new("image", 4);
    stage.set("fate", json!("no-image"));
    stage.set("image", json!("web:none"));
    stage.workload.timeout = Duration::from_secs(5);
    let failure = stage.fail();
    assert_eq!(failure.code, code::IMAGE_UNAVAILABLE, "{failure}");
    assert!(failure.message.contains("image `web:none` cannot be had"), "{failure}");
    assert!(failure.message.contains("no former version of it ran"), "{failure}");
    assert_eq!(stage.amiss().message, "its last installation failed");

    stage.workload.parameters.clear();
    stage.workload.timeout = Duration::from_secs(60);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
}

// margo(CP-2)
#[test]
fn what_takes_too_long_without_a_reason_is_said_to_be_late() {
    let mut stage = Stage::new("late", 3);
    stage.set("fate", json!("starting"));
    stage.workload.timeout = Duration::from_secs(4);
    let failure = stage.fail();
    assert_eq!(failure.code, code::TIMED_OUT, "{failure}");
    assert!(failure.message.contains("Deployment `late-web` has 0 of 1 pods ready"), "{failure}");
}

#[test]
fn what_runs_already_and_fails_again_is_not_exchanged_for_itself() {
    let mut stage = Stage::new("same", 4);
    stage.install();
    stage.patch(
        "apis/apps/v1",
        "deployments",
        "same-web",
        &json!({"metadata": {"finalizers": ["gantry.test/stay"]}}),
    );
    stage.delete("apis/apps/v1", "deployments", "same-web");
    stage.workload.timeout = Duration::from_secs(4);
    let failure = stage.fail();
    assert!(failure.message.contains("nothing to go back to"), "{failure}");
    stage.patch(
        "apis/apps/v1",
        "deployments",
        "same-web",
        &json!({"metadata": {"finalizers": []}}),
    );
}

#[test]
fn a_workload_that_is_not_to_be_waited_for_is_installed_once_helm_has_applied_it() {
    let mut stage = Stage::new("no-wait", 4);
    stage.set("fate", json!("starting"));
    stage.workload.wait = false;
    stage.install();
    let amiss = stage.amiss();
    assert_eq!(amiss.message, "Deployment `no-wait-web` has 0 of 1 pods ready");
}

#[test]
fn a_job_that_ends_well_is_a_success_and_one_that_fails_a_failure() {
    let job = |deadline: u8, fate: &str| {
        let job = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {{{{ .Release.Name }}}}}}\nspec:\n  \
             activeDeadlineSeconds: {deadline}\n  backoffLimit: 0\n  template:\n    metadata:\n      \
             annotations: {{{fate}}}\n    spec:\n      nodeName: device\n      restartPolicy: Never\n      \
             containers: [{{name: job, image: 'job:1'}}]\n"
        );
        Chart::web().with("templates/job.yaml", &job)
    };
    let stage = Stage::new("job", 4);
    stage.pack(&job(60, ""));
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);

    let stage = Stage::new("bad-job", 4);
    stage.pack(&job(1, "gantry.test/fate: starting"));
    // It may fail before or after the rest is ready.
    let _ = stage.provider.install(&stage.workload);
    wait::until("the job to fail", || {
        let observed = stage.observe();
        matches!(observed, Observed::Degraded(it) if it.message.contains("has failed"))
            .then_some(())
    });
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
    assert!(failure.message.contains("Job `bad-job-web` has failed: "), "{failure}");
}
