//! What somebody changes behind our back is seen, and installing again repairs it.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use device_providers::{HelmProvider, Observed, Provider as _, code};
use serde_json::{Value, json};
use testkit::kubernetes::{NODE, helm};
use testkit::{programs, wait};

use crate::chart::Chart;
use crate::stage::Stage;

#[test]
fn what_was_deleted_is_missed_and_comes_back() {
    for major in [3, 4] {
        let stage = Stage::new("deleted", major);
        stage.install();
        for (group, kind, said) in [
            ("apis/apps/v1", "deployments", "Deployment `deleted-web` is gone"),
            ("api/v1", "configmaps", "ConfigMap `deleted-web` is gone"),
        ] {
            stage.delete(group, kind, "deleted-web");
            let amiss = stage.amiss();
            assert_eq!((amiss.code, amiss.message.as_str()), (code::SERVICE_MISSING, said));
            stage.install();
            assert_eq!(stage.observe(), Observed::Running);
        }
    }
}

#[test]
fn what_was_changed_is_changed_back() {
    for major in [3, 4] {
        let stage = Stage::new("changed", major);
        stage.install();
        let none = json!({"spec": {"replicas": 0}});
        stage.patch("apis/apps/v1", "deployments", "changed-web", &none);
        assert_eq!(stage.amiss().message, "Deployment `changed-web` was scaled down to 0");
        stage.patch("api/v1", "configmaps", "changed-web", &json!({"data": {"greeting": "Bye"}}));
        stage.install();
        assert_eq!(stage.observe(), Observed::Running);
        assert_eq!(stage.config()["greeting"], "Hello");
    }
}

