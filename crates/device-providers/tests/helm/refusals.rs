//! What is refused: it changes nothing, and no value of a parameter gets into a message.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use device_providers::helm::Settings;
use device_providers::{HelmProvider, Observed, Provider, code};
use serde_json::{Value, json};

use crate::chart::Chart;
use crate::stage::Stage;

const SECRET: &str = "hunter2-secret";

/// Tries to install a chart over one that runs, which has to be refused with this code.
fn refused(stage: &mut Stage, chart: &Chart, (pointer, value): (&str, Value), code: &str) {
    let before = stage.history();
    stage.pack(chart);
    let former = stage.workload.parameters.clone();
    stage.set(pointer, value);
    stage.set("extra.password", json!(SECRET));
    let failure = stage.fail();
    assert_eq!(failure.code, code, "{failure}");
    assert!(!failure.message.contains(SECRET), "{failure}");
    let runs = "revision 1 (chart web-1.0.0, app version 10) still runs";
    assert!(failure.message.ends_with(runs), "{failure}");
    assert_eq!(stage.history(), before, "{failure}");
    assert_eq!(stage.observe(), Observed::Running);
    stage.workload.parameters = former;
}

#[test]
fn a_bad_chart_or_parameter_changes_nothing() {
    for major in [3, 4] {
        let mut stage = Stage::new("refused", major);
        stage.install();
        let web = Chart::web;
        let none = || ("greeting", json!("Hello"));
        let old = web().replacing("Chart.yaml", "apiVersion: v2", "apiVersion: v1");
        refused(&mut stage, &old, none(), code::BAD_PACKAGE);
        let template = "templates/config.yaml";
        let says = format!("{{{{ fail (printf \"no %s\" .Values.extra.password) }}}}{}", "\n");
        let failing = web().with(template, &says);
        refused(&mut stage, &failing, none(), code::BAD_PACKAGE);
        refused(
            &mut stage,
            &web().with(template, "{{ .Values.a.b.c }}"),
            none(),
            code::BAD_PACKAGE,
        );
        refused(&mut stage, &web().with(template, "a: {{ nonsense"), none(), code::BAD_PACKAGE);
        let unknown = "apiVersion: example.com/v1\nkind: Pump\nmetadata: {name: a}\n";
        refused(&mut stage, &web().with(template, unknown), none(), code::BAD_PACKAGE);
        let needy = web().with(
            "Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, \
             repository: 'https://charts.invalid'}]\n",
        );
        refused(&mut stage, &needy, none(), code::BAD_PACKAGE);
        refused(&mut stage, &web(), ("replicas", json!(SECRET)), code::BAD_PARAMETER);
        refused(&mut stage, &web(), ("replicas", json!(-1)), code::BAD_PARAMETER);
        refused(&mut stage, &web(), ("a[-1]", json!(1)), code::BAD_PARAMETER);
        refused(&mut stage, &web(), ("extra.password.x", json!(1)), code::BAD_PARAMETER);
    }
}

// margo(CP-3)
#[test]
fn what_is_no_chart_is_refused() {
    let stage = Stage::new("no-chart", 4);
    for bytes in [&b"nothing"[..], b"", &[0x1f, 0x8b, 8, 0]] {
        fs::write(&stage.workload.package, bytes).expect("a writable folder");
        assert_eq!(stage.fail().code, code::BAD_PACKAGE);
    }
    fs::remove_file(&stage.workload.package).expect("a file of the test");
    assert_eq!(stage.fail().code, code::BAD_ARCHIVE);
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn a_name_that_would_be_an_option_or_is_no_name_is_refused() {
    let mut stage = Stage::new("name", 4);
    stage.workload.name = "--debug".to_owned();
    assert_eq!(stage.fail().code, code::BAD_PARAMETER);
    stage.workload.name = "web".to_owned();
    stage.workload.namespace = "--kube-insecure-skip-tls-verify".to_owned();
    assert_eq!(stage.fail().code, code::BAD_PARAMETER);
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let stage = Stage::new("taken", 4);
    let mine = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken-web"},
        "data": {"greeting": "mine"}});
    stage.make("api/v1", "configmaps", &mine);
    let failure = stage.fail();
    assert_eq!(failure.code, code::NAME_TAKEN, "{failure}");
    assert_eq!(stage.config()["greeting"], "mine");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  \
                   type: NodePort\n  ports: [{port: 80, nodePort: 31234}]\n";
    let chart = Chart::web().with("templates/service.yaml", service);
    let first = Stage::new("port", 3);
    first.pack(&chart);
    first.install();
    let second = Stage::new("port", 4);
    second.pack(&chart);
    let failure = second.fail();
    assert_eq!(failure.code, code::PORT_TAKEN, "{failure}");
}

#[test]
fn a_cluster_or_a_helm_that_is_not_there_is_told_as_such() {
    let stage = Stage::new("away", 4);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let closed = stage.path().join("closed");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("https://{port}")}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {"token": "a"}}]});
    fs::write(&closed, config.to_string()).expect("a writable folder");
    let settings = &stage.settings;
    let command = |it: &str| Settings { command: vec![it.to_owned()], ..settings.clone() };
    for settings in [
        Settings { kubeconfig: Some(closed), ..settings.clone() },
        Settings { kubeconfig: Some("/nowhere/config".into()), ..settings.clone() },
        Settings { command: Vec::new(), ..settings.clone() },
        command("/nowhere/helm"),
        command("true"),
        command("false"),
    ] {
        let provider = HelmProvider::new(settings, Arc::new(AtomicBool::new(false)));
        for failure in [
            provider.install(&stage.workload).expect_err("no cluster"),
            provider.observe(&stage.workload).expect_err("no cluster"),
            provider.remove(&stage.workload).expect_err("no cluster"),
            provider.offers().expect_err("no cluster"),
        ] {
            assert_eq!(failure.code, code::ENGINE_UNAVAILABLE, "{failure}");
        }
    }
}

#[test]
fn helm_is_called_with_folders_of_our_own_and_values_are_never_on_a_command_line() {
    for major in [3, 4] {
        let mut stage = Stage::new("calls", major);
        let told = stage.path().join("told");
        let modes = "for it; do case $it in */values.json) stat -c 'mode %a' $it; esac; done";
        let script =
            format!("{{ env; {modes}; }} >>{0}; echo \"$@\" >>{0}; exec \"$@\"", told.display());
        let mut settings = stage.settings.clone();
        let helm = settings.command.pop().expect("a command");
        settings.command = ["sh", "-c", &script, "sh", &helm].map(str::to_owned).into();
        stage.set("extra.password", json!(SECRET));
        let provider = HelmProvider::new(settings, Arc::new(AtomicBool::new(false)));
        provider.install(&stage.workload).expect("a chart that runs");
        assert_eq!(provider.observe(&stage.workload), Ok(Observed::Running));
        provider.remove(&stage.workload).expect("a removable workload");
        let told = fs::read_to_string(told).expect("what was told");
        for name in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"] {
            let ours = format!("{name}={}", stage.settings.home.display());
            assert!(told.contains(&ours), "{ours}\n{told}");
        }
        assert!(told.contains("KUBECONFIG=") && !told.contains("CARGO"), "{told}");
        assert!(!told.contains(SECRET), "{told}");
        assert!(told.contains("mode 600\n"), "{told}");
    }
}
