//! A backup is taken of a running server and put back later, here or on another machine. Clients that have
//! seen more than is in it converge by themselves, and none ever sees a version go back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use testkit::client::{TestClient, now};
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::postgres::Postgres;
use testkit::programs;

use crate::real_git::Git;
use crate::support::{fleet_with_deployment_on, greet, manifest, metric, seen, sha256};

fn server(fleet: &TestFleet, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::path("gantry-server"));
    command.args(arguments).arg("--config").arg(fleet.dir().join("server.toml"));
    command
}

/// Takes a backup of the running server.
fn back_up(fleet: &TestFleet) -> PathBuf {
    let file = fleet.dir().join("fleet.backup");
    let text = file.to_string_lossy().into_owned();
    programs::stdout_of(&mut server(fleet, &["backup", "--force", &text]));
    file
}

/// Stops the server, restores, and starts it again; what the restore says.
fn restore(fleet: &mut TestFleet, backup: &Path) -> String {
    assert_eq!(fleet.stop(), Some(0));
    let said = programs::stdout_of(&mut server(fleet, &["restore", &backup.to_string_lossy()]));
    fleet.start_server();
    said
}

/// Puts the database of a backup back as the tools of a database do, which raise no version.
fn put_database_back(fleet: &mut TestFleet, backup: &Path) {
    assert_eq!(fleet.stop(), Some(0));
    let data = fleet.dir().join("data");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&data).arg("-xf").arg(backup).arg("gantry.db");
    programs::stdout_of(&mut tar);
    fleet.start_server();
}

