//! `--wait`: the command follows the device until the order is carried out, whatever comes between.

use serde_json::Value;

use crate::support::{
    HELLO, Waiting, argument, assert_has, cells, fleet_with_press, gantry, good, package,
    published, report, report_failure, report_installed_of,
};

/// The words of lines, without the time of day that steps begin with.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.lines().map(without_time).collect()
}

fn without_time(line: &str) -> &str {
    let is_time = |it: &str| it.len() == 8 && it.matches(':').count() == 2;
    match line.split_once(' ') {
        Some((time, rest)) if is_time(time) => rest,
        _ => line,
    }
}

#[test]
fn waiting_tells_each_component_in_plain_lines() {
    let (fleet, press) = fleet_with_press();
    let more =
        "\n      - name: logger\n        properties:\n          packageLocation: compose/hello\n";
    let two = package(&fleet, "two", |text| {
        text.replace("version: \"1.0.0\"", "version: \"2.0.0\"")
            .replace("timeout: 2m0s\n", &format!("timeout: 2m0s{more}"))
    });
    good(&fleet, &["application", "add", argument(&two)]);
    let mut waiting = Waiting::start(&fleet, &["deploy", HELLO, "--to", "press-7", "--wait"]);
    let id = published(&fleet, 2);
    waiting.says("published in revision 2");
    let states = |hello, logger| [("hello", hello), ("logger", logger)];
    press.report(&id, "installing", &states("installing", "pending")).expect(201);
    waiting.says("hello: installing");
    press.report(&id, "installing", &states("installed", "installing")).expect(200);
    press.report(&id, "installed", &states("installed", "installed")).expect(200);

    let told = waiting.ends(0);
    assert_eq!(told.stderr, "");
    let ordered = format!("Ordered {HELLO} on press-7 ({id}).");
    let lines = [
        &ordered,
        "com-gantry-hello: published in revision 2",
        "hello: installing",
        "logger: pending",
        "hello: installed",
        "logger: installing",
        "logger: installed",
        "com-gantry-hello is installed.",
    ];
    assert_eq!(words(&told.stdout), lines);
}

#[test]
fn an_update_and_a_removal_can_be_waited_for() {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7"]);
    let id = published(&fleet, 2);
    report(&press, &id, "installed");

    let update = ["deployment", "update", HELLO, "--set", "greeting=Moin", "--wait"];
    let mut waiting = Waiting::start(&fleet, &update);
    published(&fleet, 3);
    // What the device has not taken up yet cannot be installed yet.
    report_installed_of(&press, &id, "2");
    waiting.says("published in revision 3");
    report_installed_of(&press, &id, "3");
    let told = waiting.ends(0);
    let lines = words(&told.stdout);
    assert_eq!(lines[1..3], ["com-gantry-hello: published in revision 3", "hello: installed"]);
    assert_eq!(lines.last(), Some(&"com-gantry-hello is installed."));

    // The same again is fulfilled already.
    let told = gantry(&fleet, &update).ends(0);
    assert_has(&told.stdout, &["com-gantry-hello is installed.\n"]);

    let waiting = Waiting::start(&fleet, &["deployment", "remove", HELLO, "--wait"]);
    fleet.operator().revision_reached(press.id(), 4);
    report(&press, &id, "removing");
    report(&press, &id, "removed");
    let told = waiting.ends(0);
    let lines = words(&told.stdout);
    let withdrew = format!("Withdrew {HELLO} from press-7 ({id}).");
    let steps = ["hello: removing", "hello: removed", "com-gantry-hello is removed."];
    assert_eq!(lines, [&[withdrew.as_str()], &steps[..]].concat());
}

#[test]
fn a_device_that_fails_ends_the_waiting_with_its_own_words() {
    let (fleet, press) = fleet_with_press();
    let waiting = Waiting::start(&fleet, &["deploy", HELLO, "--to", "press-7", "--wait"]);
    let id = published(&fleet, 2);
    report_failure(&press, &id, "no such image");
    let told = waiting.ends(7);
    let needle = "com-gantry-hello failed on the device: no such image (PULL)";
    assert_has(&told.stderr, &[needle]);
    assert_eq!(words(&told.stdout).last(), Some(&"hello: failed: no such image (PULL)"));

    // That the deployment has failed says nothing of its removal.
    let waiting = Waiting::start(&fleet, &["deployment", "remove", HELLO, "--wait"]);
    fleet.operator().revision_reached(press.id(), 3);
    report(&press, &id, "removed");
    waiting.ends(0);
}

#[test]
fn waiting_has_an_end_and_the_order_outlives_it() {
    let (fleet, press) = fleet_with_press();
    let deploy = ["deploy", HELLO, "--to", "press-7", "--wait", "--timeout", "1s"];
    let told = gantry(&fleet, &deploy).ends(8);
    let client = format!("`gantry client show {}`", press.id());
    assert_has(&told.stderr, &["after 1 s", "has not spoken of it", &client, "The order stands"]);
    let list = good(&fleet, &["deployment", "list"]);
    assert_eq!(cells(&list)[1].last(), Some(&"ordered"));

    let id = published(&fleet, 2);
    good(&fleet, &["deployment", "update", HELLO, "--set", "port=2000"]);
    published(&fleet, 3);
    report(&press, &id, "installing");
    // The same again is no other order.
    let update = ["deployment", "update", HELLO, "--set", "port=2000", "--wait", "--timeout", "0s"];
    let told = gantry(&fleet, &update).ends(8);
    assert_has(&told.stderr, &["installing after 0 s", "the device is still at it"]);
    report(&press, &id, "installed");
    gantry(&fleet, &update).ends(0);
}

#[test]
fn a_restart_of_the_fleet_manager_is_waited_out() {
    let (mut fleet, press) = fleet_with_press();
    let mut waiting = Waiting::start(&fleet, &["deploy", HELLO, "--to", "press-7", "--wait"]);
    let id = published(&fleet, 2);
    report(&press, &id, "installing");
    waiting.says("hello: installing");
    fleet.kill();
    waiting.says("still trying");
    fleet.start_server();
    report(&press, &id, "installed");
    let told = waiting.ends(0);
    assert_eq!(told.stderr.matches("still trying").count(), 1, "{}", told.stderr);
    assert_eq!(words(&told.stdout).last(), Some(&"com-gantry-hello is installed."));
}

#[test]
fn another_order_ends_the_waiting_for_the_first() {
    let (fleet, _press) = fleet_with_press();
    let mut waiting = Waiting::start(&fleet, &["deploy", HELLO, "--to", "press-7", "--wait"]);
    waiting.says("published in revision 2");
    good(&fleet, &["deployment", "update", HELLO, "--set", "greeting=Moin"]);
    assert_has(&waiting.ends(5).stderr, &["admin gave another order"]);
}

#[test]
fn a_program_that_waits_gets_the_result_alone() {
    let (fleet, press) = fleet_with_press();
    let deploy = ["deploy", HELLO, "--to", "press-7", "--wait", "-o", "json"];
    let waiting = Waiting::start(&fleet, &deploy);
    let id = published(&fleet, 2);
    report(&press, &id, "installed");
    let told = waiting.ends(0);
    let result: Value = serde_json::from_str(&told.stdout).expect("JSON and nothing else");
    assert_eq!((&result["id"], &result["state"]), (&id.into(), &"installed".into()));
    let lines = ["com-gantry-hello: published in revision 2", "hello: installed"];
    assert_eq!(words(&told.stderr), lines);
}
