//! A client's desired state changes, and a Git library follows it.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::json;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::programs;

use crate::follower::{Access, Follower};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello");

/// A fleet with one client, and what happened to it so far.
pub(crate) struct Story {
    follower: Follower,
    fleet: TestFleet,
    client: TestClient,
    url: String,
    access: Access,
    deployment: Option<String>,
    revision: u64,
}

impl Story {
    pub(crate) fn begin(follower: Follower) -> Self {
        let fleet = TestFleet::start();
        programs::stdout_of(&mut fleet.gantry(&["application", "add", EXAMPLE]));
        let client = fleet.accepted_client("press-7");
        let repository = client.get(&client.path("/repository"), &[]).expect(200).json();
        let text = |key: &str| repository[key].as_str().expect("is text").to_owned();
        let access = Access { username: text("username"), token: text("token"), ca: fleet.ca() };
        let url = text("url");
        Self { follower, fleet, client, url, access, deployment: None, revision: 1 }
    }

    pub(crate) fn a_client_that_was_just_let_in_clones(&self) {
        self.follower.run(&self.access, &["clone", &self.url, "first"]);
        self.is_current("first");
        assert_eq!(self.commits("first"), 1);

        let listed = self.follower.run(&self.access, &["list", &self.url]);
        let listed = String::from_utf8(listed).expect("the programs print text");
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        let commit = self.head("first");
        assert_eq!(listed, [format!("{commit} HEAD"), format!("{commit} refs/heads/main")]);
    }

    pub(crate) fn a_new_order_is_fetched_and_then_nothing_new(&mut self) {
        self.order("Hello");
        for _ in ["something new", "nothing new"] {
            self.follower.run(&self.access, &["fetch", "first"]);
            self.is_current("first");
            assert_eq!(self.commits("first"), 2);
        }
    }

    pub(crate) fn orders_of_a_long_time_are_one_fetch(&mut self) {
        // Some content comes back: objects that the library has already must not be missed or disturb.
        for greeting in ["Moin", "Hello", "Moin", "Servus"] {
            self.order(greeting);
        }
        self.follower.run(&self.access, &["fetch", "first"]);
        self.is_current("first");
        assert_eq!(self.commits("first"), 6);
    }

    pub(crate) fn a_whole_and_a_shallow_clone_are_the_same_at_their_tip(&mut self) {
        self.follower.run(&self.access, &["clone", &self.url, "whole"]);
        self.is_current("whole");
        assert_eq!(self.commits("whole"), 6);

        self.follower.run(&self.access, &["clone", &self.url, "shallow", "1"]);
        self.is_current("shallow");
        assert_eq!(self.commits("shallow"), 1);
        self.order("Hello");
        for _ in ["something new", "nothing new"] {
            self.follower.run(&self.access, &["fetch", "shallow"]);
            self.is_current("shallow");
            assert_eq!(self.commits("shallow"), 2);
        }
    }

    /// The certificate is really checked: what the other steps show holds for one root only.
    pub(crate) fn a_server_that_nobody_vouches_for_is_refused(&self) {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let stranger = params.self_signed(&key).expect("a key can sign its own certificate");
        let ca = self.follower.folder("stranger.pem");
        fs::write(&ca, stranger.pem()).expect("a file can be written");

        let deceived = Access { ca, ..self.access.clone() };
        let said = self.follower.fails(&deceived, &["clone", &self.url, "deceived"]);
        let said = said.to_lowercase();
        assert!(said.contains("certificat"), "{said}");
    }

    pub(crate) fn a_wrong_token_is_refused(&self) {
        self.without_access(&Access { token: "wrong".to_owned(), ..self.access.clone() });
    }

    pub(crate) fn a_revoked_client_is_refused_at_once(&self) {
        let revoke = format!("/clients/{}/revoke", self.client.id());
        self.fleet.operator().send("POST", &revoke, Some(&json!({"reason": "stolen"}))).expect(200);
        self.without_access(&self.access);
    }

    /// Refused whatever it asks for; what was fetched before stays.
    fn without_access(&self, access: &Access) {
        let newest = self.head("first");
        self.follower.is_refused(access, &["clone", &self.url, "refused"]);
        self.follower.is_refused(access, &["fetch", "first"]);
        assert_eq!(self.head("first"), newest);
    }

    /// Orders the deployment, or an update of it, and waits until it is published.
    fn order(&mut self, greeting: &str) {
        let operator = self.fleet.operator();
        let parameters = json!({"greeting": greeting});
        if let Some(deployment) = &self.deployment {
            let order = json!({"parameters": parameters});
            operator.send("PATCH", &format!("/deployments/{deployment}"), Some(&order)).expect(200);
        } else {
            let client = self.client.id();
            self.deployment = Some(operator.deploy("com-gantry-hello", client, &parameters));
        }
        self.revision += 1;
        operator.revision_reached(self.client.id(), self.revision);
    }

    /// Panics unless a clone is sound and its objects and working tree are what the server has.
    fn is_current(&self, clone: &str) {
        let manifest = self.client.get(&self.client.path("/deployments"), &[]).expect(200);
        assert_eq!(manifest.json()["manifestVersion"], self.revision);
        let read = self.follower.run(&self.access, &["cat", clone, "manifest.json"]);
        assert!(read == manifest.body, "{clone}: the manifest differs from what HTTP gives");

        self.has(clone, "manifest.json", &manifest.body);
        for listed in manifest.json()["deployments"].as_array().expect("a list of deployments") {
            let text = |key: &str| listed[key].as_str().expect("is text");
            let document = self.client.get(text("url"), &[]).expect(200);
            self.has(clone, &format!("deployments/{}.yaml", text("deploymentId")), &document.body);
        }
        let fsck = ["fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
        assert_eq!(self.git(clone, &fsck), "");
        // What the branch has is what lies in the working tree.
        assert_eq!(self.git(clone, &["status", "--porcelain"]), "");
        assert_eq!(self.git(clone, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    }

    fn has(&self, clone: &str, path: &str, bytes: &[u8]) {
        let file = fs::read(self.follower.folder(clone).join(path)).ok();
        assert!(file.as_deref() == Some(bytes), "{clone}: {path} differs from what HTTP gives");
    }

    fn head(&self, clone: &str) -> String {
        self.git(clone, &["rev-parse", "HEAD"])
    }

    fn commits(&self, clone: &str) -> u64 {
        let count = self.git(clone, &["rev-list", "--count", "--all"]);
        count.parse().expect("git prints a number")
    }

    /// All that `git` says, errors too.
    fn git(&self, clone: &str, arguments: &[&str]) -> String {
        let output = self.follower.git(clone, arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat());
        let said = said.expect("git prints text").trim_end().to_owned();
        assert!(output.status.success(), "{clone}: git {arguments:?}: {said}");
        said
    }
}
