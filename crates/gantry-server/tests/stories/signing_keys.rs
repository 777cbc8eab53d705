//! Commits are signed, anybody's Git can check them, and the key can be replaced.

use std::fs;

use serde_json::Value;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;

use crate::real_git::Git;
use crate::support::{fleet_with_deployment, greet};

/// Lets a clone check signatures by what the server serves.
fn trust(fleet: &TestFleet, git: &Git) {
    let lines = fleet.http().send("GET", "/git/allowed_signers", &[], None).expect(200);
    assert_eq!(lines.header("content-type"), Some("text/plain"));
    fs::write(git.home.path().join("allowed_signers"), &lines.body).expect("a writable folder");
    let file = git.home.path().join("allowed_signers");
    git.in_checkout(&["config", "gpg.ssh.allowedSignersFile", &file.to_string_lossy()]);
}

/// For each commit, the newest first: whether its signature is good, and by which key.
fn signatures(git: &Git) -> Vec<(String, String)> {
    let lines = git.in_checkout(&["log", "--format=%G? %GF"]);
    let pairs = lines.lines().map(|line| line.split_once(' ').expect("two words"));
    pairs.map(|(good, key)| (good.to_owned(), key.to_owned())).collect()
}

fn keys(fleet: &TestFleet) -> Vec<String> {
    let keys = fleet.operator().get("/signing-keys");
    let keys = keys["items"].as_array().expect("a list of keys").clone();
    keys.iter().map(|it| it["publicKey"].as_str().expect("a key is text").to_owned()).collect()
}

fn signers(client: &TestClient) -> Value {
    client.get(&client.path("/repository"), &[]).expect(200).json()["signers"].clone()
}

#[test]
fn every_commit_has_a_signature_that_git_finds_good() {
    let (fleet, press, _) = fleet_with_deployment();
    let git = Git::of(&fleet, &press);
    git.clone(&[]);
    trust(&fleet, &git);
    let signatures = signatures(&git);
    assert_eq!(signatures.len(), 2);
    assert!(signatures.iter().all(|(good, _)| good == "G"), "{signatures:?}");
    let shown = git.in_checkout(&["log", "--show-signature", "-1"]);
    assert!(shown.contains("Good \"git\" signature for gantry@gantry.invalid"), "{shown}");

    let [key] = keys(&fleet).try_into().expect("one key");
    assert_eq!(signers(&press), Value::from(vec![key.clone()]));
    assert!(fleet.log().contains(&key), "the server prints whom to trust");
}

#[test]
fn a_new_key_is_introduced_before_it_signs_and_old_commits_stay_good() {
    let (fleet, press, deployment) = fleet_with_deployment();
    fleet.operator().send("POST", "/signing-keys", None).expect(200);
    let both = keys(&fleet);
    assert_eq!(both.len(), 2);
    assert_eq!(signers(&press), Value::from(both.clone()));
    for (greeting, revision) in [("Moin", 3), ("Servus", 4), ("Salut", 5)] {
        greet(&fleet, &deployment, greeting, "a new key");
        fleet.operator().revision_reached(press.id(), revision);
    }
    let git = Git::of(&fleet, &press);
    git.clone(&[]);
    trust(&fleet, &git);
    let signatures = signatures(&git);
    assert!(signatures.iter().all(|(good, _)| good == "G"), "{signatures:?}");
    let by = |place: usize| signatures[place].1.clone();
    assert_eq!((by(0), by(2)), (by(1), by(3)));
    assert_ne!(by(1), by(2), "the new key signs the second commit after it was made");
    let introducing = git.in_checkout(&["log", "-1", "--format=%B", "HEAD~2"]);
    assert!(
        introducing.contains(&format!("Gantry-Introduces-Signer: {}", both[1])),
        "{introducing}"
    );
    assert_eq!(signers(&press), Value::from(vec![both[1].clone()]), "the former key is done with");
}

#[test]
fn a_key_outlives_a_restart_and_the_private_half_is_never_shown() {
    let (mut fleet, press, _) = fleet_with_deployment();
    let before = (keys(&fleet), signers(&press));
    fleet.kill();
    fleet.start_server();
    assert_eq!((keys(&fleet), signers(&press)), before);
    let answer = fleet.operator().send("POST", "/signing-keys", None).expect(200).text();
    assert!(!answer.contains("PRIVATE") && !fleet.log().contains("PRIVATE"), "{answer}");
}
