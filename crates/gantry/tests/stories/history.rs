//! What clients were told over time: how revisions differ.

use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, argument, assert_has, bad, fleet_with_press, good, package, published,
};

/// A fleet with the history of one deployment: installed, changed, of a newer version, removed.
fn fleet_with_history() -> (TestFleet, String) {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7", "--set", "greeting=Hello"]);
    let id = published(&fleet, 2);
    let values = ["--set", "greeting=Moin", "--set", "port=2000"];
    good(&fleet, &[&["deployment", "update", HELLO][..], &values].concat());
    published(&fleet, 3);
    let newer = package(&fleet, "newer", |text| {
        text.replace("version: \"1.0.0\"", "version: \"2.0.0\"").replace("2m0s", "3m0s")
    });
    good(&fleet, &["application", "add", argument(&newer)]);
    good(&fleet, &["deployment", "update", HELLO, "--version", "2.0.0"]);
    published(&fleet, 4);
    good(&fleet, &["deployment", "remove", HELLO]);
    fleet.operator().revision_reached(press.id(), 5);
    (fleet, id)
}

#[test]
fn two_revisions_are_compared_by_version_and_parameters_and_line_by_line() {
    let (fleet, id) = fleet_with_history();
    let diff = |revisions: &[&str]| {
        good(&fleet, &[&["desired-state", "diff", "press-7"][..], revisions].concat())
    };
    let told = diff(&["2", "3"]);
    let about = format!(
        "~ {HELLO} ({id}) is changed\n    {HELLO} 1.0.0\n    greeting: \"Hello\" -> \"Moin\"\n    \
         port: (not set) -> 2000\n\
         --- deployments/{id}.yaml (revision 2)\n+++ deployments/{id}.yaml (revision 3)\n@@ "
    );
    assert!(told.starts_with(&about), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    for line in ["-      value: Hello", "+      value: Moin", "-      value: 18080"] {
        assert!(lines.contains(&line), "no {line:?} in:\n{told}");
    }

    assert_has(&diff(&["2", "4"]), &["    com-gantry-hello 1.0.0 -> 2.0.0\n"]);
    assert_has(&diff(&["3", "2"]), &["\"Moin\" -> \"Hello\"", "port: 2000 -> (not set)"]);
    let added = format!("+ {HELLO} ({id}) is added\n    {HELLO} 2.0.0\n    greeting = \"Moin\"\n");
    assert_has(&diff(&["1", "4"]), &[&added, "--- /dev/null\n", "\n+kind: ApplicationDeployment"]);
    // The newest one, against the one before it or another.
    let removed = format!("- {HELLO} ({id}) is removed\n    {HELLO} 2.0.0\n");
    assert_has(&diff(&[]), &[&removed, "(revision 4)\n+++ /dev/null\n", "\n-kind: "]);
    assert_has(&diff(&["2"]), &[&format!("- {HELLO} ({id}) is removed\n    {HELLO} 1.0.0\n")]);
    assert_eq!(diff(&["1", "5"]), "Revisions 1 and 5 have the same content.\n");
}

#[test]
fn there_have_to_be_two_revisions_to_compare() {
    let fleet = TestFleet::start();
    fleet.accepted_client("press-7");
    let diff = ["desired-state", "diff", "press-7"];
    bad(&fleet, &diff, 4, &["press-7 has no revision before the first one"]);
    bad(&fleet, &[&diff[..], &["1", "7"]].concat(), 4, &["the client has no such revision"]);
    bad(&fleet, &[&diff[..], &["0"]].concat(), 2, &["invalid value '0'"]);
    fleet.stranger("lathe-2").onboard().expect(403);
    bad(&fleet, &["desired-state", "diff", "lathe-2"], 4, &["lathe-2 has no revision yet"]);
}
