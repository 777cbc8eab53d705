//! A Kubernetes cluster for the tests of one process: the real API server and the real controllers on etcd,
//! with one node that is made up. Its pods are started by kwok, which runs nothing and says that
//! they run; the annotation [`FATE`] of a pod says how it fares otherwise. There is no scheduler:
//! what is to run names the node [`NODE`] itself.
//!
//! `scripts/set-up.sh test` builds the programs.

mod programs;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::programs::start;
use crate::http::{Answer, Http};
use crate::port;
use crate::programs::Running;
use crate::wait;

pub use self::programs::helm;

/// The only node.
pub const NODE: &str = "device";
/// The annotation of a pod that says how it fares: `crash`, `no-image` or `starting`. Without it, it runs.
pub const FATE: &str = "gantry.test/fate";
const TOKEN: &str = "the-token-of-the-test";

/// A running cluster. It ends with the process at the latest, whatever becomes of that.
pub struct Cluster {
    folder: TempDir,
    http: Http,
    programs: Vec<Running>,
}

impl Cluster {
    /// Starts a cluster and waits until it serves.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        let (etcd_port, peer_port, port) = (port::free(), port::free(), port::free());
        let etcd = format!("http://127.0.0.1:{etcd_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let mut programs = vec![start(
            path,
            "etcd",
            &[
                format!("--data-dir={}", path.join("etcd").display()),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={peer}"),
                "--log-level=error".to_owned(),
                // Nothing has to outlive the test.
                "--unsafe-no-fsync".to_owned(),
            ],
        )];
        write_credentials(path);
        programs.push(start(path, "kube-apiserver", &api_server(path, &etcd, port)));
        let certificate = path.join("pki/apiserver.crt");
        wait::until("the API server's certificate", || {
            programs.iter_mut().for_each(Running::assert_running);
            fs::read_to_string(&certificate).ok().filter(|it| it.contains("-----END"))
        });
        let origin = format!("https://127.0.0.1:{port}");
        fs::write(path.join("kubeconfig"), kubeconfig(&origin, &certificate))
            .expect("a writable folder");
        let mut cluster = Self { http: Http::new(&origin, &certificate), folder, programs };
        cluster.wait_until_ready();
        cluster.start_controllers();
        cluster.add_node();
        cluster
    }

    /// The file that tells `helm` and others where the cluster is and who they are.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Asks the API server; panics when it does not answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let content =
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str()), ("content-type", content)];
        let body = body.map(|it| it.to_string().into_bytes());
        self.http.send(method, path, &headers, body.as_deref())
    }

    /// What is at this path of the API; nothing when there is nothing.
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = self.ask("GET", path, None);
        (answer.status == 200)
            .then(|| serde_json::from_slice(&answer.body).expect("the API speaks JSON"))
    }

    /// As [`Cluster::ask`], for what has to succeed.
    pub fn change(&self, method: &str, path: &str, body: Option<&Value>) {
        let answer = self.ask(method, path, body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
    }

    fn wait_until_ready(&mut self) {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str())];
        wait::until("the API server to be ready", || {
            self.programs.iter_mut().for_each(Running::assert_running);
            let answer = self.http.try_send("GET", "/readyz", &headers, None).ok()?;
            (answer.status == 200).then_some(())
        });
        wait::until("the namespace `default`", || self.get("/api/v1/namespaces/default"));
    }

    fn start_controllers(&mut self) {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
        let key = self.folder.path().join("accounts.key");
        let controllers = [
            kubeconfig.clone(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            // Nobody keeps the node alive.
            "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller".to_owned(),
            format!("--service-account-private-key-file={}", key.display()),
        ];
        let stages = self.folder.path().join("stages.yaml");
        fs::write(&stages, include_str!("kubernetes/stages.yaml")).expect("a writable folder");
        let kwok = [
            kubeconfig,
            format!("--config={}", stages.display()),
            "--manage-all-nodes=true".to_owned(),
            format!("--server-address=127.0.0.1:{}", port::free()),
        ];
        let folder = self.folder.path();
        let controllers = start(folder, "kube-controller-manager", &controllers);
        self.programs.extend([controllers, start(folder, "kwok", &kwok)]);
    }

    fn add_node(&self) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        self.change("POST", "/api/v1/nodes", Some(&node));
        wait::until("the node to be ready", || {
            let node = self.get(&format!("/api/v1/nodes/{NODE}"))?;
            (node["status"]["phase"] == "Running").then_some(())
        });
    }
}

fn write_credentials(folder: &Path) {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    fs::write(folder.join("accounts.key"), key.serialize_pem()).expect("a writable folder");
    fs::write(folder.join("accounts.pub"), key.public_key_pem()).expect("a writable folder");
    let tokens = format!("{TOKEN},test,test,system:masters\n");
    fs::write(folder.join("tokens.csv"), tokens).expect("a writable folder");
}

fn api_server(folder: &Path, etcd: &str, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // It signs a certificate for itself.
        format!("--cert-dir={}", file("pki")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        // Pods here need no account.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]
}

fn kubeconfig(origin: &str, certificate: &Path) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster":
            {"server": origin, "certificate-authority": certificate}}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}
