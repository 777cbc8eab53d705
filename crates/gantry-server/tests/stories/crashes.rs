//! The server is killed at any moment, stopped in the middle of its work, or started twice. What it
//! has acknowledged is there afterwards, and what devices read only ever goes forward.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use margo_contract::application_deployment::ApplicationDeployment;
use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::operator::Operator;
use testkit::{programs, wait};
use uuid::Uuid;

use crate::real_git::Git;
use crate::support::{add_web, manifest, package_files, seen, sha256, tar_gz};

/// Kills of the long story; each follows another step of its script.
const KILLS: usize = 32;

fn kill_and_start(fleet: &mut TestFleet) {
    fleet.kill();
    fleet.start_server();
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let mut fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    kill_and_start(&mut fleet);
    let waiting = fleet.operator().get("/clients");
    let id = waiting["items"][0]["id"].as_str().expect("who waits is listed").to_owned();
    fleet.operator().approve(&id);
    kill_and_start(&mut fleet);
    press.onboard().expect(201);
    assert_eq!(press.id(), id);

    press.report_capabilities().expect(201);
    kill_and_start(&mut fleet);
    let client = fleet.operator().get(&format!("/clients/{id}"));
    assert_eq!(client["devices"][0]["capabilities"], press.capabilities());

    let package = tar_gz(&package_files("1.0.0"));
    let added = fleet.operator().add_application(&package).expect(201).json();
    kill_and_start(&mut fleet);
    assert_eq!(fleet.operator().get("/applications/com-example-web/1.0.0"), added);
    fleet.operator().add_application(&package).expect(200);

    let deployment = fleet.operator().deploy("com-example-web", &id, &json!({}));
    kill_and_start(&mut fleet);
    assert_eq!(fleet.operator().published(&deployment), 2);
    assert_eq!(manifest(&press)["deployments"][0]["deploymentId"], deployment.as_str());

    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    kill_and_start(&mut fleet);
    assert_eq!(seen(&fleet, &deployment), "installed");
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);

    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    kill_and_start(&mut fleet);
    fleet.operator().revision_reached(&id, 3);
    let empty = json!({"bundle": null, "deployments": [], "manifestVersion": 3});
    assert_eq!(manifest(&press), empty);

    let revoke = format!("/clients/{id}/revoke");
    fleet.operator().send("POST", &revoke, Some(&json!({}))).expect(200);
    kill_and_start(&mut fleet);
    press.get(&press.path("/deployments"), &[]).expect(403);
}

/// What the script of the long story wants, and how it asks for it. Asking twice is asking once.
struct Wish {
    deployment: String,
    greeting: String,
    wanted: bool,
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Wish {
    /// Order, two updates, withdrawal, and again with another deployment.
    fn script(client: &TestClient) -> Vec<Self> {
        let mut deployment = String::new();
        let wishes = (0..KILLS).map(|step| {
            let greeting = format!("Hello {step}");
            let parameters = json!({"greeting": greeting});
            if step % 4 == 0 {
                deployment = Uuid::new_v4().to_string();
            }
            let path = format!("/deployments/{deployment}");
            let (method, path, body) = match step % 4 {
                0 => {
                    let order = json!({
                        "id": deployment,
                        "applicationId": "com-example-web",
                        "clientId": client.id(),
                        "parameters": parameters,
                    });
                    ("POST", "/deployments".to_owned(), Some(order))
                }
                1 | 2 => ("PATCH", path, Some(json!({"parameters": parameters}))),
                _ => ("DELETE", path, None),
            };
            let wanted = step % 4 != 3;
            Self { deployment: deployment.clone(), greeting, wanted, method, path, body }
        });
        wishes.collect()
    }

    /// Whether the server says that it will be so; it may be gone before it can say anything.
    fn ask(&self, operator: &Operator) -> bool {
        match operator.try_send(self.method, &self.path, self.body.as_ref()) {
            Ok(answer) if answer.status < 300 => true,
            Ok(answer) => panic!("{} {}: {}", self.method, self.path, answer.text()),
            Err(_) => false,
        }
    }

    fn assert_remembered(&self, fleet: &TestFleet) {
        let seen = fleet.operator().get(&format!("/deployments/{}", self.deployment));
        assert_eq!(seen["wanted"], self.wanted);
        if self.wanted {
            assert_eq!(seen["parameters"]["greeting"], self.greeting.as_str());
        }
    }

    /// Whether this is what a device reads.
    fn is_published(&self, client: &TestClient) -> bool {
        let manifest = manifest(client);
        let deployments = manifest["deployments"].as_array().expect("a list");
        let Some(listed) = deployments.iter().find(|it| it["deploymentId"] == *self.deployment)
        else {
            return !self.wanted;
        };
        let url = listed["url"].as_str().expect("a URL is text");
        let document = ApplicationDeployment::parse(&client.get(url, &[]).expect(200).body);
        let document = document.expect("what is published can be read");
        self.wanted && document.parameters["greeting"].value == *self.greeting
    }
}

/// Asks for a wish and kills the server at a moment that differs from step to step. Returns whether
/// the wish was acknowledged before.
fn ask_and_kill(fleet: &mut TestFleet, client: &TestClient, wish: &Wish, step: usize) -> bool {
    let (operator, http) = (fleet.operator(), fleet.http());
    if step.is_multiple_of(3) {
        // While it is asked, or just before or after that.
        return std::thread::scope(|scope| {
            let asking = scope.spawn(|| wish.ask(&operator));
            for _ in 0..step / 3 % 6 {
                http.send("GET", "/healthz", &[], None).expect(200);
            }
            fleet.kill();
            asking.join().expect("asking does not panic")
        });
    }
    let acknowledged = wish.ask(&operator);
    if step % 3 == 1 {
        // While its job is struck out, most likely.
        wait::until("the wish to be published", || wish.is_published(client).then_some(()));
    }
    // Else before or while it is published, most likely.
    fleet.kill();
    acknowledged
}

/// Reads the client's desired state again and again, as a device does that never sleeps. Every version
/// is greater than the one before, and everything that it names can be fetched.
fn watch(client: &TestClient, over: &AtomicBool) -> BTreeSet<u64> {
    let get = |path: &str| -> Answer {
        wait::until("the server to answer", || {
            client.try_send(&client.signed("GET", path, None, &[])).ok()
        })
        .expect(200)
    };
    let mut versions = BTreeSet::new();
    let mut last = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        let answer = get(&client.path("/deployments"));
        let manifest = answer.json();
        let version = manifest["manifestVersion"].as_u64().expect("a version is a number");
        assert!(version >= last.0, "version {version} came after version {}", last.0);
        if version == last.0 {
            assert_eq!(answer.body, last.1, "version {version} has two contents");
            continue;
        }
        let listed = manifest["deployments"].as_array().expect("a list").iter();
        for item in listed.chain([&manifest["bundle"]]).filter(|it| !it.is_null()) {
            let bytes = get(item["url"].as_str().expect("a URL is text")).body;
            assert_eq!(item["digest"], sha256(&bytes), "version {version}");
        }
        versions.insert(version);
        last = (version, answer.body);
    }
    versions
}

