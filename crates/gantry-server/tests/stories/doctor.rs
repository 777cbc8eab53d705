//! `gantry-server doctor` finds what is wrong before a server stumbles over it, says what to do, and changes
//! nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use testkit::fleet::TestFleet;
use testkit::programs;
use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;

fn doctor(fleet: &TestFleet, options: &[&str]) -> Output {
    let mut doctor = Command::new(programs::path("gantry-server"));
    doctor.arg("doctor").arg("--config").arg(fleet.dir().join("server.toml")).args(options);
    programs::run(&mut doctor)
}

/// All that it says, once it has ended with this code.
#[track_caller]
fn says(fleet: &TestFleet, code: i32) -> String {
    let output = doctor(fleet, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}{output:?}");
    said
}

#[track_caller]
fn finds(fleet: &TestFleet, verdict: &str, check: &str, words: &[&str]) {
    let said = says(fleet, i32::from(verdict == "fail"));
    let line = said.lines().find(|it| it.contains(&format!(" {check}: "))).expect(&said);
    assert!(line.starts_with(verdict), "{line}");
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

/// Changes the database of a server that does not run.
fn change(fleet: &TestFleet, statement: &'static str) {
    let runtime = Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let file = fleet.database_file();
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection: SqliteConnection = options.connect().await.expect("it is there");
        connection.execute(statement).await.expect("SQLite does it");
        connection.close().await.expect("a connection can be closed");
    });
}

#[test]
fn what_is_in_order_is_said_of_a_running_server_and_of_one_that_never_ran() {
    let mut fleet = TestFleet::start();
    let said = says(&fleet, 0);
    for check in ["configuration", "data directory", "secrets", "certificate", "database", "clock"]
    {
        assert_eq!(said.lines().filter(|it| it.contains(&format!(" {check}: "))).count(), 1);
    }
    assert!(!said.contains("fail"), "{said}");
    assert!(said.contains("warn  configuration: public_url is https://localhost"), "{said}");
    // It is not in the way of the server.
    fleet.accepted_client("press-7");

    fleet.kill();
    fs::remove_dir_all(fleet.dir().join("data")).expect("the data directory is there");
    let said = says(&fleet, 0);
    assert!(said.contains("will be made at the first start"), "{said}");
    assert!(!fleet.dir().join("data").exists(), "it makes nothing");
}

