//! The file is held by another program, or its disk is full.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::wait;
use tokio::runtime::Runtime;

use super::{refused_for_now, versions};
use crate::support::{
    add_web, fleet_with_deployment_on, greet, manifest, package_with_noise, seen,
};

/// Another program that holds the database, until it lets go.
struct Holder {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Holder {
    fn take(database: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime can be made");
        let connection = runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(database);
            let mut connection = options.connect().await.expect("the database is there");
            connection.execute("BEGIN EXCLUSIVE").await.expect("nobody writes for long");
            connection
        });
        Self { runtime, connection }
    }

    fn let_go(self) {
        self.runtime.block_on(self.connection.close()).expect("a connection can be closed");
    }
}

// margo(RT-1)
#[test]
fn while_another_program_holds_the_database_reads_go_on_and_writes_are_refused_for_now() {
    let (fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    let before = manifest(&press);
    let holder = Holder::take(&fleet.database_file());

    let update = json!({"parameters": {"greeting": "Moin"}});
    let path = format!("/deployments/{deployment}");
    // Both at a time: each waits for its turn.
    std::thread::scope(|scope| {
        let report =
            scope.spawn(|| press.report(&deployment, "installed", &[("web", "installed")]));
        let order = scope.spawn(|| fleet.operator().send("PATCH", &path, Some(&update)));
        assert_eq!(manifest(&press), before, "what is only read is answered meanwhile");
        fleet.http().send("GET", "/healthz", &[], None).expect(200);
        fleet.http().send("GET", "/readyz", &[], None).expect(200);
        for answer in [report, order] {
            let answer = answer.join().expect("asking does not panic");
            refused_for_now(answer, "the database is busy");
        }
    });
    let log = fleet.log();
    assert!(log.contains("no other program may hold the database"), "{log}");
    assert!(log.contains("reason=\"database_busy\""), "{log}");
    holder.let_go();

    assert_eq!(seen(&fleet, &deployment), "ordered", "nothing of it was kept");
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    fleet.operator().send("PATCH", &path, Some(&update)).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    assert_ne!(manifest(&press), before);
}

#[test]
fn what_was_ordered_before_the_database_was_held_is_published_when_it_is_let_go() {
    let (fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    let (operator, path) = (fleet.operator(), format!("/deployments/{deployment}"));
    let ordered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Orders without a pause, so that one is acknowledged right before the database is held.
        let ordering = scope.spawn(|| {
            loop {
                let greeting = format!("Hello {}", ordered.load(Ordering::Relaxed) + 1);
                let update = json!({"parameters": {"greeting": greeting}});
                let answer = operator.send("PATCH", &path, Some(&update));
                if answer.status != 200 {
                    return answer;
                }
                ordered.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait::until("the first order", || (ordered.load(Ordering::Relaxed) > 3).then_some(()));
        let holder = Holder::take(&fleet.database_file());
        refused_for_now(ordering.join().expect("asking does not panic"), "the database is busy");
        holder.let_go();
    });
    let greeting = format!("Hello {}", ordered.into_inner());
    assert_eq!(operator.get(&path)["parameters"]["greeting"], greeting.as_str());
    wait::until("the last order to be published", || {
        let listed = manifest(&press);
        let url = listed["deployments"][0]["url"].as_str().expect("a URL is text");
        press.get(url, &[]).expect(200).text().contains(&greeting).then_some(())
    });
}

/// Describes the device again and again, until the server has no room left for it. Gives what it took last.
fn describe_until_refused(press: &TestClient) -> (Value, Answer) {
    let mut taken = press.capabilities();
    for turn in 0..2_000 {
        let mut capabilities = press.capabilities();
        capabilities["properties"]["serialNumber"] = json!(format!("{turn:040000}"));
        let answer = press.put(&press.path("/capabilities"), &capabilities);
        if answer.status != 201 {
            return (taken, answer);
        }
        taken = capabilities;
    }
    panic!("the disk is never full");
}

#[test]
fn a_full_disk_is_told_keeps_what_is_there_and_is_left_behind_by_itself() {
    let mut fleet = TestFleet::start_on_small_disk("24m");
    let press = fleet.accepted_client("press-7");
    fleet.operator().revision_reached(press.id(), 1);
    add_web(&fleet);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);
    let before = manifest(&press);

    fleet.disk().fill();
    let package = package_with_noise("1.0.1", 2 << 20);
    refused_for_now(fleet.operator().add_application(&package), "no room left");
    let (taken, answer) = describe_until_refused(&press);
    refused_for_now(answer, "no room left");
    // What is there can be read, and it is whole.
    assert_eq!(versions(&fleet), ["1.0.0"]);
    assert_eq!(manifest(&press), before);
    let client = format!("/clients/{}", press.id());
    assert_eq!(fleet.operator().get(&client)["devices"][0]["capabilities"], taken);
    fleet.http().send("GET", "/readyz", &[], None).expect(200);
    let log = fleet.log();
    assert!(log.contains("make room on the disk of the database"), "{log}");
    assert!(log.contains("reason=\"disk_full\""), "{log}");

    fleet.disk().make_room();
    press.report_capabilities().expect(201);
    fleet.operator().add_application(&package).expect(201);
    greet(&fleet, &deployment, "Moin", "there is room");
    fleet.operator().revision_reached(press.id(), 3);

    fleet.kill();
    fleet.start_server();
    let mut known = versions(&fleet);
    known.sort();
    assert_eq!(known, ["1.0.0", "1.0.1"]);
    assert_eq!(manifest(&press)["manifestVersion"], 3);
}
