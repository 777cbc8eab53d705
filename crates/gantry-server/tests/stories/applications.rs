//! Application packages: which are kept, which are refused and why, and when they can go.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};
use tar::EntryType::{self, Block, Char, Directory, Fifo, GNUSparse, Link, Regular, Symlink};
use testkit::archive::packed;
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::{add_web, package_files, sha256, tar_gz};

const NEWER: &str =
    include_str!("../../../margo-contract/tests/fixtures/application-description.yaml");
const SIGNED: &str = include_str!(
    "../../../margo-contract/tests/fixtures/signed-profile/application-description.yaml"
);
/// What a package may unpack to, in bytes.
const LARGEST_UNPACKED: usize = 128 << 20;

type Entry<'a> = (EntryType, &'a str, &'a [u8]);

/// The good package with more entries behind it.
fn good_and(more: &[Entry<'_>]) -> Vec<u8> {
    let files = package_files("1.0.0");
    let mut entries: Vec<Entry<'_>> =
        files.iter().map(|(path, text)| (Regular, path.as_str(), text.as_bytes())).collect();
    entries.extend(more);
    packed(&entries)
}

/// The good package with one piece of its description replaced.
fn described(from: &str, to: &str) -> Vec<u8> {
    let mut files = package_files("1.0.0");
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    assert!(description.contains(from), "the description has no {from:?}");
    *description = description.replacen(from, to, 1);
    tar_gz(&files)
}

fn refused(fleet: &TestFleet, package: &[u8], field: &str, says: &str) {
    let answer = fleet.operator().add_application(package);
    let problem = answer.expect_problem(422, "#semantic-error", says).json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {problem}"));
    assert!(errors.iter().any(|it| it["field"] == field), "{field} is not named: {problem}");
}

fn listed(fleet: &TestFleet) -> Vec<(String, String)> {
    let applications = fleet.operator().get("/applications");
    let items = applications["items"].as_array().expect("a list of applications");
    let text = |it: &Value| it.as_str().expect("ids and versions are text").to_owned();
    items.iter().map(|it| (text(&it["id"]), text(&it["version"]))).collect()
}

#[test]
fn what_is_no_package_is_refused() {
    let fleet = TestFleet::start();
    let without_description = packed(&[(Regular, "readme.md", b"# Web")]);
    let deep = packed(&[(Regular, "a/b/margo.yaml", b""), (Regular, "c/x", b"")]);
    let mut cut = good_and(&[]);
    cut.truncate(cut.len() / 2);
    for (package, says) in [
        (&b""[..], "margo.yaml"),
        (b"nothing of the kind", "not a readable tar"),
        (b"\x1f\x8bnothing of the kind", "not a readable tar"),
        (&cut, "not a readable tar"),
        (&packed(&[]), "margo.yaml"),
        (&without_description, "margo.yaml"),
        (&deep, "margo.yaml"),
    ] {
        refused(&fleet, package, "package", says);
    }
    assert_eq!(listed(&fleet), []);
}

#[test]
fn a_description_that_cannot_be_read_is_refused_with_the_line() {
    let fleet = TestFleet::start();
    for (from, to, says) in [
        ("apiVersion:", "apiVersion: [", "line"),
        ("  name: Web\n", "  name: Web\n  name: Web\n", "line"),
        ("kind: ApplicationDescription", "kind: &a [*a]", "line"),
    ] {
        refused(&fleet, &described(from, to), "margo.yaml", says);
    }
    let list = packed(&[(Regular, "margo.yaml", b"- a\n- b\n")]);
    refused(&fleet, &list, "margo.yaml", "margo.yaml");
    let binary = packed(&[(Regular, "margo.yaml", b"\xff\xfe\0")]);
    refused(&fleet, &binary, "margo.yaml", "margo.yaml");
    let long = format!("# {}\n", "x".repeat(1 << 20));
    refused(
        &fleet,
        &described("apiVersion:", &format!("{long}apiVersion:")),
        "margo.yaml",
        "1048576",
    );
    assert_eq!(listed(&fleet), []);
}

// margo(CF-9, PA-5, P-1, DE-1, DE-2, DE-3, DE-4)
#[test]
fn a_description_that_contradicts_itself_is_refused_and_the_field_named() {
    let fleet = TestFleet::start();
    for (from, to, field, says) in [
        (
            "parameter: greeting",
            "parameter: greetng",
            "configuration.sections[0].settings[0].parameter",
            "greetng",
        ),
        (
            "schema: portNumber",
            "schema: portnumber",
            "configuration.sections[0].settings[1].schema",
            "portnumber",
        ),
        ("components: [web]", "components: [wep]", "parameters.greeting.targets", "wep"),
        ("pointer: PORT", "pointer: GREETING", "parameters.port.targets", "GREETING"),
        ("name: yesNo", "name: text", "configuration.schema[3].name", "text"),
        ("dataType: boolean", "dataType: bool", "configuration.schema[3].dataType", "bool"),
        ("options: [lamp, siren]", "options: [lamp, 7]", "configuration.schema[4].options", "7"),
        ("^[A-Z]{3}", "^[A-Z{3}", "configuration.schema[5].regexMatch", "regular expression"),
        ("value: [lamp]", "value: {lamp: 1}", "parameters.channels.value", "list"),
        ("value: [lamp]", "value: [lamp, 1]", "parameters.channels.value", "list"),
        ("id: com-example-web", "id: com.example.web", "metadata.id", "dashes"),
        ("version: \"1.0.0\"", "version: 1.0", "metadata.version", "text"),
        ("version: \"1.0.0\"", "version: \"1/0\"", "metadata.version", "1/0"),
        ("  name: Web\n", "", "metadata.name", "missing"),
        ("  name: Web\n", "  name: \"We\\0b\"\n", "metadata.name", "NUL character"),
        ("apiVersion: margo.org/v1-alpha1", "apiVersion: v9", "apiVersion", "v9"),
        ("kind: ApplicationDescription", "kind: Recipe", "kind", "ApplicationDescription"),
        ("type: compose", "type: quadlet", "deploymentProfiles[0].type", "quadlet"),
        (
            "- name: web\n",
            "- name: Web\n",
            "deploymentProfiles[0].components[0].name",
            "lower-case",
        ),
        (
            "packageLocation: compose/web",
            "revision: 1.0.0",
            "deploymentProfiles[0].components[0].properties.packageLocation",
            "missing",
        ),
    ] {
        let package = described(from, to);
        refused(&fleet, &package, &format!("margo.yaml: {field}"), says);
    }
    assert_eq!(listed(&fleet), []);
}

#[test]
fn every_fault_of_a_description_is_named_at_once() {
    let fleet = TestFleet::start();
    let mut files = package_files("1.0.0");
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    *description = description.replacen("parameter: greeting", "parameter: greetng", 1).replacen(
        "dataType: boolean",
        "dataType: bool",
        1,
    );
    let answer = fleet.operator().add_application(&tar_gz(&files)).expect(422);
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(2), "{}", answer.text());

    let package = described("packageLocation: compose/web", "wait: true");
    let answer = fleet.operator().add_application(&package).expect(422);
    // What aims at the faulty component is not at fault.
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(1), "{}", answer.text());
}

