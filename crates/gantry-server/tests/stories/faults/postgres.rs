//! PostgreSQL is away, killed, silent or without room, whatever other tests run on.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use testkit::disk::SmallDisk;
use testkit::fleet::TestFleet;
use testkit::operator::Operator;
use testkit::postgres::Postgres;
use testkit::relay::Relay;
use testkit::wait;

use super::{refused_for_now, versions};
use crate::support::{
    add_web, fleet_with_deployment_on, greet, manifest, package_with_noise, seen,
};

fn is_ready(fleet: &TestFleet) -> bool {
    fleet.http().send("GET", "/readyz", &[], None).status == 200
}

// margo(RT-1)
#[test]
fn while_postgresql_is_away_all_is_refused_for_now_and_goes_on_when_it_is_back() {
    let postgres = Postgres::start();
    let (fleet, press, deployment) =
        fleet_with_deployment_on(TestFleet::start_on(postgres.database()));
    let before = manifest(&press);
    let report = || press.report(&deployment, "installed", &[("web", "installed")]);
    let order = |greeting: &str| {
        let update = json!({"parameters": {"greeting": greeting}});
        fleet.operator().send("PATCH", &format!("/deployments/{deployment}"), Some(&update))
    };

    for (turn, take_away) in [Postgres::stop, Postgres::kill].into_iter().enumerate() {
        take_away(&postgres);
        wait::until("the server to know", || (!is_ready(&fleet)).then_some(()));
        fleet.http().send("GET", "/healthz", &[], None).expect(200);
        refused_for_now(report(), "the database does not answer");
        refused_for_now(order("Moin"), "the database does not answer");
        let poll = press.get(&press.path("/deployments"), &[]);
        refused_for_now(poll, "the database does not answer");

        postgres.start_again();
        wait::until("the server to have it back", || is_ready(&fleet).then_some(()));
        assert_eq!(seen(&fleet, &deployment), "ordered", "nothing of it was kept");
        assert_eq!(manifest(&press), before);
        assert_eq!(versions(&fleet), ["1.0.0"], "{turn}");
    }
    report().expect(201);
    order("Moin").expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    let log = fleet.log();
    assert!(log.contains("is PostgreSQL running and reached"), "{log}");
    assert!(log.contains("reason=\"database_away\""), "{log}");
}

#[test]
fn a_database_that_says_nothing_more_holds_nobody_up_for_long() {
    let postgres = Postgres::start();
    let relay = Relay::start(postgres.port());
    let database = postgres.database().through(relay.port());
    let (fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on(database));

    relay.hold_after(0);
    wait::until("what PostgreSQL says to be held", || relay.is_held().then_some(()));
    let report = || press.report(&deployment, "installed", &[("web", "installed")]);
    let answer = report();
    assert_eq!(answer.status, 503, "{}", answer.text());
    relay.cut();
    wait::until("the server to have it back", || is_ready(&fleet).then_some(()));
    wait::until("a report to be taken", || {
        let answer = report();
        assert!([200, 201, 503].contains(&answer.status), "{}", answer.text());
        (answer.status != 503).then_some(())
    });
    assert_eq!(seen(&fleet, &deployment), "installed");
}

#[test]
fn a_database_without_room_is_told_and_goes_on_when_there_is_some() {
    let folder = tempfile::tempdir().expect("a place for a disk");
    let disk = SmallDisk::mount(folder.path().join("disk"), "160m");
    let postgres = Postgres::start_on(&disk);
    let fleet = TestFleet::start_on(postgres.database());
    let press = fleet.accepted_client("press-7");
    fleet.operator().revision_reached(press.id(), 1);
    add_web(&fleet);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);

    disk.fill();
    let package = package_with_noise("1.0.1", 8 << 20);
    let answer = fleet.operator().add_application(&package);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    disk.make_room();
    // It ends where it cannot even write what it is about to do.
    postgres.start_again_if_it_ended();
    wait::until("the server to have it back", || is_ready(&fleet).then_some(()));
    assert_eq!(versions(&fleet), ["1.0.0"], "nothing of it was kept");
    fleet.operator().add_application(&package).expect(201);
    greet(&fleet, &deployment, "Moin", "there is room");
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(manifest(&press)["manifestVersion"], 3);
}

#[test]
fn a_server_that_is_frozen_stops_no_other_and_tells_nothing_stale_when_it_goes_on() {
    let postgres = Postgres::start();
    let (first, mut press, deployment) =
        fleet_with_deployment_on(TestFleet::start_on(postgres.database()));
    let second = first.replica();
    let path = format!("/deployments/{deployment}");
    let update = |greeting: &str| json!({"parameters": {"greeting": greeting}});
    for turn in 0..4_u32 {
        press.go_through(first.http());
        manifest(&press);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Frozen at whatever it is doing with the database.
            let ordering = scope.spawn(|| {
                let operator = first.operator();
                while !is_over.load(Ordering::Relaxed) {
                    let answer = operator.send("PATCH", &path, Some(&update(&format!("a{turn}"))));
                    if answer.status != 200 {
                        return answer.status;
                    }
                }
                200
            });
            wait::until("the first order", || {
                let seen = seen_greeting(&second.operator(), &path);
                (seen == format!("a{turn}")).then_some(())
            });
            first.server().freeze();
            is_over.store(true, Ordering::Relaxed);
            let operator = second.operator();
            operator.send("PATCH", &path, Some(&update(&format!("b{turn}")))).expect(200);
            press.go_through(second.http());
            let newest = wait::until("the other server to publish it", || {
                let listed = manifest(&press);
                let url = listed["deployments"][0]["url"].as_str().expect("a URL").to_owned();
                let document = press.get(&url, &[]).expect(200).text();
                document.contains(&format!("b{turn}")).then(|| listed["manifestVersion"].as_u64())
            });
            first.server().thaw();
            press.go_through(first.http());
            let told = manifest(&press)["manifestVersion"].as_u64();
            assert!(told >= newest, "{told:?} is older than {newest:?}");
            let status = ordering.join().expect("asking does not panic");
            assert!([200, 409, 503].contains(&status), "{status}");
        });
    }
}

fn seen_greeting(operator: &Operator, path: &str) -> String {
    operator.get(path)["parameters"]["greeting"].as_str().unwrap_or_default().to_owned()
}
