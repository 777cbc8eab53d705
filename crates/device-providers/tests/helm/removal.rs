//! A removal is done when all is gone, and what its author keeps stays.

use std::time::Duration;

use device_providers::{Observed, Provider as _, code};
use serde_json::json;

use crate::chart::Chart;
use crate::stage::Stage;

#[test]
fn a_removal_fails_until_all_is_gone() {
    for major in [3, 4] {
        let mut stage = Stage::new("stuck", major);
        stage.install();
        let hold = |finalizers| json!({"metadata": {"finalizers": finalizers}});
        stage.patch("api/v1", "configmaps", "stuck-web", &hold(json!(["gantry.test/stay"])));
        stage.workload.timeout = Duration::from_secs(3);
        for _ in 0..2 {
            let failure = stage.provider.remove(&stage.workload).expect_err("it cannot go");
            assert_eq!(failure.code, code::REMOVE_FAILED, "{failure}");
            assert!(failure.message.contains("ConfigMap `stuck-web` will not go"), "{failure}");
            assert_eq!(stage.amiss().message, "its removal was not finished");
        }
        stage.patch("api/v1", "configmaps", "stuck-web", &hold(json!([])));
        stage.remove();
        assert_eq!(stage.observe(), Observed::Absent);
    }
}

#[test]
fn volume_claims_of_stateful_sets_and_those_that_are_marked_stay() {
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  \
               serviceName: db\n  selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: \
               {app: db}}\n    spec:\n      nodeName: device\n      terminationGracePeriodSeconds: 0\n      \
               containers: [{name: db, image: 'db:1'}]\n  volumeClaimTemplates:\n  - metadata: {name: data}\n    \
               spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: marked\n  annotations: \
                 {helm.sh/resource-policy: keep}\nspec: {accessModes: [ReadWriteOnce], resources: \
                 {requests: {storage: 1Gi}}}\n";
    let mut stage = Stage::new("data", 4);
    let chart = Chart::web();
    stage.pack(&chart.with("templates/db.yaml", set).with("templates/claim.yaml", claim));
    // Nobody here gives claims their volumes.
    stage.workload.wait = false;
    stage.install();
    testkit::wait::until("the claim of the set", || {
        claims(&stage).contains("data-data-web-0").then_some(())
    });
    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
    assert_eq!(stage.pods(), 0);
    let left = claims(&stage);
    assert!(left.contains("data-data-web-0") && left.contains("\"marked\""), "{left}");
}

#[test]
fn an_update_that_would_delete_a_volume_claim_is_refused() {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\nspec: {accessModes: \
                 [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    for major in [3, 4] {
        let mut stage = Stage::new("drops", major);
        stage.pack(&Chart::web().with("templates/claim.yaml", claim));
        stage.workload.wait = false;
        stage.install();
        stage.set("greeting", json!("Moin"));
        stage.install();
        let before = stage.history();
        stage.pack(&Chart::web().version("2.0.0"));
        let failure = stage.fail();
        assert_eq!(failure.code, code::NOT_ALLOWED, "{failure}");
        assert!(
            failure.message.contains("PersistentVolumeClaim `data` would be deleted"),
            "{failure}"
        );
        assert!(
            failure.message.contains("revision 2 (chart web-1.0.0, app version 10) still runs")
        );
        assert_eq!(stage.history(), before);
        assert!(claims(&stage).contains("\"data\""));
    }
}

fn claims(stage: &Stage) -> String {
    stage.get("api/v1", "persistentvolumeclaims", "").expect("a list").to_string()
}