#[test]
fn a_file_that_the_description_names_has_to_be_there() {
    let fleet = TestFleet::start();
    let catalog = "  catalog:\n";
    for (key, file) in [
        ("icon", "resources/icon.svg"),
        ("descriptionFile", "./resources/about.md"),
        ("licenseFile", "../licence.txt"),
        ("releaseNotes", "/etc/passwd"),
    ] {
        let application = format!("{catalog}    application:\n      {key}: {file}\n");
        refused(&fleet, &described(catalog, &application), "package", file);
    }
    let elsewhere =
        format!("{catalog}    application:\n      icon: https://example.com/icon.svg\n");
    fleet.operator().add_application(&described(catalog, &elsewhere)).expect(201);
}

#[test]
fn what_leads_out_of_the_package_or_is_no_file_is_refused() {
    let fleet = TestFleet::start();
    for (entry, says) in [
        ((Regular, "../evil", &b"x"[..]), "../evil"),
        ((Regular, "a/../../evil", b"x"), "a/../../evil"),
        ((Regular, "/etc/evil", b"x"), "/etc/evil"),
        ((Directory, "../evil/", b""), "../evil"),
        ((Regular, "a\\b", b"x"), "characters"),
        ((Symlink, "link", b""), "link"),
        ((Link, "hard", b""), "hard"),
        ((Char, "null", b""), "null"),
        ((Block, "disk", b""), "disk"),
        ((Fifo, "pipe", b""), "pipe"),
        ((GNUSparse, "sparse", b""), ""),
        ((Regular, "margo.yaml", b"x"), "margo.yaml"),
        ((Regular, "./compose//web/compose.yaml", b"x"), "compose.yaml"),
    ] {
        refused(&fleet, &good_and(&[entry]), "package", says);
    }
    assert_eq!(listed(&fleet), []);
}

