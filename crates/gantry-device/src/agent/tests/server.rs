//! A fleet manager for one test: real HTTPS, and answers that the test decides on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use margo_contract::digest::Digest;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::bench::TestClock;
use crate::clock::Clock as _;

const DEPLOYMENT: &str = "c2f8a9d4-61b3-4e77-8a0c-3e94d75b1c22";
/// Where the manifest of the client is.
pub(super) const MANIFEST: &str = "/api/v1/clients/c1/deployments";

/// A request, and when it came by both clocks.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) at: i64,
    pub(super) monotonic: u64,
    pub(super) path: String,
    pub(super) body: String,
    /// What it said about the contacts to come.
    pub(super) contact: String,
    /// The manifest version that a report is about.
    pub(super) adopted: String,
}

impl Moment {
    /// One field of what it said about the contacts to come.
    pub(super) fn told(&self, key: &str) -> Option<String> {
        let mut fields = self.contact.split(", ").filter_map(|it| it.split_once('='));
        fields.find(|(it, _)| *it == key).map(|(_, it)| it.to_owned())
    }
}

type Hook = Box<dyn Fn(&Server, &str) + Send>;

/// A fleet manager that lets everybody in.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) requests: Mutex<Vec<Moment>>,
    /// Whether it takes requests and does not answer them.
    pub(super) hang_up: AtomicBool,
    hook: Mutex<Option<Hook>>,
    /// What is fetched, by path.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What the manifest's `ETag` says, if that is not its digest in quotes; empty for no such header.
    etag: Mutex<Option<String>>,
    /// Whether it sends again what the client has.
    pub(super) is_forgetful: AtomicBool,
    clock: Arc<TestClock>,
}

impl Server {
    pub(super) fn start(clock: Arc<TestClock>, ca: &Path) -> Arc<Self> {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let own = own.expect("a certificate can be made");
        fs::write(ca, own.cert.pem()).expect("writable");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(own.cert.der().to_vec())], key)
            .expect("they go together");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Arc::new(Self {
            url: format!("https://localhost:{port}"),
            requests: Mutex::default(),
            hang_up: AtomicBool::new(false),
            hook: Mutex::default(),
            files: Mutex::default(),
            etag: Mutex::default(),
            is_forgetful: AtomicBool::new(false),
            clock,
        });
        server.publish(1, &[]);
        let (serving, config) = (Arc::clone(&server), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serving, config) = (Arc::clone(&serving), Arc::clone(&config));
                thread::spawn(move || serving.serve(stream.expect("a connection"), config));
            }
        });
        server
    }

    /// Lets something happen when a request for a path has come, before it is answered.
    pub(super) fn on_request(&self, hook: impl Fn(&Self, &str) + Send + 'static) {
        *self.hook.lock().expect("not poisoned") = Some(Box::new(hook));
    }

    fn publish(&self, version: u64, deployments: &[(&str, Digest)]) {
        let listed: Vec<_> = deployments
            .iter()
            .map(|(id, digest)| {
                serde_json::json!({"deploymentId": id, "digest": digest, "url": "/document"})
            })
            .collect();
        let bundle = (!listed.is_empty()).then(|| {
            let media_type = margo_contract::bundle::MEDIA_TYPE;
            serde_json::json!({"mediaType": media_type, "digest": Digest::of(b""), "url": "/bundle"})
        });
        let manifest = serde_json::json!({"manifestVersion": version, "bundle": bundle, "deployments": listed});
        self.put(MANIFEST, manifest.to_string().into_bytes());
    }

    /// Serves a file at a path from now on.
    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.files.lock().expect("not poisoned").insert(path.to_owned(), bytes);
    }

    /// There is nothing at a path from now on.
    pub(super) fn take_away(&self, path: &str) {
        self.files.lock().expect("not poisoned").remove(path);
    }

    /// What the `ETag` of manifests says from now on; nothing for their digest in quotes.
    pub(super) fn tag(&self, etag: Option<&str>) {
        *self.etag.lock().expect("not poisoned") = etag.map(str::to_owned);
    }

    pub(super) fn offer_a_workload(&self) {
        let package = b"a package".to_vec();
        let location = format!("{}/packages/{}", self.url, Digest::of(&package));
        let document = format!(
            "apiVersion: application.margo.org/v1alpha1\nkind: ApplicationDeployment\nmetadata:\n  \
             annotations: {{id: {DEPLOYMENT}, applicationId: web}}\n  name: web\n  namespace: default\n\
             spec:\n  deploymentProfile:\n    type: compose\n    components:\n      - name: web\n        \
             properties: {{packageLocation: \"{location}\"}}\n"
        );
        let digest = Digest::of(document.as_bytes());
        let mut files = self.files.lock().expect("not poisoned");
        files.insert("/document".to_owned(), document.into_bytes());
        files.insert(format!("/packages/{}", Digest::of(&package)), package);
        drop(files);
        self.publish(2, &[(DEPLOYMENT, digest)]);
    }

    /// The workload is not wanted any more, as of this revision.
    pub(super) fn withdraw_the_workload(&self, version: u64) {
        self.publish(version, &[]);
    }

    fn serve(&self, mut stream: TcpStream, config: Arc<rustls::ServerConfig>) {
        let mut tls = rustls::ServerConnection::new(config).expect("a good configuration");
        let mut stream = rustls::Stream::new(&mut tls, &mut stream);
        let mut bytes = Vec::new();
        while let Some((head, body)) = request(&mut stream, &mut bytes) {
            let mut words = head.split(' ');
            let (method, path) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let header = |name: &str| {
                let lines = head.lines().filter_map(|it| it.split_once(": "));
                let found = lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| it);
                found.map(str::to_owned).next().unwrap_or_default()
            };
            self.requests.lock().expect("not poisoned").push(Moment {
                at: self.clock.now_ms(),
                monotonic: self.clock.monotonic_ms(),
                path: path.to_owned(),
                body: String::from_utf8_lossy(&body).into_owned(),
                contact: header("gantry-contact"),
                adopted: header("gantry-adopted-manifest-version"),
            });
            if let Some(hook) = &*self.hook.lock().expect("not poisoned") {
                hook(self, path);
            }
            if self.hang_up.load(Ordering::Relaxed) {
                return;
            }
            let answer = self.answer(method, path, &header("if-none-match"));
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, known: &str) -> Vec<u8> {
        let with = |status: &str, more: &str, body: &[u8]| {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}\r\n");
            [head.as_bytes(), body].concat()
        };
        if path == "/api/v1/onboarding" {
            return with("200 OK", "", br#"{"clientId": "c1"}"#);
        }
        if method != "GET" {
            return with("201 Created", "", b"");
        }
        match self.files.lock().expect("not poisoned").get(path) {
            Some(file)
                if known.contains(&Digest::of(file).to_string())
                    && !self.is_forgetful.load(Ordering::Relaxed) =>
            {
                with("304 Not Modified", "", b"")
            }
            Some(file) => {
                let etag = self.etag.lock().expect("not poisoned").clone();
                let etag = match etag.filter(|_| path == MANIFEST) {
                    Some(none) if none.is_empty() => String::new(),
                    Some(etag) => format!("etag: {etag}\r\n"),
                    None => format!("etag: \"{}\"\r\n", Digest::of(file)),
                };
                with("200 OK", &etag, file)
            }
            None => with("404 Not Found", "", b""),
        }
    }
}

/// The head and the body of the next request; nothing when there is none any more.
fn request(stream: &mut impl std::io::Read, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|it| {
                let (name, value) = it.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                let body = bytes[end + 4..whole].to_vec();
                bytes.drain(..whole);
                return Some((head, body));
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}