#[test]
fn it_is_told_as_json_too_and_without_secrets() {
    let fleet = TestFleet::start();
    let output = doctor(&fleet, &["--output", "json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = findings.as_array().expect("a list");
    assert!(findings.len() >= 7, "{findings:?}");
    for finding in findings {
        assert!(["ok", "warn"].contains(&finding["verdict"].as_str().expect("text")));
        assert_eq!(finding["advice"].is_string(), finding["verdict"] == "warn", "{finding}");
    }
    let key = fs::read_to_string(fleet.dir().join("data/ca.key")).expect("the CA has a key");
    for secret in [fleet.operator().token(), key.lines().nth(1).expect("PEM has lines")] {
        for said in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(said).contains(secret));
        }
    }
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_line() {
    let mut fleet = TestFleet::start_on_sqlite();
    fleet.kill();
    fleet.configure("[onboarding]\npolicy = \"closed\"\n");
    finds(&fleet, "fail", "configuration", &["line 5", "closed", "allow-listed"]);
    fleet.configure("[onboarding]\npolicy = \"open\"\n");
    let said = says(&fleet, 0);
    assert!(said.contains("warn  configuration: [onboarding] policy is `open`"), "{said}");
}

#[test]
fn files_that_others_can_read_are_named() {
    let fleet = TestFleet::start();
    let data = fleet.dir().join("data");
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    open(&data.join("ca.key"), 0o644);
    finds(&fleet, "warn", "secrets", &["ca.key", "chmod 600"]);
    open(&data, 0o755);
    finds(&fleet, "warn", "data directory", &["chmod 700"]);
}

#[test]
fn tables_of_another_server_are_told_and_left_alone() {
    let mut fleet = TestFleet::start_on_sqlite();
    fleet.kill();
    change(&fleet, "DELETE FROM _sqlx_migrations WHERE version > 1");
    finds(&fleet, "warn", "database", &["older server", "back the database up"]);
    finds(&fleet, "warn", "database", &["older server"]);
    change(&fleet, "UPDATE _sqlx_migrations SET checksum = x'00'");
    finds(&fleet, "fail", "database", &["newer server"]);
    change(&fleet, "DROP TABLE _sqlx_migrations");
    finds(&fleet, "fail", "database", &["_sqlx_migrations", "backup"]);
    fs::write(fleet.database_file(), "nonsense".repeat(1_000)).expect("it is ours");
    finds(&fleet, "fail", "database", &["not a database", "backup"]);
}

#[test]
fn a_clock_that_is_behind_the_database_is_told() {
    let mut fleet = TestFleet::start_on_sqlite();
    fleet.kill();
    change(&fleet, "INSERT INTO audit VALUES (1000, 32503680000, 'a', 'b', 'c', 'd')");
    finds(&fleet, "fail", "clock", &["3000-01-01", "NTP"]);
}

#[test]
fn a_disk_that_is_full_is_told() {
    let fleet = TestFleet::start_on_small_disk("128m");
    finds(&fleet, "warn", "room", &["MiB are free", "make room"]);
    fleet.disk().fill();
    finds(&fleet, "fail", "room", &[" 0 MiB are free", "make room"]);
}

/// A root, and a certificate of it for some hosts, as the files that the configuration names.
fn issue(folder: &Path, hosts: &[&str], end: OffsetDateTime) {
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).expect("the test's folder can be written");
    };
    let key = KeyPair::generate().expect("keys can be made");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("given-ca.pem", params.self_signed(&key).expect("a root").pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("keys can be made");
    let hosts: Vec<String> = hosts.iter().map(|it| (*it).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("good names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = end;
    write("given.pem", params.signed_by(&key, &issuer).expect("a certificate").pem());
    write("given.key", key.serialize_pem());
}

#[test]
fn a_certificate_that_devices_would_refuse_is_told_with_the_reason() {
    let mut fleet = TestFleet::start();
    fleet.kill();
    let folder = fleet.dir().to_owned();
    let path = |name: &str| folder.join(name).display().to_string();
    fleet.configure(&format!(
        "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
        path("given.pem"),
        path("given.key"),
        path("given-ca.pem")
    ));
    finds(&fleet, "fail", "certificate", &["given-ca.pem", "No such file"]);
    let far = date_time_ymd(2200, 1, 1);
    issue(&folder, &["localhost"], far);
    finds(&fleet, "ok", "certificate", &["localhost", "2200-01-01"]);
    let soon = i64::try_from(testkit::client::now()).expect("a time");
    let soon = OffsetDateTime::from_unix_timestamp(soon).expect("a time") + Duration::days(5);
    issue(&folder, &["localhost"], soon);
    finds(&fleet, "warn", "certificate", &["renew it"]);
    issue(&folder, &["localhost"], date_time_ymd(2021, 1, 1));
    finds(&fleet, "fail", "certificate", &["has ended", "SIGHUP"]);
    issue(&folder, &["fleet.example"], far);
    finds(&fleet, "fail", "certificate", &["not for localhost", "public_url"]);
    issue(&folder, &["localhost"], far);
    let root = fs::read(folder.join("given-ca.pem")).expect("it was written");
    issue(&folder, &["localhost"], far);
    let new_root = fs::read(folder.join("given-ca.pem")).expect("it was written");
    fs::write(folder.join("given-ca.pem"), root).expect("it can be written");
    finds(&fleet, "fail", "certificate", &["does not lead to the root"]);
    fs::write(folder.join("given-ca.pem"), new_root).expect("it can be written");
    let key = KeyPair::generate().expect("keys can be made");
    fs::write(folder.join("given.key"), key.serialize_pem()).expect("it can be written");
    finds(&fleet, "fail", "certificate", &["belong together"]);
}

#[test]
fn a_ca_without_its_key_is_told_before_the_server_makes_another() {
    let mut fleet = TestFleet::start();
    fleet.kill();
    fs::remove_file(fleet.dir().join("data/ca.key")).expect("the CA has a key");
    finds(&fleet, "fail", "certificate", &["ca.key is missing", "backup"]);
    assert!(!fleet.dir().join("data/ca.key").exists());
}