fn stderr(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks for the desired state as a client that has a manifest with this tag.
fn poll(client: &TestClient, etag: &str) -> Answer {
    client.get(&client.path("/deployments"), &[("if-none-match", etag)])
}

/// What a client of ours says that has taken up this revision.
fn running(revision: u64) -> String {
    let next = now() + 60;
    format!("next={next}, by={}, revision={revision}, undelivered=0", next + 60)
}

fn version(manifest: &Value) -> u64 {
    manifest["manifestVersion"].as_u64().expect("a version is a number")
}

/// A fleet with a deployment that was backed up at version 2, and a client that has seen version 4: the
/// backup, the manifest that is in it, and the tag of the one that the client has.
struct Lost {
    fleet: TestFleet,
    press: TestClient,
    deployment: String,
    backup: PathBuf,
    backed_up: Value,
    etag: String,
}

impl Lost {
    fn start() -> Self {
        let (fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
        let backed_up = manifest(&press);
        assert_eq!(version(&backed_up), 2);
        let backup = back_up(&fleet);
        for (revision, greeting) in [(3, "Moin"), (4, "Servus")] {
            greet(&fleet, &deployment, greeting, "after the backup");
            fleet.operator().revision_reached(press.id(), revision);
        }
        let newest = press.get(&press.path("/deployments"), &[]).expect(200);
        assert_eq!(version(&newest.json()), 4);
        let etag = newest.header("etag").expect("a manifest has a tag").to_owned();
        Self { fleet, press, deployment, backup, backed_up, etag }
    }

    fn poll(&self) -> Answer {
        poll(&self.press, &self.etag)
    }

    /// The manifest has the content of the backup.
    fn assert_backed_up(&self, manifest: &Value) {
        for field in ["deployments", "bundle"] {
            assert_eq!(manifest[field], self.backed_up[field]);
        }
    }
}

#[test]
fn a_backup_of_a_running_server_is_private_and_says_what_is_in_it() {
    let (fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    let file = fleet.dir().join("fleet.backup");
    let text = file.to_string_lossy().into_owned();
    let said = programs::stdout_of(&mut server(&fleet, &["backup", &text]));
    let bytes = fs::read(&file).expect("it was written");
    let digest = sha256(&bytes);
    for expected in [
        "clients   1\n",
        "revisions 2\n",
        &format!("bytes     {}\n", bytes.len()),
        &format!("sha256    {}\n", digest.trim_start_matches("sha256:")),
        "The file holds secrets",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let refused = stderr(&programs::run(&mut server(&fleet, &["backup", &text])));
    assert!(refused.contains("is there already") && refused.contains("--force"), "{refused}");
    assert_eq!(fs::read(&file).expect("it is as it was"), bytes);
    greet(&fleet, &deployment, "Moin", "the server goes on");
    fleet.operator().revision_reached(press.id(), 3);
    let said = programs::stdout_of(&mut server(&fleet, &["backup", &text, "--force"]));
    assert!(said.contains("revisions 3\n"), "{said}");

    let names = fs::read_dir(fleet.dir()).expect("readable").map(|it| it.expect("readable"));
    let left: Vec<_> =
        names.filter(|it| it.path().extension().is_some_and(|it| it == "new")).collect();
    assert!(left.is_empty(), "{left:?}");
    let nowhere = fleet.dir().join("nowhere/fleet.backup");
    let refused = programs::run(&mut server(&fleet, &["backup", &nowhere.to_string_lossy()]));
    assert!(stderr(&refused).contains("nowhere"), "{refused:?}");
}

#[test]
fn after_a_restore_every_client_gets_the_backed_up_state_above_all_that_it_has_seen() {
    let mut lost = Lost::start();
    let said = restore(&mut lost.fleet, &lost.backup);
    assert!(said.contains("The desired state of 1 clients was raised"), "{said}");
    let answer = lost.poll().expect(200);
    let restored = answer.json();
    assert!(version(&restored) > 4, "{restored}");
    lost.assert_backed_up(&restored);
    let etag = answer.header("etag").expect("a manifest has a tag");
    poll(&lost.press, etag).expect(304);

    // Life goes on from there.
    greet(&lost.fleet, &lost.deployment, "Hola", "after the restore");
    lost.fleet.operator().revision_reached(lost.press.id(), version(&restored) + 1);
    assert_eq!(version(&manifest(&lost.press)), version(&restored) + 1);

    // The same backup again, of which no client has seen anything since.
    restore(&mut lost.fleet, &lost.backup);
    let again = manifest(&lost.press);
    assert!(version(&again) > version(&restored) + 1, "{again}");
    lost.assert_backed_up(&again);

    // What was there before is kept, as a whole data directory.
    let entries = fs::read_dir(lost.fleet.dir().join("data")).expect("readable");
    let names = entries.map(|it| it.expect("readable").file_name().to_string_lossy().into_owned());
    let aside: Vec<String> = names.filter(|it| it.starts_with("before-restore-")).collect();
    assert!(!aside.is_empty());
    for name in aside {
        for file in ["gantry.db", "ca.pem", "ca.key"] {
            let kept = lost.fleet.dir().join("data").join(&name).join(file);
            assert!(kept.is_file(), "{}", kept.display());
        }
    }
}

#[test]
fn what_a_client_says_it_has_seen_raises_its_version_at_once() {
    let mut lost = Lost::start();
    put_database_back(&mut lost.fleet, &lost.backup);
    let announced = lost.press.announce(&running(4)).expect(200).json();
    assert_eq!(version(&announced), 6);
    lost.assert_backed_up(&announced);
    assert_eq!(metric(&lost.fleet, "gantry_recoveries_total"), 1);
    // Saying so again is nothing new.
    assert_eq!(version(&lost.press.announce(&running(6)).expect(200).json()), 6);
    assert_eq!(version(&lost.press.announce(&running(4)).expect(200).json()), 6);

    // With a report, too, which is about what was lost.
    put_database_back(&mut lost.fleet, &lost.backup);
    let path = lost.press.path(&format!("/deployments/{}/status", lost.deployment));
    let status = json!({
        "apiVersion": "deployment.margo.org/v1alpha1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": lost.deployment,
        "status": {"state": "installed"},
        "components": [{"name": "web", "state": "installed"}],
    });
    let report = |adopted| {
        let headers =
            [("content-type", "application/json"), ("gantry-adopted-manifest-version", adopted)];
        let body = Some(status.to_string().into_bytes());
        lost.press.send(&lost.press.signed("POST", &path, body, &headers))
    };
    report("5").expect(201);
    let told = manifest(&lost.press);
    assert_eq!(version(&told), 7);
    lost.assert_backed_up(&told);
    assert_ne!(seen(&lost.fleet, &lost.deployment), "installed");
    report("4").expect(200);
    assert_ne!(seen(&lost.fleet, &lost.deployment), "installed");
    report("7").expect(200);
    assert_eq!(seen(&lost.fleet, &lost.deployment), "installed");
}

#[test]
fn a_manifest_that_is_not_known_is_a_sign_of_a_loss_and_no_more_than_once_a_day() {
    let mut lost = Lost::start();
    // An older one that is known says nothing.
    let known = lost.backed_up.clone();
    put_database_back(&mut lost.fleet, &lost.backup);
    assert_eq!(manifest(&lost.press), known);
    let told = lost.poll().expect(200).json();
    assert!(version(&told) > 1 << 40, "{told}");
    lost.assert_backed_up(&told);
    assert_eq!(lost.poll().expect(200).json(), told, "a client cannot ask for more and more");
    assert_eq!(poll(&lost.press, "\"7\"").expect(200).json(), told, "no digest, no sign");
    assert_eq!(metric(&lost.fleet, "gantry_recoveries_total"), 1);
}

#[test]
fn a_client_raises_nobody_elses_versions_and_its_own_no_further_than_can_be_true() {
    let fleet = TestFleet::start_on_sqlite();
    let press = fleet.accepted_client("press-7");
    let lathe = fleet.accepted_client("lathe-2");
    for client in [&press, &lathe] {
        fleet.operator().revision_reached(client.id(), 1);
    }
    for nonsense in [i64::MAX as u64, 1 << 53, 999_999_999_999_999] {
        assert_eq!(version(&press.announce(&running(nonsense)).expect(200).json()), 1);
    }
    // The last one is the largest that a header can hold.
    assert_eq!(metric(&fleet, "gantry_incredible_versions_total"), 1);
    assert_eq!(version(&press.announce(&running(1 << 20)).expect(200).json()), (1 << 20) + 2);
    assert_eq!(version(&manifest(&lathe)), 1);
}

#[test]
fn a_clone_of_the_real_git_follows_a_history_with_a_gap() {
    let mut lost = Lost::start();
    restore(&mut lost.fleet, &lost.backup);
    let restored = version(&manifest(&lost.press));
    greet(&lost.fleet, &lost.deployment, "Hola", "after the restore");
    lost.fleet.operator().revision_reached(lost.press.id(), restored + 1);
    let git = Git::of(&lost.fleet, &lost.press);
    let run = |arguments: &[&str]| programs::stdout_of(&mut git.command(arguments));
    // Four commits: 1, 2, the restored one, and the newest.
    for (depth, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (9, 4)] {
        let folder = format!("depth-{depth}");
        run(&["clone", "-q", "--depth", &depth.to_string(), &git.url, &folder]);
        let count = run(&["-C", &folder, "rev-list", "--count", "HEAD"]);
        assert_eq!(count.trim(), expected.to_string(), "depth {depth}");
        run(&["-C", &folder, "fsck", "--strict"]);
        run(&["-C", &folder, "fetch", "-q", "--deepen", "1"]);
        let count = run(&["-C", &folder, "rev-list", "--count", "HEAD"]);
        assert_eq!(count.trim(), (expected + 1).min(4).to_string(), "one deeper than {depth}");
        run(&["-C", &folder, "fsck", "--strict"]);
    }
    let message = run(&["-C", "depth-9", "log", "-1", "--format=%B", "HEAD^"]);
    let trailer = format!("Gantry-Recovers-History: {} {restored}", lost.press.id());
    assert!(message.contains(&trailer), "{message}");
}

#[test]
fn a_backup_brings_the_fleet_back_on_another_machine() {
    let Lost { mut fleet, press, backup, .. } = Lost::start();
    let ca = fs::read(fleet.ca()).expect("readable");
    let token = fs::read(fleet.token_file()).expect("readable");
    fleet.stop();
    fs::remove_dir_all(fleet.dir().join("data")).expect("the machine is gone");
    let said = programs::stdout_of(&mut server(&fleet, &["restore", &backup.to_string_lossy()]));
    assert!(!said.contains("before"), "{said}");
    assert_eq!(fs::read(fleet.ca()).expect("it was in it"), ca);
    for (file, mode) in [("ca.key", 0o600), ("gantry.db", 0o600), ("ca.pem", 0o644)] {
        let metadata = fs::metadata(fleet.dir().join("data").join(file)).expect("it was in it");
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    fleet.start_server();
    // The client goes on with the root that it has pinned, and the operator with the former token.
    assert!(version(&manifest(&press)) > 4);
    fs::write(fleet.token_file(), token).expect("writable");
    assert_eq!(fleet.operator().client_called("press-7"), press.id());
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let Lost { mut fleet, press, backup, .. } = Lost::start();
    let text = backup.to_string_lossy().into_owned();
    let refused = stderr(&programs::run(&mut server(&fleet, &["restore", &text])));
    assert!(refused.contains("while the server is stopped"), "{refused}");
    assert!(refused.contains("another gantry-server uses the data directory"), "{refused}");

    fleet.stop();
    let data = fleet.dir().join("data");
    let names = || {
        let entries = fs::read_dir(&data).expect("readable").map(|it| it.expect("readable"));
        let mut names: Vec<_> = entries.map(|it| it.file_name()).collect();
        names.retain(|it| it != "restore.new");
        names.sort();
        names
    };
    let (before, database) = (names(), fs::read(data.join("gantry.db")).expect("readable"));
    let whole = fs::read(&backup).expect("readable");
    let damaged = fleet.dir().join("damaged.backup");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let not_a_backup = b"-- PostgreSQL database dump".to_vec();
    for (bytes, words) in [
        (flipped, "`gantry.db` in it is damaged"),
        (whole[..whole.len() / 2].to_vec(), "gantry.db"),
        (not_a_backup, "it is no backup of gantry-server"),
    ] {
        fs::write(&damaged, bytes).expect("writable");
        let text = damaged.to_string_lossy().into_owned();
        let refused = stderr(&programs::run(&mut server(&fleet, &["restore", &text])));
        assert!(refused.contains(words) && refused.contains("nothing was changed"), "{refused}");
        assert_eq!(names(), before);
        assert_eq!(fs::read(data.join("gantry.db")).expect("readable"), database);
    }
    fleet.start_server();
    assert_eq!(version(&manifest(&press)), 4);
}

#[test]
fn a_restore_that_is_killed_can_be_run_again() {
    let Lost { mut fleet, press, backup, .. } = Lost::start();
    let text = backup.to_string_lossy().into_owned();
    let mut newest = 4;
    for moment in [0, 20, 40, 80, 120, 200] {
        fleet.stop();
        let mut command = server(&fleet, &["restore", &text]);
        let log = fleet.dir().join("restore.log");
        let restore = programs::Running::start(&mut command, &log);
        // The moments of kills are the one thing here that is not a condition.
        std::thread::park_timeout(std::time::Duration::from_millis(moment));
        restore.kill();
        // Either fleet is served, and each as a whole.
        fleet.start_server();
        let served = version(&manifest(&press));
        assert!(served >= newest, "{served} after {newest}");
        newest = served;
    }
    restore(&mut fleet, &backup);
    assert!(version(&manifest(&press)) > newest);
    let data = fleet.dir().join("data");
    assert!(!data.join("restore.new").exists() && !data.join("restore.ready").exists());
}

#[test]
fn after_postgresql_was_put_back_with_its_own_tools_what_clients_show_raises_their_versions() {
    let fleet = TestFleet::start_on(Postgres::shared().database());
    let (mut fleet, press, deployment) = fleet_with_deployment_on(fleet);
    let backed_up = manifest(&press);
    let refused = programs::run(&mut server(&fleet, &["backup", "/tmp/fleet.backup"]));
    assert!(stderr(&refused).contains("pg_dump"), "{refused:?}");
    let database = fleet.postgres().expect("it has one");
    let dump = programs::stdout_of(database.tool("pg_dump").args(["--clean", "--if-exists"]));
    greet(&fleet, &deployment, "Moin", "after the backup");
    fleet.operator().revision_reached(press.id(), 3);
    let newest = press.get(&press.path("/deployments"), &[]).expect(200);
    let etag = newest.header("etag").expect("a manifest has a tag").to_owned();

    assert_eq!(fleet.stop(), Some(0));
    let file = fleet.dir().join("dump.sql");
    fs::write(&file, dump).expect("there is room");
    let database = fleet.postgres().expect("it has one");
    let mut put_back = database.tool("psql");
    put_back.args(["--quiet", "-v", "ON_ERROR_STOP=1"]);
    programs::stdout_of(put_back.stdin(fs::File::open(&file).expect("it is there")));
    fleet.start_server();
    let answer = press.get(
        &press.path("/deployments"),
        &[("if-none-match", &etag), ("gantry-contact", &running(3))],
    );
    let restored = answer.expect(200).json();
    assert!(version(&restored) > 3, "{restored}");
    assert_eq!(restored["deployments"], backed_up["deployments"]);
}