// margo(D-2, D-4, D-15, H-2).
#[test]
fn what_a_device_reads_goes_forward_however_often_the_server_is_killed() {
    let mut fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let over = AtomicBool::new(false);
    let versions = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&press, &over));
        for (step, wish) in Wish::script(&press).iter().enumerate() {
            let acknowledged = ask_and_kill(&mut fleet, &press, wish, step);
            fleet.start_server();
            if !acknowledged {
                assert!(wish.ask(&fleet.operator()), "asked again, it is done once");
            }
            wish.assert_remembered(&fleet);
            wait::until("the wish to be published", || wish.is_published(&press).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
        watching.join()
    });
    let versions = versions.expect("what the device reads is in order");
    assert!(versions.len() > KILLS / 2, "{versions:?}");

    // Each wish made one revision, however often it was asked for and whenever the server was killed.
    let newest = 1 + u64::try_from(KILLS).expect("a small number");
    assert_eq!(manifest(&press)["manifestVersion"], newest);
    let git = Git::of(&fleet, &press);
    git.clone(&[]);
    git.assert_sound();
    assert_eq!(git.commits(), newest);
}

const HEAD: &str = "POST /operator/v1/applications HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/gzip\r\nExpect: 100-continue\r\nConnection: close\r\n";

#[test]
fn a_server_that_is_told_to_stop_ends_what_it_has_begun() {
    let mut fleet = TestFleet::start();
    let token = std::fs::read_to_string(fleet.token_file()).expect("the token can be read");
    let package = tar_gz(&package_files("1.0.0"));
    let mut upload = fleet.http().connect();
    let length = package.len();
    let head =
        format!("{HEAD}Authorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n", token.trim());
    upload.write_all(head.as_bytes()).expect("the server reads");
    let mut go_on = [0; 25];
    upload.read_exact(&mut go_on).expect("the server answers");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n", "now it waits for the body");
    let mut idle = fleet.http().connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    let mut answered = [0; 15];
    idle.read_exact(&mut answered).expect("the server answers");
    assert_eq!(&answered, b"HTTP/1.1 200 OK");

    fleet.terminate();
    wait::until("the server to take no more callers", || {
        fleet.http().try_send("GET", "/healthz", &[], None).err()
    });
    upload.write_all(&package).expect("the server reads on");
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).expect("the server answers and closes");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert_eq!(fleet.stop(), Some(0));

    fleet.start_server();
    fleet.operator().add_application(&package).expect(200);
}

#[test]
fn a_request_that_never_ends_does_not_keep_a_server_from_stopping() {
    let mut fleet = TestFleet::start();
    let mut endless = fleet.http().connect();
    let head = "POST /api/v1/onboarding HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\
        Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n";
    endless.write_all(head.as_bytes()).expect("the server reads");
    let mut go_on = [0; 12];
    endless.read_exact(&mut go_on).expect("the server answers");
    assert_eq!(fleet.stop(), Some(0));
    assert!(fleet.log().contains("cut off"), "{}", fleet.log());
}

#[test]
fn a_second_server_on_the_same_data_refuses_to_start() {
    let fleet = TestFleet::start();
    let start = |arguments: &[&str]| {
        let mut command = Command::new(programs::path("gantry-server"));
        let output = programs::run(command.args(arguments));
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let data = fleet.dir().join("data").display().to_string();
    let url = fleet.url();
    let said = start(&["--data-dir", &data, "--listen", "127.0.0.1:0", "--public-url", &url]);
    for words in ["another gantry-server uses the data directory", &data, "stop it"] {
        assert!(said.contains(words), "{said}");
    }
    let elsewhere = fleet.dir().join("elsewhere").display().to_string();
    let address = url.replace("https://localhost", "127.0.0.1");
    let said = start(&["--data-dir", &elsewhere, "--listen", &address, "--public-url", &url]);
    assert!(said.contains(&format!("listening on {address}: Address already in use")), "{said}");
    fleet.http().send("GET", "/healthz", &[], None).expect(200);
}
