//! What the client's own commands say, and what they must not.

use std::fs;

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::{programs, wait};

use crate::support::{PRESS, Plant};

fn said(press: &TestDevice, arguments: &[&str]) -> (Option<i32>, String) {
    let output = programs::run(&mut press.command(arguments));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_mistake_in_the_configuration_is_named_with_its_place() {
    let fleet = TestFleet::start();
    let mistakes = "[compose]\ntimeout = \"soon\"\n[desired_sate]\n";
    let press = TestDevice::prepare(&fleet, PRESS, mistakes);
    for command in [&["config", "check"][..], &["run"], &["status"]] {
        let (code, text) = said(&press, command);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("line 14: compose.timeout: `soon`"), "{text}");
        assert!(
            text.contains("line 15: desired_sate: ") && text.contains("desired_state"),
            "{text}"
        );
    }
    let good = TestDevice::prepare(&fleet, "press-8", "");
    let (code, text) = said(&good, &["config", "check"]);
    assert_eq!(code, Some(0), "{text}");
    let file = press.configuration();
    let (code, _) = said(&good, &["config", "check", &file.to_string_lossy()]);
    assert_eq!(code, Some(1), "the file that is named goes before");
}

#[test]
fn the_schedule_is_explained_before_the_client_has_ever_run() {
    let fleet = TestFleet::start();
    let hours = "time_zone = \"Europe/Berlin\"\n[[polling.period]]\nfrom = \"22:00\"\nto = \"05:00\"\n\
                 [[downtime]]\nreason = \"holidays\"\nstart = \"2026-12-24T18:00\"\n\
                 end = \"2026-12-27T06:00\"\n";
    let press = TestDevice::prepare(&fleet, PRESS, hours);
    let (code, text) = said(&press, &["schedule", "--next", "3", "-o", "json"]);
    assert_eq!(code, Some(0), "{text}");
    let contacts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(contacts["contacts"].as_array().map(Vec::len), Some(3));
    let (_, text) = said(&press, &["schedule", "--at", "2026-12-25T12:00"]);
    for words in ["downtime: holidays", "reports:               no", "2026-12-27 22:00:00 +01:00"] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    let (code, text) = said(&press, &["schedule", "--at", "noon"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("`noon` is not a date and a time"), "{text}");
}

fn polled_again(press: &TestDevice) {
    let before = press.status().expect("the client works")["lastContact"].clone();
    wait::until("another contact", || press.status().filter(|it| it["lastContact"] != before));
}

#[test]
fn a_downtime_that_is_started_at_the_device_outlives_the_client_until_it_is_stopped() {
    let fleet = TestFleet::start();
    let mut press = TestDevice::start(&fleet, PRESS);
    wait::until("the client to work", || press.status().filter(|it| !it["lastError"].is_null()));
    programs::stdout_of(&mut fleet.gantry(&["client", "approve", PRESS]));
    wait::until("the first contact", || press.status().filter(|it| !it["lastContact"].is_null()));
    let (code, text) = said(&press, &["downtime", "start", "--for", "6h", "--reason", "moving"]);
    assert_eq!((code, text.starts_with("downtime until")), (Some(0), true), "{text}");
    let (code, text) = said(&press, &["poll-now"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("downtime: moving") && text.contains("--force"), "{text}");
    assert_eq!(press.stop(), Some(0));
    press.start_program();
    let status = wait::until("the client to work again", || {
        press.status().filter(|it| it["running"] == true)
    });
    assert!(status["quiet"].as_str().is_some_and(|it| it.contains("moving")), "{status}");
    assert!(status["lastContact"].is_null(), "{status}");
    let (_, text) = said(&press, &["downtime", "list"]);
    assert!(text.contains("in force") && text.contains("moving"), "{text}");
    let (_, text) = said(&press, &["schedule", "--next", "1"]);
    assert!(text.contains("downtime: moving"), "{text}");

    let (code, text) = said(&press, &["poll-now", "--force"]);
    assert_eq!(code, Some(0), "{text}");
    wait::until("the contact that was forced", || {
        press.status().filter(|it| !it["lastContact"].is_null())
    });
    let (code, _) = said(&press, &["downtime", "stop"]);
    assert_eq!(code, Some(0));
    polled_again(&press);
}

#[test]
fn without_a_running_client_its_last_status_is_told_and_a_downtime_waits_for_the_next_start() {
    let fleet = TestFleet::start();
    let mut press = TestDevice::start(&fleet, PRESS);
    wait::until("the client to work", || press.status());
    assert_eq!(press.stop(), Some(0));
    let (_, text) = said(&press, &["status"]);
    assert!(text.contains("not running; this was so at"), "{text}");
    assert_eq!(press.status().expect("it was written")["running"], false);
    let (code, text) = said(&press, &["poll-now"]);
    assert_eq!((code, text.contains("does not run")), (Some(1), true), "{text}");
    let start = ["downtime", "start", "--until", "2090-01-01T00:00", "--reason", "x"];
    let (code, text) = said(&press, &start);
    assert_eq!((code, text.contains("a year at most")), (Some(1), true), "{text}");
    let (code, text) = said(&press, &["downtime", "start", "--for", "1h", "--reason", "x"]);
    assert_eq!((code, text.contains("does not run")), (Some(0), true), "{text}");
    press.start_program();
    wait::until("the client to keep it", || press.status().filter(|it| !it["quiet"].is_null()));
}

#[test]
fn a_configuration_is_read_again_without_a_restart() {
    let fleet = TestFleet::start();
    let press = TestDevice::start(&fleet, PRESS);
    wait::until("the client to work", || press.status());
    let text = fs::read_to_string(press.configuration()).expect("readable");
    let change = |more: &str| {
        fs::write(press.configuration(), format!("{text}{more}")).expect("writable");
        said(&press, &["reload"])
    };
    let (code, told) = change("[[downtime]]\nreason = \"audit\"\n");
    assert_eq!((code, told.contains("leave no moment")), (Some(1), true), "{told}");
    let day_after_tomorrow = jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(2));
    let dates = format!("dates = [\"2020-01-01..{day_after_tomorrow}\"]\n");
    let audit = format!("[[downtime]]\nreason = \"audit\"\n{dates}");
    let (code, told) = change(&audit);
    assert_eq!(code, Some(0), "{told}");
    let is_quiet_for = |reason: &str| {
        wait::until("the downtime to be in force", || {
            press.status().filter(|it| it["quiet"].as_str().is_some_and(|it| it.contains(reason)))
        });
    };
    is_quiet_for("audit");
    assert!(press.log().contains("took over the configuration"), "{}", press.log());

    // Without the command, and with another level of the log.
    let other = audit.replace("audit", "holidays");
    let more = format!("{text}{other}[log]\nlevel = \"error\"\n");
    fs::write(press.configuration(), more).expect("writable");
    press.hang_up();
    is_quiet_for("holidays");
    let (code, told) = said(&press, &["downtime", "stop"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!press.log().contains("downtime stopped"), "{}", press.log());
}

#[test]
fn what_a_command_needs_and_does_not_find_is_said() {
    let fleet = TestFleet::start();
    let press = TestDevice::prepare(&fleet, PRESS, "");
    let (code, text) = said(&press, &["status"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("start the client first"), "{text}");
    let (code, text) = said(&press, &["repository"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("not been let in"), "{text}");
    let (code, _) = said(&press, &["dance"]);
    assert_eq!(code, Some(2));
    let (code, text) = said(&press, &["--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("fingerprint") && text.contains("Exit status"), "{text}");
}

#[test]
fn two_clients_do_not_work_on_one_state_directory() {
    let fleet = TestFleet::start();
    let press = TestDevice::start(&fleet, PRESS);
    wait::until("the client to work", || press.status());
    let (code, text) = said(&press, &["run"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("another gantry-device"), "{text}");
}

#[test]
fn no_secret_is_logged_and_the_key_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let plant = Plant::start("[log]\nlevel = \"trace\"\n");
    plant.install("Hello");
    let credential = {
        let mut command = plant.press.command(&["git-credential", "get"]);
        let host = plant.fleet.url().trim_start_matches("https://").to_owned();
        let question = plant.press.folder().join("question");
        fs::write(&question, format!("protocol=https\nhost={host}\n\n")).expect("writable");
        command.stdin(fs::File::open(question).expect("it was just written"));
        programs::stdout_of(&mut command)
    };
    let token = credential
        .lines()
        .find_map(|line| line.strip_prefix("password="))
        .expect("the helper gives a token");
    // Tokens differ from one to the next; what they have in common is their user and their length.
    let basic = |text: &str| text.to_ascii_lowercase().contains("basic ");
    for log in [plant.press.log(), plant.fleet.log()] {
        assert!(!log.contains(token) && !basic(&log), "{log}");
        assert!(!log.contains("PRIVATE KEY"));
    }
    let key = plant.press.state_dir().join("client.key");
    let mode = key.metadata().expect("the client has a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = plant.press.state_dir().metadata().expect("it is there").permissions().mode();
    assert_eq!(folder & 0o777, 0o700);
}
