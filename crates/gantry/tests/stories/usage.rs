//! What scripts and people rely on around the commands: help, usage, and how the program ends.

use std::fs::File;
use std::process::Stdio;

use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, Waiting, assert_has, bad, fleet_with_press, good, published, report_failure, run,
};

/// The lines of a section of a help text, up to the next empty line.
fn section<'a>(help: &'a str, title: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

/// The help of a command, and of all below it.
fn helps(fleet: &TestFleet, command: &[&str], found: &mut Vec<String>) {
    let told = run(&mut fleet.bare_gantry(&[command, &["--help"]].concat())).ends(0);
    assert_eq!(told.stderr, "", "{command:?}");
    assert_has(&told.stdout, &["Usage: gantry"]);
    for line in section(&told.stdout, "Commands:") {
        let name = line.split_whitespace().next().expect("a command has a name");
        if name != "help" {
            helps(fleet, &[command, &[name]].concat(), found);
        }
    }
    found.push(command.join(" "));
}

#[test]
fn every_command_explains_itself() {
    let fleet = TestFleet::start();
    let mut found = Vec::new();
    helps(&fleet, &[], &mut found);
    let commands = [
        "login",
        "logout",
        "whoami",
        "client list",
        "client show",
        "client capabilities",
        "client register",
        "client renew",
        "client approve",
        "client reject",
        "client revoke",
        "client repository",
        "client",
        "trust add",
        "trust list",
        "trust remove",
        "trust",
        "operator list",
        "operator add",
        "operator remove",
        "operator",
        "signing-key list",
        "signing-key rotate",
        "signing-key",
        "application add",
        "application list",
        "application show",
        "application remove",
        "application",
        "deploy",
        "deployment list",
        "deployment show",
        "deployment update",
        "deployment remove",
        "deployment",
        "desired-state log",
        "desired-state show",
        "desired-state diff",
        "desired-state rollback",
        "desired-state",
        "",
    ];
    assert_eq!(found, commands);
    let told = run(&mut fleet.bare_gantry(&["--help"])).ends(0);
    assert_has(&told.stdout, &["GANTRY_URL", "GANTRY_TOKEN", "GANTRY_CA", "GANTRY_CONFIG"]);
    assert_has(&run(&mut fleet.bare_gantry(&["--version"])).ends(0).stdout, &["gantry "]);
}

#[test]
fn wrong_use_says_what_is_right() {
    let fleet = TestFleet::start();
    let wrong: [(&[&str], &str); 15] = [
        (&[], "Usage: gantry"),
        (&["clint"], "unrecognized subcommand 'clint'"),
        (&["client"], "list"),
        (&["client", "show"], "<CLIENT>"),
        (&["client", "list", "press-7"], "unexpected argument 'press-7'"),
        (&["whoami", "-o", "xml"], "[possible values: table, json, yaml]"),
        (&["deploy", HELLO], "--to <CLIENT>"),
        (&["deploy", "@1.0.0", "--to", "press-7"], "expected ID or ID@VERSION"),
        (&["deploy", HELLO, "--to", "a", "--wait", "--timeout", "10"], "a time such as 10m"),
        (&["deploy", HELLO, "--to", "a", "--timeout", "10m"], "--wait"),
        (&["desired-state", "log", "press-7", "--limit", "0"], "1..=1000"),
        (&["desired-state", "show", "press-7", "newest"], "invalid value 'newest'"),
        (&["desired-state", "rollback", "press-7", "--to", "2"], "--reason <REASON>"),
        (&["desired-state", "rollback", "press-7", "--reason", "a"], "--to <REVISION>"),
        (
            &["desired-state", "rollback", "press-7", "--reason", "a", "--to", "0"],
            "invalid value '0'",
        ),
    ];
    for (arguments, needle) in wrong {
        run(&mut fleet.bare_gantry(arguments)).refuses(2, &[needle]);
    }
}

#[test]
fn every_exit_code_that_the_help_lists_can_be_met() {
    let (mut fleet, press) = fleet_with_press();
    let help = run(&mut fleet.bare_gantry(&["--help"])).ends(0).stdout;
    let codes = section(&help, "Exit codes:");
    let codes: Vec<&str> = codes.iter().filter_map(|it| it.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);

    good(&fleet, &["client", "list"]);
    let full = File::options().write(true).open("/dev/full").expect("Linux has a full device");
    run(fleet.gantry(&["client", "list"]).stdout(full)).refuses(1, &["No space left"]);
    bad(&fleet, &["deployment", "update", HELLO], 2, &["nothing to change"]);
    run(fleet.gantry(&["whoami"]).env("GANTRY_TOKEN", "wrong")).refuses(3, &["not that of an"]);
    bad(&fleet, &["client", "show", "nobody"], 4, &["`nobody`"]);
    bad(&fleet, &["client", "reject", "press-7"], 5, &["approved already"]);
    let deploy = ["deploy", HELLO, "--to", "press-7"];
    bad(&fleet, &[&deploy[..], &["--set", "port=1"]].concat(), 6, &["1024 to 65535"]);
    let waiting = Waiting::start(&fleet, &[&deploy[..], &["--wait"]].concat());
    report_failure(&press, &published(&fleet, 2), "no such image");
    assert_has(&waiting.ends(7).stderr, &["no such image"]);
    let update = ["deployment", "update", HELLO, "--set", "port=2000", "--wait", "--timeout", "0s"];
    let told = run(&mut fleet.gantry(&update)).ends(8);
    assert_has(&told.stderr, &["The order stands"]);
    fleet.kill();
    bad(&fleet, &["client", "list"], 9, &["cannot reach", "Check that the fleet manager runs"]);
}

#[test]
fn who_stops_reading_early_causes_no_error() {
    let fleet = TestFleet::start();
    let mut command = fleet.gantry(&["client", "list"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("gantry can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("gantry ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
