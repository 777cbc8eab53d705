//! A Helm chart all the way: pushed to a registry with Helm itself, ordered by an operator, fetched and
//! installed by the device on a real Kubernetes API server, repaired, updated and removed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::kubernetes::{Cluster, helm};
use testkit::registry::{self, TestRegistry};
use testkit::{programs, wait};

use crate::support::{PRESS, WAIT, json};

const CHART: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../device-providers/tests/helm/charts/web");

struct Site {
    press: TestDevice,
    fleet: TestFleet,
    registry: TestRegistry,
    cluster: Cluster,
}

impl Site {
    /// A device that runs charts on a cluster, and was let in.
    fn start() -> Self {
        let (cluster, registry, fleet) =
            (Cluster::start(), TestRegistry::start(), TestFleet::start());
        let password = fleet.dir().join("registry.password");
        fs::write(&password, registry::PASSWORD).expect("the test's folder can be written");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let configuration = format!(
            "[workloads]\ninspect_every = \"1s\"\n[helm]\ncommand = [\"{}\"]\nkubeconfig = \"{}\"\n\
             [[registry]]\nhost = \"localhost:{}\"\nusername = \"{}\"\npassword_file = \"{}\"\nca = \"{}\"\n",
            helm(4).display(),
            cluster.kubeconfig().display(),
            registry.port(),
            registry::USERNAME,
            password.display(),
            registry.ca(),
        );
        let press = TestDevice::start_with(&fleet, PRESS, &configuration);
        let site = Self { press, fleet, registry, cluster };
        wait::until("the device to wait for approval", || {
            site.gantry(&["client", "list"]).contains("waiting").then_some(())
        });
        site.gantry(&["client", "approve", PRESS]);
        wait::until("the device to report its capabilities", || {
            let client = json(&site.gantry(&["client", "show", PRESS, "-o", "json"]));
            client["devices"].as_array().is_some_and(|it| !it.is_empty()).then_some(())
        });
        site
    }

    fn gantry(&self, arguments: &[&str]) -> String {
        let output = programs::run(&mut self.fleet.gantry(arguments));
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{errors}\n{}", self.press.log());
        said.into_owned()
    }

    /// Pushes a version of the chart with Helm.
    fn push(&self, version: &str) {
        let home = self.fleet.dir().join("helm");
        let run = |arguments: &[&str]| {
            let mut command = Command::new(helm(4));
            command.args(arguments).env("HOME", &home).current_dir(self.fleet.dir());
            programs::stdout_of(&mut command)
        };
        let (ca, host) = (self.registry.ca(), format!("localhost:{}", self.registry.port()));
        run(&["package", CHART, "--version", version]);
        let who = ["--username", registry::USERNAME, "--password", registry::PASSWORD];
        run(&[&["registry", "login", &host, "--ca-file", &ca], &who[..]].concat());
        let (archive, place) = (format!("web-{version}.tgz"), format!("oci://{host}/charts"));
        run(&["push", &archive, &place, "--ca-file", &ca]);
    }

    /// Adds a version of an application that consists of this version of the chart.
    fn add(&self, version: &str) {
        let folder: PathBuf = self.fleet.dir().join(format!("application-{version}"));
        fs::create_dir(&folder).expect("the test's folder can be written");
        let application = json!({
            "apiVersion": "margo.org/v1-alpha1",
            "kind": "ApplicationDescription",
            "metadata": {
                "id": "com-gantry-web", "name": "Web", "version": version,
                "catalog": {"application": {}, "author": [{"name": "x"}],
                    "organization": [{"name": "Gantry"}]},
            },
            "deploymentProfiles": [{"type": "helm.v3", "id": "com-gantry-web-helm", "components": [{
                "name": "web",
                "properties": {
                    "repository": format!("oci://localhost:{}/charts/web", self.registry.port()),
                    "revision": version, "wait": true, "timeout": "1m0s",
                },
            }]}],
            "parameters": {
                "greeting": {"value": "Hello",
                    "targets": [{"pointer": "greeting", "components": ["web"]}]},
                "replicas": {"value": 2,
                    "targets": [{"pointer": "replicas", "components": ["web"]}]},
            },
            "configuration": {
                "sections": [{"name": "All", "settings": [
                    {"parameter": "greeting", "name": "Greeting", "schema": "text"},
                    {"parameter": "replicas", "name": "Replicas", "schema": "count"},
                ]}],
                "schema": [
                    {"name": "text", "dataType": "string"},
                    {"name": "count", "dataType": "integer"},
                ],
            },
        });
        // JSON is YAML, too.
        write(&folder.join("margo.yaml"), &application);
        self.gantry(&["application", "add", &folder.to_string_lossy()]);
    }

    /// The only thing of a kind that belongs to the release, wherever it is.
    fn find(&self, path: &str) -> Option<Value> {
        let all = self.cluster.get(path).expect("the API has this kind");
        let items = all["items"].as_array().expect("a list").iter();
        let mut ours = items.filter(|it| it["metadata"]["name"] == "shop-web").cloned();
        let found = ours.next();
        assert!(ours.next().is_none(), "there are two of {path}");
        found
    }

    fn deployment(&self) -> Option<Value> {
        self.find("/apis/apps/v1/deployments")
    }

    fn greeting(&self) -> Option<Value> {
        Some(self.find("/api/v1/configmaps")?["data"]["greeting"].clone())
    }
}

fn write(file: &Path, document: &Value) {
    fs::write(file, document.to_string()).expect("the test's folder can be written");
}

// margo(R-20, P-3).
#[test]
fn a_chart_is_installed_updated_repaired_and_removed() {
    let site = Site::start();
    for version in ["1.0.0", "1.1.0"] {
        site.push(version);
        site.add(version);
    }
    let order = ["deploy", "com-gantry-web@1.0.0", "--to", PRESS, "--name", "shop"];
    let said = site.gantry(&[&order[..], &WAIT].concat());
    assert!(said.contains("web: installed"), "{said}");
    let deployment = site.deployment().expect("the chart has one");
    assert_eq!(deployment["spec"]["replicas"], 2, "a number stays a number");
    assert_eq!(deployment["status"]["readyReplicas"], 2, "it waits until all is ready");
    assert_eq!(site.greeting(), Some("Hello".into()));

    let update = ["deployment", "update", "shop", "--version", "1.1.0", "--set", "greeting=Moin"];
    site.gantry(&[&update[..], &WAIT].concat());
    assert_eq!(site.greeting(), Some("Moin".into()));

    let namespace = deployment["metadata"]["namespace"].as_str().expect("it has one");
    let place = format!("/apis/apps/v1/namespaces/{namespace}/deployments/shop-web");
    site.cluster.change("DELETE", &place, None);
    wait::until("the deployment to be made anew", || {
        site.deployment().filter(|it| it["status"]["readyReplicas"] == 2)
    });
    wait::until("the repair to be told", || {
        let events = json(&site.gantry(&["deployment", "list", "-o", "json"]));
        (events["items"][0]["state"] == "installed").then_some(())
    });

    site.gantry(&[&["deployment", "remove", "shop"][..], &WAIT].concat());
    assert_eq!((site.deployment(), site.greeting()), (None, None));
}
