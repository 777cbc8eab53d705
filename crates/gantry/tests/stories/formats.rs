//! `-o json` and `-o yaml`: what programs read. Field names are an interface: each type's are listed
//! here once.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::fleet::TestFleet;

use crate::support::{
    HELLO, announcement, argument, fleet_with_press, gantry, good, hello, published,
    report_failure, run, version,
};

const PAGE: &[&str] = &["items"];
const WHOAMI: &[&str] = &["name", "role"];
const REPOSITORY: &[&str] = &["url", "branch", "username", "token", "expiresAt", "signers"];
const SIGNING_KEY: &[&str] = &["publicKey", "allowedSignersLine", "inUse"];
const CLIENT: &[&str] = &[
    "id",
    "name",
    "standing",
    "certificateFingerprint",
    "certificateExpiresAt",
    "onboardedAt",
    "decidedBy",
    "decidedAt",
    "contact",
    "revision",
    "devices",
];
const CONTACT: &[&str] = &[
    "standing",
    "lastContact",
    "nextContact",
    "expectedBy",
    "quiet",
    "revisionRunning",
    "undelivered",
];
const DEVICE: &[&str] = &["id", "capabilities", "reportedAt"];
const APPLICATION: &[&str] = &[
    "id",
    "version",
    "name",
    "description",
    "digest",
    "addedAt",
    "addedBy",
    "profiles",
    "parameters",
];
const PROFILE: &[&str] = &["id", "type", "components"];
const PARAMETER: &[&str] = &["name", "default", "accepts", "description", "immutable"];
const APPLICATION_SUMMARY: &[&str] = &["id", "version", "name", "addedAt", "addedBy"];
const DEPLOYMENT: &[&str] = &[
    "id",
    "name",
    "clientId",
    "deviceId",
    "applicationId",
    "applicationVersion",
    "wanted",
    "state",
    "error",
    "components",
    "parameters",
    "revision",
    "orderedBy",
    "orderedAt",
    "heardAt",
    "orderedEvent",
];
const COMPONENT_STATUS: &[&str] = &["name", "state", "error"];
const STATUS_ERROR: &[&str] = &["code", "source", "message"];
const REVISION_SUMMARY: &[&str] = &["number", "commit", "publishedAt", "subject", "manifestDigest"];
const REVISION: &[&str] = &[
    "number",
    "commit",
    "publishedAt",
    "subject",
    "manifestDigest",
    "message",
    "manifest",
    "documents",
];
const REVISION_DOCUMENT: &[&str] = &[
    "deploymentId",
    "name",
    "applicationId",
    "applicationVersion",
    "parameters",
    "digest",
    "yaml",
];
const DIFFERENCE: &[&str] = &["clientId", "from", "to", "changes"];
const CHANGE: &[&str] = &[
    "deploymentId",
    "name",
    "applicationId",
    "what",
    "versionBefore",
    "versionAfter",
    "parameters",
    "diff",
];
const ROLLBACK: &[&str] =
    &["clientId", "revision", "dryRun", "changes", "deployments", "newestOrder"];
const PARAMETER_CHANGE: &[&str] = &["name", "before", "after"];

/// What a command prints for programs: the same in both forms, and nothing beside it.
#[track_caller]
fn result(fleet: &TestFleet, arguments: &[&str]) -> Value {
    let json = good(fleet, &[arguments, &["-o", "json"]].concat());
    let json: Value = serde_json::from_str(&json).expect("one JSON document");
    let yaml = good(fleet, &[arguments, &["--output", "yaml"]].concat());
    let yaml: Value = serde_saphyr::from_str(&yaml).expect("one YAML document");
    assert_eq!(json, yaml, "{arguments:?}");
    json
}

#[track_caller]
fn has_fields(value: &Value, expected: &[&str]) {
    let fields = value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).keys();
    let fields: BTreeSet<&str> = fields.map(String::as_str).collect();
    assert_eq!(fields, expected.iter().copied().collect(), "{value}");
}

/// A fleet where every field has a value: a client with a device, and a deployment that failed.
fn fleet_with_a_failure() -> TestFleet {
    let (fleet, press) = fleet_with_press();
    good(&fleet, &["deploy", HELLO, "--to", "press-7", "--set", "greeting=no"]);
    let id = published(&fleet, 2);
    report_failure(&press, &id, "no: such\nimage");
    press.announce(&announcement(3600)).expect(200);
    fleet
}

