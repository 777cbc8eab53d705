//! A workload with a cluster to run on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use device_providers::helm::Settings;
use device_providers::{Failure, HelmProvider, Observed, Provider, Workload};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::kubernetes::{Cluster, helm};
use testkit::programs;

use crate::chart::Chart;

/// One for all tests: it takes some seconds to come up.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) settings: Settings,
    pub(crate) provider: HelmProvider,
    pub(crate) workload: Workload,
}

impl Stage {
    /// A workload of this name in a namespace of its own, for the Helm of this major version.
    pub(crate) fn new(name: &str, major: u8) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let settings = Settings {
            command: vec![helm(major).display().to_string()],
            kubeconfig: Some(CLUSTER.kubeconfig()),
            home: folder.path().join("helm"),
        };
        let workload = Workload {
            name: format!("{name}-web"),
            namespace: format!("{name}-{major}"),
            component: "web".to_owned(),
            directory: folder.path().join("component"),
            package: folder.path().join("chart.tgz"),
            parameters: BTreeMap::new(),
            wait: true,
            timeout: Duration::from_secs(60),
        };
        let provider = HelmProvider::new(settings.clone(), Arc::new(AtomicBool::new(false)));
        let stage = Self { folder, settings, provider, workload };
        stage.pack(&Chart::web());
        stage
    }

    /// The owner exchanges Helm for that of another major version.
    pub(crate) fn use_helm(&mut self, major: u8) {
        self.settings.command = vec![helm(major).display().to_string()];
        let stop = Arc::new(AtomicBool::new(false));
        self.provider = HelmProvider::new(self.settings.clone(), stop);
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn pack(&self, chart: &Chart) {
        fs::write(&self.workload.package, chart.pack()).expect("a writable folder");
    }

    pub(crate) fn set(&mut self, pointer: &str, value: Value) {
        self.workload.parameters.insert(pointer.to_owned(), value);
    }

    pub(crate) fn install(&self) {
        self.provider.install(&self.workload).unwrap_or_else(|it| panic!("{}: {it}", it.code));
    }

    pub(crate) fn fail(&self) -> Failure {
        self.provider.install(&self.workload).expect_err("it cannot be installed")
    }

    pub(crate) fn remove(&self) {
        self.provider.remove(&self.workload).unwrap_or_else(|it| panic!("{}: {it}", it.code));
    }

    pub(crate) fn observe(&self) -> Observed {
        self.provider.observe(&self.workload).expect("a cluster that answers")
    }

    /// What is amiss.
    pub(crate) fn amiss(&self) -> Failure {
        match self.observe() {
            Observed::Degraded(failure) => failure,
            other => panic!("{other:?} should be degraded"),
        }
    }

    /// Asks the API about something in the workload's namespace.
    pub(crate) fn get(&self, group: &str, kind: &str, name: &str) -> Option<Value> {
        CLUSTER.get(&self.place(group, kind, name))
    }

    pub(crate) fn delete(&self, group: &str, kind: &str, name: &str) {
        CLUSTER.change("DELETE", &self.place(group, kind, name), None);
    }

    pub(crate) fn patch(&self, group: &str, kind: &str, name: &str, patch: &Value) {
        CLUSTER.change("PATCH", &self.place(group, kind, name), Some(patch));
    }

    /// Makes something that is not the workload's.
    pub(crate) fn make(&self, group: &str, kind: &str, object: &Value) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.workload.namespace}});
        CLUSTER.ask("POST", "/api/v1/namespaces", Some(&namespace));
        let place = self.place(group, kind, "");
        CLUSTER.change("POST", place.trim_end_matches('/'), Some(object));
    }

    pub(crate) fn deployment(&self) -> Option<Value> {
        self.get("apis/apps/v1", "deployments", &self.workload.name)
    }

    pub(crate) fn config(&self) -> Value {
        let map = self.get("api/v1", "configmaps", &self.workload.name);
        map.expect("the chart's ConfigMap")["data"].clone()
    }

    pub(crate) fn pods(&self) -> usize {
        let pods = self.get("api/v1", "pods", "").expect("a list");
        pods["items"].as_array().expect("a list").len()
    }

    /// A call of the same Helm, beside the provider.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.settings.command[0]);
        command
            .args(arguments)
            .args(["--namespace", &self.workload.namespace])
            .env_clear()
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", CLUSTER.kubeconfig());
        command
    }

    /// The revisions, the oldest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        let output =
            programs::run(&mut self.helm(&["history", &self.workload.name, "--output=json"]));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    pub(crate) fn last_revision(&self) -> Value {
        self.history().pop().expect("a revision")
    }

    fn place(&self, group: &str, kind: &str, name: &str) -> String {
        format!("/{group}/namespaces/{}/{kind}/{name}", self.workload.namespace)
    }
}
