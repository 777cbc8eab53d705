//! A real OCI registry for one test: Debian's `docker-registry` with TLS and a password, and a way to push
//! packages into it.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::http::Http;
use crate::port;
use crate::programs::Running;
use crate::wait;

pub const USERNAME: &str = "press";
pub const PASSWORD: &str = "opens";
/// The password's line in a file of htpasswd.
const HTPASSWD: &str = "press:$2y$05$fxjcZaJi5StO5a7uiL9nLu.ne8rHAjePTIsYQ56VOTH5bcDBJz/QG\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The configuration of a package that has none.
const EMPTY: &[u8] = b"{}";

/// A registry, running or not.
pub struct TestRegistry {
    folder: TempDir,
    port: u16,
    program: Option<Running>,
}

impl TestRegistry {
    /// Starts a registry, whose root is `ca`, and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let authority = Authority::new();
        authority.write_server("localhost", folder.path());
        let write = |file: &str, text: &str| {
            fs::write(folder.path().join(file), text).expect("the test's folder can be written");
        };
        let port = port::free();
        let at = |file: &str| folder.path().join(file).display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  tls: {{certificate: {}, key: {}}}\n\
             auth: {{htpasswd: {{realm: registry, path: {}}}}}\n",
            at("storage"),
            at("server.pem"),
            at("server.key"),
            at("htpasswd"),
        );
        write("ca.pem", authority.pem());
        write("htpasswd", HTPASSWD);
        write("config.yml", &config);
        let mut registry = Self { folder, port, program: None };
        registry.start_program();
        registry
    }

    /// Starts it again with what it has.
    pub fn start_program(&mut self) {
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.folder.path().join("config.yml")).env_clear();
        let mut program = Running::start(&mut command, &self.folder.path().join("registry.log"));
        wait::until("the registry to answer", || {
            program.assert_running();
            self.http().try_send("GET", "/v2/", &[], None).ok().filter(|it| it.status == 401)
        });
        self.program = Some(program);
    }

    /// Takes it away without a warning.
    pub fn kill(&mut self) {
        self.program.take().expect("the registry is running").kill();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The root that vouches for it, and nobody else's.
    pub fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// Pushes a Compose package, as `oras push` does: say what it is.
    pub fn push_compose(&self, name: &str, version: &str, package: &[u8]) {
        let mut layer = self.push_blob(name, package);
        layer["mediaType"] = "application/vnd.org.margo.component.compose.tar+gzip".into();
        layer["annotations"] =
            json!({"org.margo.component.type": "compose", "org.margo.component.version": version});
        let mut config = self.push_blob(name, EMPTY);
        config["mediaType"] = "application/vnd.oci.empty.v1+json".into();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "artifactType": "application/vnd.org.margo.component.compose+json",
            "config": config, "layers": [layer]});
        let path = format!("/v2/{name}/manifests/{version}");
        self.send("PUT", &path, Some((MANIFEST, manifest.to_string().as_bytes())), 201);
    }

    fn push_blob(&self, name: &str, bytes: &[u8]) -> Value {
        let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
        let digits: String = hash.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        let begun = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), None, 202);
        let location = begun.header("location").expect("an upload has a place");
        let origin = self.http().origin().to_owned();
        let place = location.strip_prefix(&origin).unwrap_or(location);
        let joint = if place.contains('?') { '&' } else { '?' };
        let place = format!("{place}{joint}digest=sha256%3A{digits}");
        self.send("PUT", &place, Some(("application/octet-stream", bytes)), 201);
        json!({"digest": format!("sha256:{digits}"), "size": bytes.len()})
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        status: u16,
    ) -> crate::http::Answer {
        let known = BASE64_STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
        let known = format!("Basic {known}");
        let mut headers = vec![("authorization", known.as_str())];
        headers.extend(body.map(|(media_type, _)| ("content-type", media_type)));
        let body = body.map_or(&[][..], |(_, bytes)| bytes);
        self.http().send(method, path, &headers, Some(body)).expect(status)
    }

    fn http(&self) -> Http {
        Http::new(&format!("https://localhost:{}", self.port), Path::new(&self.ca()))
    }
}
