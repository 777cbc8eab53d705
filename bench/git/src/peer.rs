//! What else serves Git over HTTPS: nginx, fcgiwrap and Git's own `git http-backend`, with mirrors of
//! our repositories, its own configuration in a temporary folder, and no rights beyond that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use rcgen::{CertificateParams, DnType, KeyPair};
use tempfile::TempDir;
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::port;
use testkit::programs::{self, Running};
use testkit::wait;

use bench_population::Member;
use testkit::meter::Meter;

/// How many clones are made at a time, and how many requests fcgiwrap answers at a time.
const AT_A_TIME: usize = 4;

/// The running peer.
pub(crate) struct Peer {
    port: u16,
    meter: Meter,
    _programs: [Running; 2],
    // What it holds is needed until all programs have ended.
    folder: TempDir,
}

impl Peer {
    /// Clones the repositories and serves them.
    pub(crate) fn start(fleet: &TestFleet, repositories: &[Member]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path();
        mirror(fleet, repositories, &path.join("repositories"));
        make_certificate(path);
        let port = port::free();
        fs::write(path.join("nginx.conf"), configuration(path, port))
            .expect("the temporary folder can be written");

        let meter = Meter::new("peer");
        let mut wrapper = meter.command("fcgiwrap");
        wrapper.args(["-f", "-c", &AT_A_TIME.to_string(), "-s"]);
        wrapper.arg(format!("unix:{}", socket(path).display()));
        wrapper.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let wrapper = Running::start(&mut wrapper, &path.join("fcgiwrap.log"));
        wait::until("fcgiwrap to listen", || socket(path).exists().then_some(()));
        let mut nginx = meter.command("nginx");
        nginx.arg("-p").arg(path).arg("-c").arg(path.join("nginx.conf"));
        nginx.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut nginx = Running::start(&mut nginx, &path.join("nginx.log"));
        let peer = Http::new(&format!("https://localhost:{port}"), &path.join("certificate.pem"));
        wait::until("nginx to answer", || {
            nginx.assert_running();
            peer.try_send("GET", "/", &[], None).ok()
        });
        Self { port, meter, _programs: [nginx, wrapper], folder }
    }

    pub(crate) fn http(&self) -> Http {
        let origin = format!("https://localhost:{}", self.port);
        Http::new(&origin, &self.folder.path().join("certificate.pem"))
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// Mirrors all repositories as Git itself does: a file with all objects for each.
fn mirror(fleet: &TestFleet, repositories: &[Member], folder: &Path) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(repository) = repositories.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let name = format!("git/{}.git", repository.client);
                    let header = format!("Authorization: {}", repository.authorization);
                    let mut git = Command::new("git");
                    git.arg("-c").arg(format!("http.extraHeader={header}"));
                    git.arg("-c").arg(format!("http.sslCAInfo={}", fleet.ca().display()));
                    git.args(["clone", "--quiet", "--mirror", "--template="]);
                    git.arg(format!("{}/{name}", fleet.url())).arg(folder.join(&name));
                    // The variable goes before the setting.
                    git.env_remove("GIT_SSL_CAINFO").env("GIT_CONFIG_NOSYSTEM", "1");
                    programs::stdout_of(git.env("GIT_CONFIG_GLOBAL", "/dev/null"));
                }
            });
        }
    });
}

/// A certificate for `localhost` with a key of the same kind as that of our server.
fn make_certificate(folder: &Path) {
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(["localhost".to_owned()]);
    let mut params = params.expect("it is a name of a host");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let certificate = params.self_signed(&key).expect("a key can sign its own certificate");
    fs::write(folder.join("certificate.pem"), certificate.pem())
        .and_then(|()| fs::write(folder.join("key.pem"), key.serialize_pem()))
        .expect("the temporary folder can be written");
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("fcgiwrap.sock")
}

/// `git http-backend` behind nginx, as its manual page shows it, and nothing that costs time for nothing:
/// no log of requests, no limit to the requests of a connection.
fn configuration(folder: &Path, port: u16) -> String {
    let (folder, socket) = (folder.display(), socket(folder));
    let backend = programs::stdout_of(Command::new("git").arg("--exec-path"));
    format!(
        "daemon off;
user root root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  keepalive_timeout 1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.3;
    location /git/ {{
      fastcgi_pass unix:{socket};
      fastcgi_param SCRIPT_FILENAME {backend}/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT {folder}/repositories;
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_param GIT_CONFIG_NOSYSTEM 1;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr;
    }}
  }}
}}
",
        socket = socket.display(),
        backend = backend.trim()
    )
}
