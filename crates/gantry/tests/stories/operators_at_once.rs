//! An operator who is a moment too late is told what somebody else has ordered, and what to do.

use serde_json::{Value, json};
use testkit::certificates::{ALWAYS, Authority};
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::meddler::{Meddler, Part};
use testkit::operator::Operator;

use crate::support::{HELLO, Told, assert_has, gantry, good, hello, published};

/// A fleet manager with a deployment of the example, and what lets others be quicker.
struct Scene {
    meddler: Meddler,
    fleet: TestFleet,
    deployment: String,
    client: String,
}

impl Scene {
    fn start() -> Self {
        let mut fleet = TestFleet::start();
        let (port, behind) = fleet.move_behind();
        let tls = Authority::of_fleet(&fleet.dir().join("data")).server("localhost", ALWAYS);
        let behind = Http::new(&format!("https://localhost:{behind}"), &fleet.ca());
        let meddler = Meddler::start(port, tls, Some(behind));
        fleet.start_server();
        let press = fleet.accepted_client("press-7");
        good(&fleet, &["application", "add", hello()]);
        good(&fleet, &["deploy", HELLO, "--to", "press-7", "--set", "greeting=Hello"]);
        let deployment = published(&fleet, 2);
        Self { meddler, deployment, client: press.id().to_owned(), fleet }
    }

    /// Right before the next request with this method to this path, somebody else gives an order.
    fn before(&self, method: &'static str, path: &str, order: (&'static str, &str, Option<Value>)) {
        let bob = json!({"name": "bob", "role": "operator"});
        let bob = self.fleet.operator().send("POST", "/operators", Some(&bob)).expect(201).json();
        let token = bob["token"].as_str().expect("a token is text").to_owned();
        let bob = Operator::new(self.fleet.http(), token);
        let (path, (verb, place, body)) = (path.to_owned(), order);
        let place = place.to_owned();
        self.meddler.play(move |asked| {
            let is_meant = asked.method == method && asked.path.contains(&path);
            let is_dry = asked.body.windows(13).any(|it| it == b"\"dryRun\":true");
            // What the other one asks comes by here as well.
            if is_meant && !is_dry && asked.header("authorization") != Some(&bearer(&bob)) {
                bob.send(verb, &place, body.as_ref()).expect(200);
            }
            Part::Honest
        });
    }

    fn gantry(&self, arguments: &[&str]) -> Told {
        gantry(&self.fleet, arguments)
    }
}

fn bearer(operator: &Operator) -> String {
    format!("Bearer {}", operator.token())
}

const ADVICE: &str = "Look at what is ordered now, as `gantry deployment show` tells; give the order again if \
                      it is still right.\n";

#[test]
fn an_update_does_not_overwrite_what_it_has_not_seen() {
    let scene = Scene::start();
    let place = format!("/deployments/{}", scene.deployment);
    let body = json!({"parameters": {"greeting": "Moin"}, "reason": "night shift"});
    scene.before("PATCH", &place, ("PATCH", &place, Some(body)));
    let told = scene.gantry(&["deployment", "update", HELLO, "--set", "greeting=Servus"]);
    let told = told.ends(5);
    assert_eq!(told.stdout, "");
    assert_has(
        &told.stderr,
        &[
            "gantry: something else was ordered meanwhile; this order changes nothing\n  ",
            &format!(
                " bob changed {HELLO} ({HELLO} 1.0.0): night shift\n    greeting: Hello -> Moin\n"
            ),
            ADVICE,
        ],
    );
    let shown = scene.fleet.operator().get(&place);
    assert_eq!(shown["parameters"]["greeting"], "Moin");

    scene.meddler.play(|_| Part::Honest);
    let told = scene.gantry(&["deployment", "update", HELLO, "--set", "greeting=Servus"]);
    told.ends(0);
    assert_eq!(scene.fleet.operator().get(&place)["parameters"]["greeting"], "Servus");
}

#[test]
fn a_withdrawal_of_what_was_changed_meanwhile_is_refused() {
    let scene = Scene::start();
    let place = format!("/deployments/{}", scene.deployment);
    let body = json!({"parameters": {"port": 18_081}});
    scene.before("DELETE", &place, ("PATCH", &place, Some(body)));
    let remove = ["deployment", "remove", HELLO, "--reason", "not needed"];
    let told = scene.gantry(&remove).ends(5);
    let why = "gantry: something else was ordered meanwhile; it is not withdrawn\n";
    assert_has(&told.stderr, &[why, "    port: (not set) -> 18081\n", ADVICE]);
    assert_eq!(scene.fleet.operator().get(&place)["wanted"], true);
}

#[test]
fn an_update_of_what_was_withdrawn_meanwhile_names_who_did_it() {
    let scene = Scene::start();
    let place = format!("/deployments/{}", scene.deployment);
    scene.before("PATCH", &place, ("DELETE", &place, None));
    let told = scene.gantry(&["deployment", "update", HELLO, "--set", "greeting=Servus"]).ends(5);
    assert_has(&told.stderr, &[&format!(" bob withdrew {HELLO}\n"), ADVICE]);
}

#[test]
fn a_rollback_changes_what_it_has_shown_or_nothing() {
    let scene = Scene::start();
    good(&scene.fleet, &["deployment", "update", HELLO, "--set", "greeting=Moin"]);
    scene.fleet.operator().revision_reached(&scene.client, 3);
    let place = format!("/deployments/{}", scene.deployment);
    let body = json!({"parameters": {"greeting": "Tach"}});
    scene.before("POST", "/rollback", ("PATCH", &place, Some(body)));
    let rollback =
        ["desired-state", "rollback", "press-7", "--to", "2", "--reason", "why", "--yes"];
    let told = scene.gantry(&rollback).ends(5);
    assert_has(&told.stdout, &["greeting: \"Moin\" -> \"Hello\""]);
    let why = "gantry: something else was ordered meanwhile; nothing is rolled back\n";
    assert_has(&told.stderr, &[why, "    greeting: Moin -> Tach\n", ADVICE]);
    assert_eq!(scene.fleet.operator().get(&place)["parameters"]["greeting"], "Tach");
}

#[test]
fn who_deploys_what_is_there_is_told_who_has_ordered_it() {
    let scene = Scene::start();
    let deploy = ["deploy", HELLO, "--to", "press-7", "--set", "greeting=Moin", "--name", "mine"];
    let told = scene.gantry(&deploy).ends(5);
    assert_has(
        &told.stderr,
        &[
            "the application is on this device already, as deployment ",
            "; update that one\n",
            &format!(" admin ordered {HELLO} ({HELLO} 1.0.0)\n    greeting: (not set) -> Hello\n"),
        ],
    );
}
