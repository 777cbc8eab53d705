//! What somebody changes behind our back is seen, and installing again repairs it.

use device_providers::{Observed, code};
use serde_json::json;
use testkit::programs;

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