#[test]
fn a_release_that_somebody_has_changed_is_noticed() {
    let stage = Stage::new("hands", 4);
    stage.install();
    let mut by_hand = stage.helm(&["rollback", "hands-web", "1"]);
    programs::stdout_of(&mut by_hand);
    let (amiss, said) = (stage.amiss(), "somebody has brought the release from revision 1 to 2");
    assert_eq!((amiss.code, amiss.message.as_str()), (code::SERVICE_CHANGED, said));
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn a_pod_that_breaks_later_is_told() {
    let stage = Stage::new("breaks", 4);
    stage.install();
    let pods = stage.get("api/v1", "pods", "").expect("a list");
    let pod = pods["items"][0]["metadata"]["name"].as_str().expect("a name");
    let broken = json!({"status": {
        "conditions": [{"type": "Ready", "status": "False", "message": "no answer"}],
        "containerStatuses": [{"name": "web", "image": "web:1", "imageID": "", "ready": false,
            "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 7}}}]}});
    stage.patch("api/v1", "pods", &format!("{pod}/status"), &broken);
    let amiss = stage.amiss();
    assert_eq!(amiss.code, code::SERVICE_EXITED, "{amiss}");
    assert!(amiss.message.contains("exits again and again with code 7"), "{amiss}");
}

/// It is told that somebody has changed this.
fn assert_noticed(stage: &Stage, kind: &str) {
    let (amiss, name) = (stage.amiss(), &stage.workload.name);
    let said = format!("{kind} `{name}` is not as it was installed: somebody has changed it");
    assert_eq!(amiss.code, code::SERVICE_CHANGED, "{amiss}");
    assert!(amiss.message.starts_with(&said), "{amiss}");
}

/// It is in order, and stays so.
fn assert_calm(stage: &Stage) {
    for _ in 0..3 {
        assert_eq!(stage.observe(), Observed::Running);
    }
}

/// Waits until it is in order again by itself, and makes sure that nobody is said to have changed it.
fn calms_down(stage: &Stage) {
    wait::until("the pods to be ready", || match stage.observe() {
        Observed::Degraded(failure) => {
            assert_eq!(failure.code, code::SERVICE_MISSING, "{failure}");
            None
        }
        observed => (observed == Observed::Running).then_some(()),
    });
    assert_calm(stage);
}

fn edit_deployment(stage: &Stage, spec: &Value) {
    let name = &stage.workload.name;
    stage.patch("apis/apps/v1", "deployments", name, &json!({"spec": spec}));
}

fn edit_container(stage: &Stage, container: &Value) {
    edit_deployment(stage, &json!({"template": {"spec": {"containers": [container]}}}));
}

fn container(stage: &Stage) -> Value {
    stage.deployment().expect("it is there")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn another_image_and_other_data_are_noticed_and_put_back() {
    for major in [3, 4] {
        let stage = Stage::new("edited", major);
        stage.install();
        assert_calm(&stage);

        edit_container(&stage, &json!({"name": "web", "image": "web:2"}));
        assert_noticed(&stage, "Deployment");
        stage.install();
        assert_eq!(container(&stage)["image"], "web:1");
        assert_calm(&stage);

        stage.patch("api/v1", "configmaps", "edited-web", &json!({"data": {"greeting": "Bye"}}));
        assert_noticed(&stage, "ConfigMap");
        stage.install();
        assert_eq!(stage.config()["greeting"], "Hello");
        assert_calm(&stage);
    }
}

#[test]
fn what_was_added_and_stays_is_noticed_once() {
    for major in [3, 4] {
        let stage = Stage::new("added", major);
        stage.install();
        let env = json!([{"name": "LEVEL", "value": "debug"}]);
        edit_container(&stage, &json!({"name": "web", "image": "web:1", "env": env}));
        assert_noticed(&stage, "Deployment");
        stage.install();
        // The chart says nothing of it, so that Helm leaves it alone.
        assert_eq!(container(&stage)["env"], env);
        assert_calm(&stage);

        edit_container(&stage, &json!({"name": "web", "image": "web:1"}));
        assert_noticed(&stage, "Deployment");
    }
}

#[test]
fn another_number_of_pods_and_a_restart_are_left_alone() {
    for major in [3, 4] {
        let stage = Stage::new("scaled", major);
        stage.install();
        edit_deployment(&stage, &json!({"replicas": 2}));
        calms_down(&stage);
        assert_eq!(stage.pods(), 2);
        let restarted = json!({"kubectl.kubernetes.io/restartedAt": "2026-11-25T09:00:00Z"});
        edit_deployment(&stage, &json!({"template": {"metadata": {"annotations": restarted}}}));
        calms_down(&stage);
    }
}

#[test]
fn a_record_that_says_nothing_of_the_looks_is_believed() {
    let stage = Stage::new("older", 4);
    stage.install();
    let file = stage.workload.directory.join("record.json");
    let mut record: Value =
        serde_json::from_slice(&fs::read(&file).expect("a record")).expect("JSON");
    assert!(record.as_object_mut().expect("an object").remove("likeness").is_some());
    fs::write(&file, record.to_string()).expect("a writable folder");
    stage.patch("api/v1", "configmaps", "older-web", &json!({"data": {"greeting": "Bye"}}));
    assert_calm(&stage);
    stage.install();
    stage.patch("api/v1", "configmaps", "older-web", &json!({"data": {"greeting": "Bye"}}));
    assert_noticed(&stage, "ConfigMap");
}

/// One of each other kind that runs pods.
fn other_kinds(name: &str) -> String {
    let pod = |restart: &str| {
        json!({"metadata": {"labels": {"app": "other"}}, "spec": {"nodeName": NODE,
            "restartPolicy": restart, "containers": [{"name": "web", "image": "web:1"}]}})
    };
    let selector = json!({"matchLabels": {"app": "other"}});
    let set = json!({"selector": selector, "template": pod("Always")});
    let numbered = json!({"serviceName": "none", "selector": selector, "template": pod("Always")});
    let job = json!({"template": pod("Never")});
    let regular = json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}});
    let documents = [
        ("apps/v1", "StatefulSet", numbered),
        ("apps/v1", "DaemonSet", set),
        ("batch/v1", "Job", job),
        ("batch/v1", "CronJob", regular),
    ]
    .map(|(version, kind, spec)| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
            .to_string()
    });
    documents.join("\n---\n")
}

#[test]
fn the_other_kinds_of_workloads_are_looked_at_too() {
    for major in [3, 4] {
        let stage = Stage::new("kinds", major);
        stage.pack(&Chart::web().with("templates/kinds.yaml", &other_kinds("kinds-web")));
        stage.install();
        assert_calm(&stage);
        let containers =
            json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}});
        for (group, kind, kinds, spec) in [
            ("apps", "StatefulSet", "statefulsets", containers.clone()),
            ("apps", "DaemonSet", "daemonsets", containers.clone()),
            ("batch", "CronJob", "cronjobs", json!({"jobTemplate": {"spec": containers}})),
        ] {
            let group = format!("apis/{group}/v1");
            stage.patch(&group, kinds, "kinds-web", &json!({"spec": spec}));
            assert_noticed(&stage, kind);
            stage.install();
            let now = stage.get(&group, kinds, "kinds-web").expect("it is there");
            assert!(now["spec"].to_string().contains("web:1"), "{kind} was put back");
            assert_calm(&stage);
        }
    }
}

#[test]
fn a_look_starts_one_program_also_after_the_owner_has_exchanged_helm() {
    let mut stage = Stage::new("look", 3);
    stage.install();
    let (calls, program) = (stage.path().join("calls"), stage.path().join("helm-of-the-owner"));
    symlink(helm(3), &program).expect("a folder of ours");
    let script =
        format!("echo \"$1\" >>'{}'; exec '{}' \"$@\"", calls.display(), program.display());
    stage.settings.command = ["sh", "-c", &script, "helm"].map(str::to_owned).into();
    stage.provider = HelmProvider::new(stage.settings.clone(), Arc::default());
    for _ in 0..3 {
        assert_eq!(stage.observe(), Observed::Running);
    }
    let called = || fs::read_to_string(&calls).expect("the calls");
    assert_eq!(called(), "version\nstatus\nstatus\nstatus\n");

    fs::remove_file(&program).expect("it is ours");
    symlink(helm(4), &program).expect("a folder of ours");
    // It is asked in the words of the former one first; that says nothing about the workload.
    let first = stage.provider.observe(&stage.workload).expect_err("other words");
    assert_eq!(first.code, code::ENGINE_UNAVAILABLE, "{first}");
    assert_eq!(stage.observe(), Observed::Running);
}
