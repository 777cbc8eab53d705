//! The device and the operators see the same of the contacts between them, and take no silence that was
//! agreed for trouble.

use std::fs;

use serde_json::{Value, json};
use testkit::meddler::{Part, say};
use testkit::{programs, wait};

use crate::scene::Scene;
use crate::support::{PRESS, json};

/// By how much the two may differ that note the same contact at its two ends, in seconds.
const DIFFERENCE: i64 = 15;

/// The contact, as operators see it.
fn contact(scene: &Scene) -> Value {
    json(&scene.gantry(&["client", "show", PRESS, "-o", "json"]))["contact"].clone()
}

fn seconds(time: &Value) -> Option<i64> {
    Some(time.as_str()?.parse::<jiff::Timestamp>().expect("RFC 3339").as_second())
}

fn are_about_the_same(one: &Value, other: &Value) -> bool {
    match (seconds(one), seconds(other)) {
        (Some(one), Some(other)) => one.abs_diff(other) <= DIFFERENCE.unsigned_abs(),
        _ => false,
    }
}

/// Waits until both ends see the same, and this, which is given back.
fn both_see(scene: &Scene, what: &str, this: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("both ends to see {what}"), || {
        let (device, operators) = (scene.status(), contact(scene));
        let agree = are_about_the_same(&device["lastContact"], &operators["lastContact"])
            && are_about_the_same(&device["nextContact"], &operators["nextContact"])
            && device["revision"] == operators["revisionRunning"]
            && device["undelivered"] == operators["undelivered"];
        assert_ne!(operators["standing"], "overdue", "{operators}");
        (agree && this(&operators)).then_some(operators)
    })
}

/// Whether the device has done all that it can do.
fn is_settled(scene: &Scene) -> bool {
    scene.status()["deployments"][0]["state"] == "installed"
}

/// Puts other hours in place of the former ones, and lets the running client take them over.
fn reconfigure(scene: &Scene, from: &str, to: &str) {
    let file = scene.press.configuration();
    let text = fs::read_to_string(&file).expect("readable");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).expect("writable");
    programs::stdout_of(&mut scene.press.command(&["reload"]));
}

#[test]
fn device_and_operators_agree_on_contacts_revision_and_undelivered_reports() {
    let scene = Scene::with("git");
    let is_expected = |it: &Value| it["standing"] == "expected" && it["quiet"].is_null();
    both_see(&scene, "revision 2, and nothing left to tell", |it| {
        is_expected(it) && it["revisionRunning"] == 2 && it["undelivered"] == 0
    });

    // Reports are not taken for a while; all the rest is.
    scene.meddler.play(|asked| match asked.path.ends_with("/status") {
        true => Part::Say(say(503, &[], b"")),
        false => Part::Honest,
    });
    scene.change("Moin");
    both_see(&scene, "revision 3, and reports that are left", |it| {
        is_expected(it) && it["revisionRunning"] == 3 && it["undelivered"].as_u64() > Some(0)
    });
    scene.meddler.play(|_| Part::Honest);
    both_see(&scene, "that all is told", |it| is_expected(it) && it["undelivered"] == 0);

    // A contact that is far away is seen as far away at both ends.
    reconfigure(&scene, "interval = \"1s\"", "interval = \"2h\"");
    let seen = both_see(&scene, "a contact in two hours", |it| {
        let (last, next) = (seconds(&it["lastContact"]), seconds(&it["nextContact"]));
        is_expected(it) && next.zip(last).is_some_and(|(next, last)| next - last > 3600)
    });
    let shown = scene.gantry(&["client", "show", PRESS]);
    let next = seen["nextContact"].as_str().expect("it is known");
    assert!(shown.contains(&format!("expected {next}")), "{shown}");
}

// margo(PO-2)
#[test]
fn a_downtime_of_the_configuration_is_quiet_by_agreement_at_both_ends() {
    let scene = Scene::with("git");
    both_see(&scene, "that all is told", |it| it["undelivered"] == 0 && is_settled(&scene));
    let now = jiff::Timestamp::now();
    let (start, end) =
        (now + jiff::SignedDuration::from_secs(8), now + jiff::SignedDuration::from_hours(3));
    let downtime = format!(
        "[[downtime]]\nreason = \"audit\"\nstart = \"{start:.0}\"\nend = \"{end:.0}\"\n[compose]"
    );
    reconfigure(&scene, "[compose]", &downtime);
    wait::until("the downtime to begin", || {
        scene.status()["quiet"].as_str().filter(|it| it.contains("audit")).map(drop)
    });
    let seen = both_see(&scene, "the downtime", |it| it["quiet"] == "downtime");
    assert_eq!(seen["standing"], "expected");
    assert_eq!(seconds(&seen["nextContact"]), Some(end.as_second()));
    assert_eq!(scene.status()["lastError"], Value::Null);
    let shown = scene.gantry(&["client", "show", PRESS]);
    assert!(shown.contains("quiet as agreed until") && shown.contains("(downtime)"), "{shown}");
    assert_eq!(
        json(&scene.gantry(&["client", "list", "--overdue", "-o", "json"]))["items"],
        json!([])
    );
}

#[test]
fn other_hours_that_begin_at_once_are_known_to_operators_at_once() {
    let scene = Scene::with("git");
    both_see(&scene, "that all is told", |it| it["undelivered"] == 0 && is_settled(&scene));
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let downtime = format!(
        "[[downtime]]\nreason = \"audit\"\nstart = \"2026-01-01T00:00Z\"\nend = \"{end:.0}\"\n[compose]"
    );
    reconfigure(&scene, "[compose]", &downtime);
    let seen = both_see(&scene, "the downtime", |it| it["quiet"] == "downtime");
    assert_eq!(seconds(&seen["nextContact"]), Some(end.as_second()));
}

#[test]
fn a_downtime_that_is_started_at_the_device_is_known_to_operators_when_it_begins() {
    let scene = Scene::with("git");
    // What happens in a downtime is told after it, so there is nothing to agree on meanwhile.
    both_see(&scene, "that all is told", |it| it["undelivered"] == 0 && is_settled(&scene));
    let start = ["downtime", "start", "--for", "6h", "--reason", "press moved"];
    let said = programs::stdout_of(&mut scene.press.command(&start));
    assert!(said.contains("; the fleet manager was told"), "{said}");
    let seen = contact(&scene);
    assert_eq!((&seen["standing"], &seen["quiet"]), (&json!("expected"), &json!("downtime")));
    both_see(&scene, "the downtime", |it| it["quiet"] == "downtime");

    programs::stdout_of(&mut scene.press.command(&["downtime", "stop"]));
    both_see(&scene, "that it talks again", |it| it["quiet"].is_null());
}
