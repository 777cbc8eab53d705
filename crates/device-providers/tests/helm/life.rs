//! From the first installation to the removal.

use device_providers::{Observed, Provider as _};
use serde_json::{Value, json};

use crate::chart::Chart;
use crate::stage::Stage;

fn lives(major: u8) {
    let mut stage = Stage::new("life", major);
    let tool = stage.provider.offers().expect("Helm and a cluster").tool.expect("a version");
    assert!(tool.starts_with(&format!("v{major}.")), "{tool}");
    assert_eq!(stage.observe(), Observed::Absent);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    assert_eq!(stage.config()["greeting"], "Hello");

    stage.pack(&Chart::web().version("1.1.0"));
    stage.set("greeting", json!("Moin"));
    stage.install();
    assert_eq!(stage.config()["greeting"], "Moin");
    assert_eq!(stage.last_revision()["chart"], "web-1.1.0");
    assert_eq!(stage.observe(), Observed::Running);

    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
    assert_eq!(stage.deployment(), None);
    assert_eq!(stage.pods(), 0, "its pods are gone");
    assert!(stage.history().is_empty(), "Helm has forgotten it");
    assert!(!stage.workload.directory.exists());
    stage.remove();
}

// margo(P-3)
#[test]
fn a_chart_is_installed_updated_and_removed_by_helm_3() {
    lives(3);
}

#[test]
fn a_chart_is_installed_updated_and_removed_by_helm_4() {
    lives(4);
}

#[test]
fn values_keep_their_types_and_are_not_left_on_the_disk() {
    // margo(PA-3)
    let mut stage = Stage::new("values", 4);
    stage.set("replicas", json!(2));
    stage.set("extra.text", json!("1.10"));
    stage.set("extra.list", json!([1, 2]));
    stage.set("extra.hosts[1].port", json!(81));
    stage.set("extra.hosts[0].port", json!(80));
    stage.set(r"extra.example\.com/flag", json!(true));
    stage.install();
    let config = stage.config();
    let values = config["values"].as_str().expect("a text");
    let values: Value = serde_json::from_str(values).expect("the chart writes JSON");
    let expected = json!({"text": "1.10", "list": [1, 2], "hosts": [{"port": 80}, {"port": 81}],
        "example.com/flag": true});
    assert_eq!(values, expected);
    assert_eq!(stage.deployment().expect("it is there")["spec"]["replicas"], 2);
    assert!(!stage.workload.directory.join("values.json").exists());
}

#[test]
fn a_release_of_helm_3_is_taken_over_by_helm_4_and_back() {
    let mut stage = Stage::new("newer", 3);
    stage.install();
    for (major, greeting) in [(4, "Moin"), (3, "Hi")] {
        stage.use_helm(major);
        assert_eq!(stage.observe(), Observed::Running);
        stage.set("greeting", json!(greeting));
        stage.install();
        assert_eq!(stage.config()["greeting"], greeting);
        assert_eq!(stage.observe(), Observed::Running);
    }
    stage.use_helm(4);
    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
}
