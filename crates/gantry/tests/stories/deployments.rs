//! Orders: what is deployed with which values, what is refused and why, and what became of it.

use std::fs;

use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, argument, assert_has, bad, cells, fleet_with_press, good, package, published, report,
    report_failure,
};

/// The parameters of a deployment, as they are shown.
fn parameters(fleet: &TestFleet, deployment: &str) -> Vec<[String; 2]> {
    let shown = good(fleet, &["deployment", "show", deployment]);
    let rows = cells(&shown);
    let rows = rows.into_iter().skip_while(|row| row.first() != Some(&"PARAMETER")).skip(1);
    rows.map(|row| [row[0].to_owned(), row[1].to_owned()]).collect()
}

#[test]
fn values_come_from_the_command_line_and_from_files() {
    let (fleet, press) = fleet_with_press();
    let to = ["deploy", HELLO, "--to"];
    let set = ["press-7", "--set", "port=18081", "--set", "greeting=a=b", "--name", "set"];
    let ordered = good(&fleet, &[&to[..], &set].concat());
    let id = published(&fleet, 2);
    assert_eq!(ordered, format!("Ordered set on press-7 ({id}).\n"));
    let text = [["greeting", "\"a=b\""], ["port", "18081"]].map(|row| row.map(str::to_owned));
    assert_eq!(parameters(&fleet, "set"), text);

    let yaml = fleet.dir().join("values.yaml");
    fs::write(&yaml, "greeting: \"8080\"\nport: 18082\n").expect("the values can be written");
    let json = fleet.dir().join("values.json");
    fs::write(&json, r#"{"greeting": "Moin", "port": 18083}"#).expect("the values can be written");
    fleet.accepted_client("press-8");
    let file = ["press-8", "--values", argument(&yaml), "--name", "files"];
    good(&fleet, &[&to[..], &file].concat());
    let text = [["greeting", "\"8080\""], ["port", "18082"]].map(|row| row.map(str::to_owned));
    assert_eq!(parameters(&fleet, "files"), text);

    // What --set says goes before the file.
    let both = ["--values", argument(&json), "--set", "greeting=Servus"];
    good(&fleet, &[&["deployment", "update", "files"][..], &both].concat());
    let text = [["greeting", "\"Servus\""], ["port", "18083"]].map(|row| row.map(str::to_owned));
    assert_eq!(parameters(&fleet, "files"), text);
    assert_has(&good(&fleet, &["desired-state", "show", press.id()]), &["value: a=b"]);
}

#[test]
fn every_wrong_value_is_told_with_what_is_accepted() {
    let (fleet, _press) = fleet_with_press();
    let to = ["deploy", HELLO, "--to", "press-7"];
    let wrong = ["--set", "port=80", "--set", "greeting=", "--set", "colour=red"];
    let told = [
        "3 of the parameters cannot be as ordered",
        "\n  parameters.port: 80 is too small; accepted is integer, 1024 to 65535\n",
        "\n  parameters.greeting: \"\" must not be empty; accepted is string, 1 to 100 characters\n",
        "\n  parameters.colour: \"red\" is not a parameter of the application; it has greeting, port\n",
    ];
    bad(&fleet, &[&to[..], &wrong].concat(), 6, &told);
    let told = ["parameters.port: \"high\"", "accepted is integer, 1024 to 65535"];
    bad(&fleet, &[&to[..], &["--set", "port=high"]].concat(), 6, &told);

    let file = fleet.dir().join("values.yaml");
    let of_file = [&to[..], &["--values", argument(&file)]].concat();
    bad(&fleet, &of_file, 2, &[argument(&file), "No such file"]);
    for (text, told) in [
        ("- port\n", "not a mapping of names to values"),
        ("port: {number: 1}\n", "`port` has to be text, a number"),
        ("port: [", "not a mapping of names to values"),
    ] {
        fs::write(&file, text).expect("the values can be written");
        bad(&fleet, &of_file, 2, &[argument(&file), told]);
    }
    fs::write(&file, "port: \"18080\"\n").expect("the values can be written");
    bad(&fleet, &of_file, 6, &["parameters.port", "accepted is integer, 1024 to 65535"]);
    bad(&fleet, &[&to[..], &["--set", "port"]].concat(), 2, &["--set port: expected NAME=VALUE"]);
    let twice = ["--set", "port=2000", "--set", "port=2001"];
    bad(&fleet, &[&to[..], &twice].concat(), 2, &["`port` twice"]);
    assert_eq!(cells(&good(&fleet, &["deployment", "list"])).len(), 1);
}

#[test]
fn an_order_that_cannot_be_says_why() {
    let (fleet, _press) = fleet_with_press();
    fleet.stranger("lathe-2").onboard().expect(403);
    let told = ["there is no application `nothing`", "gantry application list"];
    bad(&fleet, &["deploy", "nothing", "--to", "press-7"], 4, &told);
    let other = format!("{HELLO}@2.0.0");
    let told = ["there is no application `com-gantry-hello@2.0.0`"];
    bad(&fleet, &["deploy", &other, "--to", "press-7"], 4, &told);
    bad(&fleet, &["deploy", HELLO, "--to", "nobody"], 4, &["no client", "`nobody`"]);
    let told = ["the client is waiting", "only an approved one"];
    bad(&fleet, &["deploy", HELLO, "--to", "lathe-2"], 5, &told);
    good(&fleet, &["client", "approve", "lathe-2"]);
    let told = ["gantry: the client has not reported any device yet"];
    bad(&fleet, &["deploy", HELLO, "--to", "lathe-2"], 6, &told);
    let device = ["deploy", HELLO, "--to", "press-7", "--device", "press-8"];
    bad(&fleet, &device, 6, &["the client has no device `press-8`"]);

    good(&fleet, &["deploy", HELLO, "--to", "press-7"]);
    let told = ["on this device already", "update that one"];
    bad(&fleet, &["deploy", HELLO, "--to", "press-7", "--name", "another"], 5, &told);
}

#[test]
fn a_deployment_is_changed_and_its_history_says_why() {
    let (fleet, press) = fleet_with_press();
    let deploy = ["deploy", HELLO, "--to", "press-7", "--set", "greeting=Hello"];
    good(&fleet, &deploy);
    published(&fleet, 2);
    let update = ["deployment", "update", HELLO];
    bad(&fleet, &update, 2, &["nothing to change; give --version, --set or --values"]);
    let values = ["--set", "greeting=Moin", "--reason", "we are in Hamburg"];
    good(&fleet, &[&update[..], &values].concat());
    published(&fleet, 3);
    let newer = package(&fleet, "newer", |text| {
        text.replace("version: \"1.0.0\"", "version: \"2.0.0\"").replace("2m0s", "3m0s")
    });
    good(&fleet, &["application", "add", argument(&newer)]);
    good(&fleet, &[&update[..], &["--version", "2.0.0"]].concat());
    published(&fleet, 4);
    let told = ["there is no application `com-gantry-hello@3.0.0`"];
    bad(&fleet, &[&update[..], &["--version", "3.0.0"]].concat(), 4, &told);

    let log = good(&fleet, &["desired-state", "log", "press-7"]);
    let rows = cells(&log);
    assert_eq!(rows[0], ["REVISION", "COMMIT", "PUBLISHED", "SUBJECT"]);
    let numbers: Vec<&str> = rows[1..].iter().map(|row| row[0]).collect();
    assert_eq!(numbers, ["4", "3", "2", "1"]);
    assert_has(rows[2][3], &["Hello -> Moin"]);
    let newest = good(&fleet, &["desired-state", "log", "press-7", "--limit", "1"]);
    assert_eq!(cells(&newest)[1..], rows[1..2]);

    let shown = good(&fleet, &["desired-state", "show", "press-7", "3"]);
    let needles = ["Revision:  3\n", "Reason: we are in Hamburg\n", "Ordered by admin.\n"];
    assert_has(&shown, &needles);
    assert_has(&shown, &["kind: ApplicationDeployment\n", "value: Moin\n"]);
    let newest = good(&fleet, &["desired-state", "show", press.id()]);
    assert_has(&newest, &["Revision:  4\n"]);
    let unknown = ["desired-state", "show", "press-7", "77"];
    bad(&fleet, &unknown, 4, &["the client has no such revision"]);
}

#[test]
fn a_deployment_is_shown_as_its_device_reports_it() {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7"]);
    let id = published(&fleet, 2);
    assert_has(&good(&fleet, &["deployment", "show", HELLO]), &["State:       ordered\n"]);
    report_failure(&press, &id, "no such image\nin the registry");
    let shown = good(&fleet, &["deployment", "show", &id[..8]]);
    let needles = ["State:       failed\n", "Error:       no such image in the registry (PULL)\n"];
    assert_has(&shown, &needles);
    let row = vec!["hello", "failed", "no such image in the registry (PULL)"];
    assert!(cells(&shown).contains(&row), "{shown}");
    report(&press, &id, "installed");
    let list = good(&fleet, &["deployment", "list"]);
    let rows = cells(&list);
    assert_eq!(rows[0], ["ID", "NAME", "APPLICATION", "DEVICE", "WANTED", "STATE"]);
    let application = format!("{HELLO}@1.0.0");
    assert_eq!(rows[1], [id.as_str(), HELLO, &application, "press-7", "yes", "installed"]);

    let removed = good(&fleet, &["deployment", "remove", HELLO, "--reason", "no longer needed"]);
    assert_eq!(removed, format!("Withdrew {HELLO} from press-7 ({id}).\n"));
    assert_has(&good(&fleet, &["deployment", "list"]), &["  no      removing\n"]);
    report(&press, &id, "removed");
    let shown = good(&fleet, &["deployment", "show", HELLO]);
    assert_has(&shown, &["Wanted:      no\n", "State:       removed\n"]);
    fleet.operator().revision_reached(press.id(), 3);
    let message = good(&fleet, &["desired-state", "show", "press-7"]);
    assert_has(&message, &["Reason: no longer needed\n"]);
    let update = ["deployment", "update", HELLO, "--set", "greeting=Moin"];
    bad(&fleet, &update, 5, &["withdrawn", "deploy the application again"]);
}

#[test]
fn a_name_that_several_deployments_have_is_told_apart_by_their_devices() {
    let (fleet, _press) = fleet_with_press();
    fleet.accepted_client("press-8");
    for client in ["press-7", "press-8"] {
        good(&fleet, &["deploy", HELLO, "--to", client]);
    }
    let several = ["can mean several", "(on press-7, ordered ", "(on press-8, ordered "];
    for command in ["show", "remove"] {
        bad(&fleet, &["deployment", command, HELLO], 5, &several);
    }
    let list = good(&fleet, &["deployment", "list", "--client", "press-8"]);
    let rows = cells(&list);
    assert_eq!((rows.len(), rows[1][3]), (2, "press-8"));
    good(&fleet, &["deployment", "remove", rows[1][0]]);
    assert_has(&good(&fleet, &["deployment", "show", HELLO]), &["Device:      press-7\n"]);
    for command in ["show", "remove"] {
        bad(
            &fleet,
            &["deployment", command, "nothing"],
            4,
            &["`nothing`", "gantry deployment list"],
        );
    }
    bad(&fleet, &["deployment", "list", "--client", "nobody"], 4, &["`nobody`"]);
}

#[test]
fn a_deployment_has_the_name_that_it_is_given() {
    let (fleet, _press) = fleet_with_press();
    let other =
        package(&fleet, "other", |text| text.replace("id: com-gantry-hello\n", "id: other\n"));
    good(&fleet, &["application", "add", argument(&other)]);
    good(&fleet, &["deploy", HELLO, "--to", "press-7", "--name", "greeter"]);
    let again = ["deploy", "other", "--to", "press-7", "--name", "greeter"];
    bad(&fleet, &again, 5, &["the name is taken", "choose another one"]);
    let odd = ["deploy", "other", "--to", "press-7", "--name", "No Name"];
    bad(&fleet, &odd, 6, &["`No Name`"]);
    assert_has(&good(&fleet, &["deployment", "show", "greeter"]), &["Name:        greeter\n"]);
}