#[test]
fn a_package_that_swells_is_refused() {
    let fleet = TestFleet::start();
    let zeros = vec![0; 2 * LARGEST_UNPACKED];
    let half = &zeros[..LARGEST_UNPACKED / 2 + 1];
    let long_name = EntryType::GNULongName;
    for bomb in [
        good_and(&[(Regular, "zeros", &zeros)]),
        good_and(&[(Regular, "zeros", half), (Regular, "more", half)]),
        // Neither is a file, and both have to be read to get past them.
        good_and(&[(Directory, "folder", &zeros), (Regular, "x", b"")]),
        good_and(&[(long_name, "././@LongLink", &zeros), (Regular, "x", b"")]),
    ] {
        assert!(bomb.len() < 4 << 20, "a bomb is small");
        refused(&fleet, &bomb, "package", "unpacks to more than");
    }
    let names: Vec<String> = (0..=5_000).map(|it| format!("files/{it}")).collect();
    let many: Vec<Entry<'_>> = names.iter().map(|it| (Regular, it.as_str(), &b""[..])).collect();
    refused(&fleet, &good_and(&many), "package", "more than 5000 files");
    assert_eq!(listed(&fleet), []);
}

// margo(R-30, R-31, R-33, R-35).
#[test]
fn the_archive_of_a_compose_component_is_looked_into() {
    let fleet = TestFleet::start();
    let compose: Entry<'_> = (Regular, "web/compose.yaml", b"services: {}");
    for (archive, says) in [
        (&b"nothing of the kind"[..], "not a readable tar.gz"),
        (&packed(&[]), "compose.yaml"),
        (&packed(&[(Regular, "web/docker-compose.yml", b"services: {}")]), "compose.yaml"),
        (&packed(&[(Regular, "web/compose.yml", b"services: {}")]), "compose.yaml"),
        (&packed(&[(Regular, "web/app/compose.yaml", b"services: {}")]), "compose.yaml"),
        (&packed(&[(Regular, "compose.yaml", b"services: {}")]), "one folder"),
        (&packed(&[compose, (Regular, "db/compose.yaml", b"services: {}")]), "db/compose.yaml"),
        (&packed(&[compose, (Regular, "web/../../evil", b"x")]), "web/../../evil"),
        (&packed(&[compose, (Regular, "/etc/evil", b"x")]), "/etc/evil"),
        (&packed(&[compose, (Symlink, "web/link", b"")]), "web/link"),
        (&packed(&[compose, (Link, "web/hard", b"")]), "web/hard"),
        (&packed(&[compose, (Fifo, "web/pipe", b"")]), "web/pipe"),
        (&packed(&[compose, compose]), "twice"),
        (
            &packed(&[
                compose,
                (EntryType::GNULongName, "././@LongLink", &vec![0; LARGEST_UNPACKED]),
            ]),
            "unpacks to more than",
        ),
    ] {
        let description = package_files("1.0.0")["margo.yaml"]
            .replace("packageLocation: compose/web", "packageLocation: web.tar.gz");
        let package = packed(&[
            (Regular, "margo.yaml", description.as_bytes()),
            (Regular, "web.tar.gz", archive),
        ]);
        refused(&fleet, &package, "package", says);
        refused(&fleet, &package, "package", "`web`");
    }

    let mut files = package_files("1.0.0");
    let compose = files.remove("compose/web/compose.yaml").expect("a package has it");
    refused(&fleet, &tar_gz(&files), "package", "compose/web");
    files.insert("compose/web/docker-compose.yml".to_owned(), compose);
    refused(&fleet, &tar_gz(&files), "package", "compose.yaml");
    for location in ["../web", "http://example.com/web.tar.gz", "file:///etc/passwd", "nowhere"] {
        let package =
            described("packageLocation: compose/web", &format!("packageLocation: {location}"));
        refused(&fleet, &package, "package", location);
    }
    assert_eq!(listed(&fleet), []);
}

#[test]
fn a_package_comes_as_a_tar_and_nothing_else() {
    let fleet = TestFleet::start();
    let package = tar_gz(&package_files("1.0.0"));
    let send = |content_type: &str| -> Answer {
        fleet.operator().send_bytes("POST", "/applications", content_type, Some(&package))
    };
    for content_type in ["application/json", "text/plain", "multipart/form-data", "", "gzip"] {
        send(content_type).expect_problem(415, "about:blank", "application/gzip");
    }
    assert_eq!(listed(&fleet), []);
    send("application/gzip").expect(201);
    for content_type in ["application/x-tar", "Application/X-Gzip", "application/octet-stream; v=1"]
    {
        send(content_type).expect(200);
    }
}

#[test]
fn a_version_never_changes() {
    let fleet = TestFleet::start();
    let mut files = package_files("1.0.0");
    let added = fleet.operator().add_application(&tar_gz(&files)).expect(201).json();
    let again = fleet.operator().add_application(&tar_gz(&files)).expect(200).json();
    assert_eq!(added, again);

    let compose = files.get_mut("compose/web/compose.yaml").expect("a package has it");
    compose.push_str("# changed\n");
    fleet.operator().add_application(&tar_gz(&files)).expect_problem(409, "about:blank", "1.0.0");
    let other = described("name: Greeting", "name: Words");
    fleet.operator().add_application(&other).expect_problem(409, "about:blank", "new version");
    assert_eq!(fleet.operator().get("/applications/com-example-web/1.0.0"), added);
    assert_eq!(listed(&fleet).len(), 1);
}

