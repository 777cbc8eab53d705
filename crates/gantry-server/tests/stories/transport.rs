//! What the listener speaks, to the real `curl`: TLS 1.3 and HTTP/1.1, with a certificate of its own or a
//! given one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::HandshakeKind;
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::{programs, wait};

fn curl(fleet: &TestFleet, ca: &str, options: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.env_remove("CURL_CA_BUNDLE").env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    curl.args(["--silent", "--max-time", "10", "--output", "/dev/null", "--cacert", ca]);
    curl.args(["--write-out", "%{http_code} %{http_version}"]).args(options);
    programs::run(curl.arg(format!("{}/healthz", fleet.url())))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

// margo(T-1, T-4, T-6, SP-17, X-35)
#[test]
fn nothing_older_than_tls_1_3_and_no_other_http_than_1_1_is_spoken() {
    let fleet = TestFleet::start();
    let ca = fleet.ca().to_string_lossy().into_owned();
    assert_eq!(said(&curl(&fleet, &ca, &["--tlsv1.3"])), "200 1.1");
    assert_eq!(said(&curl(&fleet, &ca, &["--http2"])), "200 1.1");
    let older = curl(&fleet, &ca, &["--tls-max", "1.2"]);
    assert_eq!(older.status.code(), Some(35), "the handshake fails: {older:?}");
}

/// Calls, and tells whether an earlier TLS session of this client was taken up for that.
fn resumes(client: &Http) -> bool {
    let mut stream = client.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .expect("the server listens");
    let mut answer = String::new();
    // What a later connection needs comes with the answer.
    stream.read_to_string(&mut answer).expect("the server answers and ends the connection");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn a_client_takes_up_its_tls_session_after_a_fleet_of_others_has_called() {
    let fleet = TestFleet::start();
    let client = fleet.http();
    assert!(!resumes(&client));
    for _ in 0..300 {
        assert!(!resumes(&fleet.http()));
    }
    assert!(resumes(&client));
    assert!(resumes(&client), "a resumed session can be resumed, too");
}

/// A root and a certificate of it for `localhost`, as the files that the configuration names.
fn issue(folder: &std::path::Path, root: &str) {
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).expect("the test's folder can be written");
    };
    let key = KeyPair::generate().expect("keys can be made");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, root);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("given-ca.pem", params.self_signed(&key).expect("a root").pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("keys can be made");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a good name");
    write("given.pem", params.signed_by(&key, &issuer).expect("a certificate").pem());
    write("given.key", key.serialize_pem());
}

#[test]
fn a_given_certificate_is_shown_and_read_again_on_sighup() {
    let mut fleet = TestFleet::start();
    assert_eq!(fleet.stop(), Some(0));
    let folder = fleet.dir().to_owned();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    issue(&folder, "First root");
    fs::copy(path("given-ca.pem"), path("first-ca.pem")).expect("it was written");
    // The harness asks for the server's health with what the server is to be trusted by.
    fs::copy(path("given-ca.pem"), fleet.ca()).expect("the data directory is there");
    fleet.configure(&format!(
        "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
        path("given.pem"),
        path("given.key"),
        path("given-ca.pem")
    ));
    fleet.start_server();
    assert_eq!(said(&curl(&fleet, &path("first-ca.pem"), &[])), "200 1.1");

    issue(&folder, "Second root");
    fleet.hang_up();
    wait::until("the new certificate to be shown", || {
        (said(&curl(&fleet, &path("given-ca.pem"), &[])) == "200 1.1").then_some(())
    });
    let former = curl(&fleet, &path("first-ca.pem"), &[]);
    assert_eq!(former.status.code(), Some(60), "the former root no longer vouches: {former:?}");

    fs::write(path("given.pem"), "nonsense").expect("the test's folder can be written");
    fleet.hang_up();
    wait::until("the refusal to be logged", || {
        fleet.log().contains("the certificate stays as it is").then_some(())
    });
    assert_eq!(said(&curl(&fleet, &path("given-ca.pem"), &[])), "200 1.1");
}
