//! The catalogue: packages come in as folders and archives, and bad ones are told what is wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::client::now;
use testkit::fleet::TestFleet;
use testkit::{programs, wait};

use crate::support::{
    HELLO, argument, assert_has, bad, cells, fleet_with_press, good, hello, package, version,
};

/// An archive of a folder, made by the real `tar`.
fn archive(folder: &Path, flags: &str) -> PathBuf {
    let file = folder.with_extension(flags.trim_start_matches('-'));
    let mut tar = Command::new("tar");
    tar.arg(flags).arg(&file).arg("-C").arg(folder).arg(".");
    programs::stdout_of(&mut tar);
    file
}

#[test]
fn the_example_of_this_repository_can_be_added() {
    let fleet = TestFleet::start();
    let added = good(&fleet, &["application", "add", hello()]);
    assert_eq!(added, "com-gantry-hello@1.0.0 is in the catalogue.\n");
    let shown = good(&fleet, &["application", "show", HELLO]);
    assert_has(&shown, &["Name:        Hello\n", "Version:     1.0.0\n", " by admin\n"]);
    let table = cells(&shown);
    assert!(table.contains(&vec!["com-gantry-hello-compose", "compose", "hello"]), "{shown}");
    let what = "The port of the device on which the server answers.";
    assert!(table.contains(&vec!["port", "18080", "integer, 1024 to 65535", what]), "{shown}");
}

#[test]
fn a_package_is_a_folder_a_tar_or_a_tar_gz() {
    let fleet = TestFleet::start();
    let tar = archive(&version(&fleet, "1.1.0"), "-cf");
    let tar_gz = archive(&version(&fleet, "1.2.0"), "-czf");
    for (path, version) in [(Path::new(hello()), "1.0.0"), (&tar, "1.1.0"), (&tar_gz, "1.2.0")] {
        let added = good(&fleet, &["application", "add", argument(path)]);
        assert_eq!(added, format!("{HELLO}@{version} is in the catalogue.\n"));
    }

    let list = good(&fleet, &["application", "list"]);
    let rows = cells(&list);
    assert_eq!(rows[0], ["ID", "VERSION", "NAME", "ADDED", "BY"]);
    let versions: Vec<&str> = rows[1..].iter().map(|row| row[1]).collect();
    assert_eq!(rows.len(), 4);
    assert!(["1.0.0", "1.1.0", "1.2.0"].iter().all(|it| versions.contains(it)), "{versions:?}");
    let newest = good(&fleet, &["application", "show", HELLO]);
    assert_has(&newest, &["Version:     1.2.0\n"]);
    let one = good(&fleet, &["application", "show", &format!("{HELLO}@1.1.0")]);
    assert_has(&one, &["Version:     1.1.0\n"]);
}

#[test]
fn a_version_is_removed_unless_it_is_wanted_or_not_the_only_one() {
    let (fleet, _press) = fleet_with_press();
    let newer = version(&fleet, "1.1.0");
    good(&fleet, &["application", "add", argument(&newer)]);
    bad(&fleet, &["application", "remove", HELLO], 5, &["several versions", "1.1.0, 1.0.0"]);
    good(&fleet, &["deploy", &format!("{HELLO}@1.0.0"), "--to", "press-7"]);
    let wanted = format!("{HELLO}@1.0.0");
    bad(&fleet, &["application", "remove", &wanted], 5, &["deployment"]);

    let removed = good(&fleet, &["application", "remove", &format!("{HELLO}@1.1.0")]);
    assert_eq!(removed, format!("Removed {HELLO}@1.1.0 from the catalogue.\n"));
    bad(
        &fleet,
        &["application", "show", &format!("{HELLO}@1.1.0")],
        4,
        &["`com-gantry-hello@1.1.0`"],
    );
    good(&fleet, &["deployment", "remove", HELLO]);
    good(&fleet, &["application", "remove", HELLO]);
    for verb in ["show", "remove"] {
        let needles = ["there is no application `com-gantry-hello`", "gantry application list"];
        bad(&fleet, &["application", verb, HELLO], 4, &needles);
    }
}

#[test]
fn a_version_never_changes_its_content() {
    let fleet = TestFleet::start();
    let add = ["application", "add", hello(), "-o", "json"];
    let (first, added_at) = (good(&fleet, &add), now());
    wait::until("the next second", || (now() > added_at).then_some(()));
    assert_eq!(good(&fleet, &add), first);
    let other = package(&fleet, "other", |text| text.replace("value: Hello", "value: Moin"));
    let add = ["application", "add", argument(&other)];
    bad(&fleet, &add, 5, &["com-gantry-hello", "1.0.0"]);
}

#[test]
fn a_bad_package_is_shown_with_every_fault() {
    let fleet = TestFleet::start();
    let folder = package(&fleet, "bad", |text| {
        text.replace("id: com-gantry-hello\n", "id: Com Gantry\n")
            .replace("components: [hello]", "components: [nobody]")
            .replace("dataType: integer", "dataType: number")
    });
    let told = [
        "gantry: margo.yaml cannot be used as it is\n",
        "\n  margo.yaml: metadata.id: has to be ",
        "\n  margo.yaml: parameters.greeting.targets: there is no component `nobody`\n",
        "\n  margo.yaml: parameters.port.targets: there is no component `nobody`\n",
        "\n  margo.yaml: configuration.schema[1].dataType: `number` is not ",
    ];
    bad(&fleet, &["application", "add", argument(&folder)], 6, &told);

    let folder = package(&fleet, "unreadable", |_| "{".to_owned());
    bad(&fleet, &["application", "add", argument(&folder)], 6, &["margo.yaml", "not valid YAML"]);
    let folder = package(&fleet, "lacking", |text| text.replace("compose/hello", "compose/none"));
    let told = ["compose/none", "hello", "no such file or folder"];
    bad(&fleet, &["application", "add", argument(&folder)], 6, &told);
    let text = fleet.dir().join("server.toml");
    let told = ["the package is not a readable tar or tar.gz"];
    bad(&fleet, &["application", "add", argument(&text)], 6, &told);
    assert_eq!(cells(&good(&fleet, &["application", "list"])).len(), 1);
}

#[test]
fn a_folder_that_cannot_be_sent_as_it_is_is_refused_by_the_name_of_the_file() {
    let fleet = TestFleet::start();
    let folder = package(&fleet, "odd", str::to_owned);
    let add = ["application", "add", argument(&folder)];

    let link = folder.join("compose/hello/link");
    symlink("/etc/hostname", &link).expect("a link can be made");
    bad(&fleet, &add, 2, &[argument(&link), "no links or special files"]);
    fs::remove_file(&link).expect("the link can be removed");

    let socket = folder.join("resources/socket");
    let listener = UnixListener::bind(&socket).expect("a socket can be made");
    bad(&fleet, &add, 2, &[argument(&socket), "no links or special files"]);
    drop(listener);
    fs::remove_file(&socket).expect("the socket can be removed");

    good(&fleet, &add);
    let none = fleet.dir().join("none");
    bad(&fleet, &["application", "add", argument(&none)], 2, &[argument(&none), "No such file"]);
    let empty = folder.join("resources");
    let told = [argument(&empty), "there is no margo.yaml in this folder"];
    bad(&fleet, &["application", "add", argument(&empty)], 2, &told);
}