#[test]
fn an_application_goes_when_nothing_is_made_of_it_any_more() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let path = "/applications/com-example-web/1.0.0";
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));

    let remove = |path: &str| fleet.operator().send("DELETE", path, None);
    remove(path).expect_problem(409, "about:blank", "deployment");
    for unknown in ["com-example-web/2.0.0", "com-example-app/1.0.0", "Web/1.0.0"] {
        remove(&format!("/applications/{unknown}")).expect_problem(
            404,
            "about:blank",
            "application",
        );
    }
    assert_eq!(listed(&fleet).len(), 1);

    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    remove(path).expect(204);
    remove(path).expect(404);
    assert_eq!(listed(&fleet), []);
    fleet.operator().send("GET", path, None).expect(404);
    fleet.operator().send("GET", "/applications/com-example-web", None).expect(404);
    // The history still tells of it.
    let gone = fleet.operator().get(&format!("/deployments/{deployment}"));
    assert_eq!(gone["applicationVersion"], "1.0.0");
    add_web(&fleet);
}

#[test]
fn the_version_that_was_added_last_is_the_newest() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    for version in ["1.9.0", "1.10.0", "2.0.0-rc.1", "1.10.1"] {
        fleet.operator().add_application(&tar_gz(&package_files(version))).expect(201);
    }
    fleet.operator().add_application(&tar_gz(&package_files("1.9.0"))).expect(200);

    let versions = fleet.operator().get("/applications/com-example-web");
    let versions: Vec<&Value> =
        versions["items"].as_array().expect("a list").iter().map(|it| &it["version"]).collect();
    assert_eq!(versions, ["1.10.1", "2.0.0-rc.1", "1.10.0", "1.9.0"]);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    let deployment = fleet.operator().get(&format!("/deployments/{deployment}"));
    assert_eq!(deployment["applicationVersion"], "1.10.1");
}

// margo(G-4, SP-42, SP-48)
#[test]
fn descriptions_of_both_generations_are_kept_and_shown() {
    let fleet = TestFleet::start();
    let newer = BTreeMap::from(
        [
            ("margo.yaml", NEWER),
            ("resources/icon.svg", "<svg/>"),
            ("resources/about.md", "# About"),
            ("resources/changes.md", "# Changes"),
            ("resources/licence.txt", "Free"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned())),
    );
    let signed = BTreeMap::from([("margo.yaml".to_owned(), SIGNED.to_owned())]);
    let signed = fleet.operator().add_application(&tar_gz(&signed)).expect(201).json();
    let newer = fleet.operator().add_application(&tar_gz(&newer)).expect(201).json();

    for (application, version) in [(&signed, "2.3.0"), (&newer, "2.4.0")] {
        assert_eq!(application["id"], "tidewater-gauge");
        assert_eq!(application["version"], version);
        let kinds: Vec<&Value> = application["profiles"]
            .as_array()
            .expect("profiles")
            .iter()
            .map(|it| &it["type"])
            .collect();
        // margo(X-09): helm.v3 is helm.
        assert_eq!(kinds, ["helm", "compose"]);
        let path = format!("/applications/tidewater-gauge/{version}");
        assert_eq!(fleet.operator().get(&path), *application);
    }
    assert_eq!(signed["digest"], sha256(SIGNED.as_bytes()));
    let parameters = newer["parameters"].as_array().expect("parameters");
    let site = parameters.iter().find(|it| it["name"] == "siteCode").expect("it is described");
    assert_eq!(site["immutable"], true);
    assert_eq!(site["accepts"], "string, matching ^[A-Z]{3}[0-9]{2}$, 5 to 5 characters");
}

#[test]
fn a_large_tar_without_compression_is_taken() {
    let fleet = TestFleet::start();
    let files = package_files("1.0.0");
    let mut archive = tar::Builder::new(Vec::new());
    let noise: Vec<u8> = (0..8 << 20).map(|it: u32| it.to_le_bytes()[1]).collect();
    let files = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes()));
    for (path, bytes) in files.chain([("compose/web/noise", noise.as_slice())]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes).expect("writing to memory");
    }
    let mut package = archive.into_inner().expect("writing to memory");
    package.flush().expect("writing to memory");
    let send = |package: &[u8]| {
        fleet.operator().send_bytes("POST", "/applications", "application/x-tar", Some(package))
    };
    send(&package).expect(201);
}

#[test]
fn an_upload_beyond_the_limit_is_refused_while_it_comes() {
    let fleet = TestFleet::start();
    let upload = vec![0; (64 << 20) + 1];
    fleet.operator().add_application(&upload).expect_problem(413, "about:blank", "67108864");
}