#[test]
fn what_is_asked_for_is_json_or_yaml_with_stable_fields() {
    let fleet = fleet_with_a_failure();
    has_fields(&result(&fleet, &["whoami"]), WHOAMI);

    let clients = result(&fleet, &["client", "list"]);
    has_fields(&clients, PAGE);
    has_fields(&clients["items"][0], CLIENT);
    let client = result(&fleet, &["client", "show", "press-7"]);
    assert_eq!(client["items"], Value::Null);
    has_fields(&client, CLIENT);
    has_fields(&client["devices"][0], DEVICE);
    has_fields(&client["contact"], CONTACT);
    let keys = result(&fleet, &["signing-key", "list"]);
    has_fields(&keys, PAGE);
    has_fields(&keys["items"][0], SIGNING_KEY);

    let applications = result(&fleet, &["application", "list"]);
    has_fields(&applications, PAGE);
    has_fields(&applications["items"][0], APPLICATION_SUMMARY);
    let application = result(&fleet, &["application", "show", HELLO]);
    has_fields(&application, APPLICATION);
    has_fields(&application["profiles"][0], PROFILE);
    has_fields(&application["parameters"][0], PARAMETER);

    let deployments = result(&fleet, &["deployment", "list"]);
    has_fields(&deployments, PAGE);
    has_fields(&deployments["items"][0], DEPLOYMENT);
    let deployment = result(&fleet, &["deployment", "show", HELLO]);
    has_fields(&deployment, DEPLOYMENT);
    has_fields(&deployment["components"][0], COMPONENT_STATUS);
    has_fields(&deployment["components"][0]["error"], STATUS_ERROR);
    assert_eq!(deployment["error"]["message"], "no: such\nimage");
    assert_eq!(deployment["parameters"]["greeting"], "no");

    let revisions = result(&fleet, &["desired-state", "log", "press-7"]);
    has_fields(&revisions, PAGE);
    has_fields(&revisions["items"][0], REVISION_SUMMARY);
    let revision = result(&fleet, &["desired-state", "show", "press-7"]);
    has_fields(&revision, REVISION);
    has_fields(&revision["documents"][0], REVISION_DOCUMENT);
    let difference = result(&fleet, &["desired-state", "diff", "press-7"]);
    has_fields(&difference, DIFFERENCE);
    assert_eq!(difference["changes"][0]["what"], "added");
    good(&fleet, &["deployment", "update", HELLO, "--set", "greeting=yes"]);
    published(&fleet, 3);
    let difference = result(&fleet, &["desired-state", "diff", "press-7"]);
    has_fields(&difference["changes"][0], CHANGE);
    has_fields(&difference["changes"][0]["parameters"][0], PARAMETER_CHANGE);
    let nothing = ["desired-state", "rollback", "press-7", "--to", "3", "--reason", "none"];
    has_fields(&result(&fleet, &nothing), ROLLBACK);
}

#[test]
fn what_is_ordered_is_json_or_yaml_too() {
    let (fleet, press) = fleet_with_press();
    let added = result(&fleet, &["application", "add", hello()]);
    has_fields(&added, APPLICATION);
    let mut lathe = fleet.stranger("lathe-2");
    lathe.onboard().expect(403);
    assert_eq!(result(&fleet, &["client", "reject", "lathe-2"])["standing"], "rejected");
    good(&fleet, &["client", "approve", "lathe-2"]);
    lathe.onboard().expect(201);
    fleet.operator().revision_reached(lathe.id(), 1);
    assert_eq!(result(&fleet, &["client", "approve", "lathe-2"])["standing"], "approved");
    assert_eq!(result(&fleet, &["client", "revoke", "lathe-2"])["standing"], "revoked");
    let deploy = good(&fleet, &["deploy", HELLO, "--to", "press-7", "-o", "yaml"]);
    let deployment: Value = serde_saphyr::from_str(&deploy).expect("one YAML document");
    published(&fleet, 2);
    assert_eq!(deployment["state"], "ordered");
    let update = ["deployment", "update", HELLO, "--set", "greeting=Moin"];
    good(&fleet, &update);
    published(&fleet, 3);
    assert_eq!(result(&fleet, &update)["parameters"]["greeting"], "Moin");
    // What a device was told of stays in `removing` until it says something.
    press.get(&press.path("/deployments"), &[]).expect(200);
    assert_eq!(result(&fleet, &["deployment", "remove", HELLO])["wanted"], false);

    let repository = ["client", "repository", "press-7", "-o"];
    let json = good(&fleet, &[&repository[..], &["json"]].concat());
    let yaml = good(&fleet, &[&repository[..], &["yaml"]].concat());
    has_fields(&serde_json::from_str(&json).expect("one JSON document"), REPOSITORY);
    has_fields(&serde_saphyr::from_str(&yaml).expect("one YAML document"), REPOSITORY);
    let rotated = good(&fleet, &["signing-key", "rotate", "-o", "json"]);
    has_fields(&serde_json::from_str(&rotated).expect("one JSON document"), SIGNING_KEY);

    let tokens = fleet.token_file();
    let login = ["login", &fleet.url(), "--token-file", argument(&tokens)];
    has_fields(&result(&fleet, &login), WHOAMI);
}

#[test]
fn where_there_is_no_result_nothing_is_printed_for_programs() {
    let fleet = TestFleet::start();
    let newer = version(&fleet, "1.1.0");
    good(&fleet, &["application", "add", hello()]);
    good(&fleet, &["application", "add", argument(&newer)]);
    for (format, version) in [("json", "1.0.0"), ("yaml", "1.1.0")] {
        let application = format!("{HELLO}@{version}");
        let told = gantry(&fleet, &["application", "remove", &application, "-o", format]).ends(0);
        assert_eq!((told.stdout.as_str(), told.stderr.contains("Removed")), ("", true));
    }
    for format in ["json", "yaml"] {
        let told = run(&mut fleet.gantry(&["logout", "-o", format])).ends(0);
        assert_eq!((told.stdout.as_str(), told.stderr.contains("Signed out")), ("", true));
    }
}
