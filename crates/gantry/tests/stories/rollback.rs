//! Returning to an older revision: what it changes is shown, asked for, ordered and waited for.

use serde_json::Value;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, Waiting, argument, assert_has, bad, cells, fleet_with_press, gantry, good, package,
    published, report, report_installed_of,
};
use crate::waiting::words;

/// A fleet whose revision 2 has one deployment, and whose revision 4 has that one with another greeting and
/// another one. Their ids, in this order.
fn fleet_with_history() -> (TestFleet, TestClient, [String; 2]) {
    let (fleet, press) = fleet_with_press();
    let other =
        package(&fleet, "other", |text| text.replace("id: com-gantry-hello\n", "id: other\n"));
    good(&fleet, &["application", "add", argument(&other)]);
    good(&fleet, &["deploy", HELLO, "--to", "press-7", "--set", "greeting=Hello"]);
    let hello = published(&fleet, 2);
    good(&fleet, &["deploy", "other", "--to", "press-7"]);
    let other = published(&fleet, 3);
    good(&fleet, &["deployment", "update", HELLO, "--set", "greeting=Moin"]);
    published(&fleet, 4);
    for id in [&hello, &other] {
        report(&press, id, "installed");
    }
    (fleet, press, [hello, other])
}

fn rollback<'a>(to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let reason = ["--reason", "the night shift needs it"];
    [&["desired-state", "rollback", "press-7", "--to", to], &reason[..], more].concat()
}

#[test]
fn what_changes_is_shown_and_nothing_is_changed_unasked() {
    let (fleet, press, [hello, other]) = fleet_with_history();
    let told = gantry(&fleet, &rollback("2", &[])).ends(2);
    let preview = format!(
        "press-7 returns to the content of revision 2:\n\
         ~ {HELLO} ({hello}) is changed\n    {HELLO} 1.0.0\n    greeting: \"Moin\" -> \"Hello\"\n\
         - other ({other}) is removed\n    other 1.0.0\n\
         `gantry desired-state diff {} 4 2` compares the documents.\n",
        press.id()
    );
    assert_eq!(told.stdout, preview);
    assert_eq!(
        told.stderr,
        "gantry: nothing is changed; add --yes to roll back without being asked\n"
    );
    let told = gantry(&fleet, &rollback("2", &["-o", "json"])).ends(2);
    assert_eq!(told.stdout, "");
    assert_has(&told.stderr, &[&preview, "add --yes"]);
    assert_eq!(fleet.operator().get(&format!("/clients/{}", press.id()))["revision"], 4);

    let done = good(&fleet, &rollback("2", &["--yes"]));
    assert_eq!(done, preview + "Ordered the content of revision 2 for press-7.\n");
    fleet.operator().revision_reached(press.id(), 5);
    let log = good(&fleet, &["desired-state", "log", "press-7", "--limit", "1"]);
    assert_eq!(cells(&log)[1][3], "Roll back to revision 2");
    let message = good(&fleet, &["desired-state", "show", "press-7"]);
    assert_has(&message, &["Reason: the night shift needs it\n", "\nRemove other: other 1.0.0\n"]);
    let diff = good(&fleet, &["desired-state", "diff", "press-7", "2", "5"]);
    assert_eq!(diff, "Revisions 2 and 5 have the same content.\n");

    let again = good(&fleet, &rollback("2", &[]));
    let nothing = "press-7 has the content of revision 2 already; there is nothing to change.\n";
    assert_eq!(again, nothing);
}

#[test]
fn every_deployment_is_waited_for() {
    let (fleet, press, [hello, other]) = fleet_with_history();
    let mut waiting = Waiting::start(&fleet, &rollback("2", &["--yes", "--wait"]));
    fleet.operator().revision_reached(press.id(), 5);
    report(&press, &other, "removing");
    report(&press, &other, "removed");
    waiting.says("other is removed.");
    report_installed_of(&press, &hello, "5");
    let told = waiting.ends(0);
    let (_, steps) = told.stdout.split_once("for press-7.\n").expect("it says what was ordered");
    let lines = [
        "Waiting for other.",
        "hello: removing",
        "hello: removed",
        "other is removed.",
        "Waiting for com-gantry-hello.",
        "com-gantry-hello: published in revision 5",
        "hello: installed",
        "com-gantry-hello is installed.",
    ];
    assert_eq!(words(steps), lines);

    // All of it again, for a program.
    let waiting = Waiting::start(&fleet, &rollback("4", &["--yes", "--wait", "-o", "json"]));
    fleet.operator().revision_reached(press.id(), 6);
    for id in [&hello, &other] {
        report_installed_of(&press, id, "6");
    }
    let told = waiting.ends(0);
    let result: Value = serde_json::from_str(&told.stdout).expect("JSON and nothing else");
    assert_eq!((&result["revision"], &result["dryRun"]), (&4.into(), &false.into()));
    let deployments = result["deployments"].as_array().expect("a list");
    assert_eq!(deployments.len(), 2);
    assert!(deployments.iter().all(|it| it["state"] == "installed"), "{result}");
}

#[test]
fn waiting_for_a_rollback_has_an_end_and_a_failure_is_told() {
    let (fleet, press, [hello, other]) = fleet_with_history();
    let told = gantry(&fleet, &rollback("3", &["--yes", "--wait", "--timeout", "1s"])).ends(8);
    assert_has(&told.stderr, &["com-gantry-hello is ordered after 1 s", "The order stands"]);
    let waiting = Waiting::start(&fleet, &rollback("2", &["--yes", "--wait"]));
    fleet.operator().revision_reached(press.id(), 6);
    report(&press, &other, "failed");
    assert_has(&waiting.ends(7).stderr, &["other failed on the device"]);
    drop(hello);
}

#[test]
fn what_cannot_be_rolled_back_to_says_why() {
    let (fleet, _press, _) = fleet_with_history();
    bad(&fleet, &rollback("77", &["--yes"]), 4, &["the client has no such revision"]);
    let blank = ["desired-state", "rollback", "press-7", "--to", "2", "--reason", " "];
    bad(&fleet, &blank, 6, &["say why, for the history"]);
    let nobody = ["desired-state", "rollback", "nobody", "--to", "2", "--reason", "none"];
    bad(&fleet, &nobody, 4, &["`nobody`"]);

    good(&fleet, &["deployment", "remove", HELLO]);
    good(&fleet, &["application", "remove", HELLO]);
    let needles = ["com-gantry-hello was made of com-gantry-hello 1.0.0", "add that package again"];
    bad(&fleet, &rollback("2", &["--yes"]), 5, &needles);
}
