//! Several servers share a PostgreSQL database: any of them serves any device and any operator.

use serde_json::json;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::operator::Operator;
use testkit::postgres::Postgres;
use testkit::wait;

use crate::real_git::{basic, repository, text};
use crate::support::{add_web, fleet_with_deployment_on, greet, manifest, metric, seen};

/// Two servers of one database.
fn two_servers() -> (TestFleet, TestFleet) {
    let first = TestFleet::start_on(Postgres::shared().database());
    let second = first.replica();
    (first, second)
}

fn poll(client: &mut TestClient, fleet: &TestFleet) -> u64 {
    client.go_through(fleet.http());
    manifest(client)["manifestVersion"].as_u64().expect("a number")
}

#[test]
fn what_is_done_at_one_server_counts_at_the_other() {
    let (first, second) = two_servers();
    let mut press = first.stranger("press-7");
    press.go_through(first.http());
    press.onboard().expect(403);
    let operator = second.operator();
    operator.approve(&operator.client_called("press-7"));
    press.onboard().expect(201);
    press.go_through(second.http());
    press.report_capabilities().expect(201);
    wait::until("the first revision", || (poll(&mut press, &first) == 1).then_some(()));

    add_web(&first);
    let deployment = second.operator().deploy("com-example-web", press.id(), &json!({}));
    wait::until("the order to be seen at the first", || {
        (poll(&mut press, &first) == 2).then_some(())
    });
    assert_eq!(poll(&mut press, &second), 2);
    // What was polled is known in memory at both now, and changes again.
    greet(&first, &deployment, "Moin", "said at the first");
    wait::until("the change to be seen at the second", || {
        (poll(&mut press, &second) == 3).then_some(())
    });
    press.go_through(first.http());
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    press.go_through(second.http());
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    assert_eq!(seen(&second, &deployment), "installed");
}

// margo(SP-39, SP-62)
#[test]
fn a_signed_request_counts_once_at_all_servers_together() {
    let first = TestFleet::start_on(Postgres::shared().database());
    let (first, mut press, deployment) = fleet_with_deployment_on(first);
    let second = first.replica();
    let request = press.signed_report(&deployment, "installed", &[("web", "installed")]);
    press.go_through(second.http());
    press.send(&request).expect(201);
    press.go_through(first.http());
    let refused = press.send(&request).expect(401);
    assert!(refused.text().contains("sent again"), "{}", refused.text());
}

#[test]
fn tokens_hold_at_all_servers_until_one_takes_them_back() {
    let first = TestFleet::start_on(Postgres::shared().database());
    let (first, mut press, _) = fleet_with_deployment_on(first);
    let second = first.replica();
    let operator = first.operator();
    let answer =
        operator.send("POST", "/operators", Some(&json!({"name": "ada", "role": "viewer"})));
    let token = answer.expect(201).json()["token"].as_str().expect("a token").to_owned();
    let ada = Operator::new(second.http(), token);
    ada.send("GET", "/clients", None).expect(200);
    operator.send("DELETE", "/operators/ada", None).expect(204);
    ada.send("GET", "/clients", None).expect(401);

    press.go_through(first.http());
    let repository = repository(&press);
    let refs = format!("/git/{}.git/info/refs?service=git-upload-pack", press.id());
    let authorization = basic(press.id(), text(&repository, "token"));
    let git = || {
        let headers = [("authorization", authorization.as_str())];
        second.http().send("GET", &refs, &headers, None).status
    };
    assert_eq!(git(), 200);
    let revoke = format!("/clients/{}/revoke", press.id());
    operator.send("POST", &revoke, Some(&json!({"reason": "stolen"}))).expect(200);
    wait::until("the token to be refused at the other server", || (git() != 200).then_some(()));
    press.go_through(second.http());
    wait::until("the client to be refused at the other server", || {
        (press.get(&press.path("/deployments"), &[]).status == 403).then_some(())
    });
}

#[test]
fn a_job_is_done_once_by_whichever_server_comes_first() {
    let (first, second) = two_servers();
    add_web(&first);
    let presses: Vec<TestClient> =
        (0..12).map(|it| first.accepted_client(&format!("press-{it}"))).collect();
    for press in &presses {
        first.operator().revision_reached(press.id(), 1);
    }
    let published = || {
        metric(&first, "gantry_publications_total") + metric(&second, "gantry_publications_total")
    };
    assert_eq!(published(), 12);
    for (press, fleet) in presses.iter().zip([&first, &second].into_iter().cycle()) {
        let operator = fleet.operator();
        let deployment = operator.deploy("com-example-web", press.id(), &json!({}));
        operator.published(&deployment);
    }
    assert_eq!(published(), 24, "each order made one revision");
    for press in &presses {
        assert_eq!(manifest(press)["manifestVersion"], 2);
    }
}
