//! Orders of operators: every value is checked against the rules of its schema, everything that is
//! wrong is told, and what is refused changes nothing.

use std::collections::BTreeMap;

use margo_contract::application_deployment::ApplicationDeployment;
use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::{add_web, fleet_with_deployment, greet, manifest, package_files, tar_gz};

/// One parameter of each data type, with every rule that a schema can have.
const GAUGE: &str = r#"apiVersion: v1
id: gauge
metadata:
  name: Gauge
  version: "1.0.0"
  catalog:
    organization:
      - name: Example
deploymentProfiles:
  - type: compose
    id: gauge-compose
    components:
      - name: box
        properties:
          packageLocation: https://example.com/box.tar.gz
parameters:
  code: { targets: [{ pointer: CODE, components: [box] }] }
  note: { targets: [{ pointer: NOTE, components: [box] }] }
  label: { value: north, targets: [{ pointer: LABEL, components: [box] }] }
  count: { value: 60, targets: [{ pointer: COUNT, components: [box] }] }
  ratio: { value: 3.25, targets: [{ pointer: RATIO, components: [box] }] }
  audit: { value: false, targets: [{ pointer: AUDIT, components: [box] }] }
  datum: { value: chart, targets: [{ pointer: DATUM, components: [box] }] }
  level: { value: 1, targets: [{ pointer: LEVEL, components: [box] }] }
  channels: { value: [siren], targets: [{ pointer: CHANNELS, components: [box] }] }
  ports: { value: [8080], targets: [{ pointer: PORTS, components: [box] }] }
  names: { value: [north], targets: [{ pointer: NAMES, components: [box] }] }
  steps: { value: [1, 2], targets: [{ pointer: STEPS, components: [box] }] }
  offsets: { value: [0.5], targets: [{ pointer: OFFSETS, components: [box] }] }
  switches: { value: [true], targets: [{ pointer: SWITCHES, components: [box] }] }
  fixed: { value: as it is, targets: [{ pointer: FIXED, components: [box] }] }
configuration:
  sections:
    - name: All
      settings:
        - { parameter: code, name: Code, schema: fiveCharacters }
        - { parameter: note, name: Note, schema: anything }
        - { parameter: label, name: Label, schema: anything }
        - { parameter: count, name: Count, schema: fromFive }
        - { parameter: ratio, name: Ratio, schema: places }
        - { parameter: audit, name: Audit, schema: yesNo }
        - { parameter: datum, name: Datum, schema: choice }
        - { parameter: level, name: Level, schema: numberChoice }
        - { parameter: channels, name: Channels, schema: someChannels }
        - { parameter: ports, name: Ports, schema: somePorts }
        - { parameter: names, name: Names, schema: shortNames }
        - { parameter: steps, name: Steps, schema: steps }
        - { parameter: offsets, name: Offsets, schema: offsets }
        - { parameter: switches, name: Switches, schema: switches }
  schema:
    - { name: fiveCharacters, dataType: string, minLength: 2, maxLength: 5, regexMatch: "^[A-ZÄ]{3}" }
    - { name: anything, dataType: string, allowEmpty: true }
    - { name: fromFive, dataType: integer, minValue: 5, maxValue: 3600 }
    - { name: places, dataType: double, minValue: 0.5, maxValue: 12.0, minPrecision: 1, maxPrecision: 2 }
    - { name: yesNo, dataType: boolean }
    - { name: choice, dataType: string, options: [chart, ordnance] }
    - { name: numberChoice, dataType: integer, options: [1, 2] }
    - { name: someChannels, dataType: "array[string]", multiselect: true, allowEmpty: true, options: [siren, lamp] }
    - { name: somePorts, dataType: integer, multiselect: true, options: [8080, 9090] }
    - { name: shortNames, dataType: "array[string]", maxLength: 5 }
    - { name: steps, dataType: "array[integer]", minValue: 0 }
    - { name: offsets, dataType: "array[double]", maxPrecision: 1 }
    - { name: switches, dataType: "array[boolean]" }
"#;

/// A value, the words that name the broken rule, and words of what would be accepted.
type Wrong = (&'static str, Value, &'static str, &'static str);

fn wrong_values() -> Vec<Wrong> {
    vec![
        ("code", json!("A"), "1 characters, too few", "2 to 5 characters"),
        ("code", json!("ABCDEF"), "6 characters, too many", "2 to 5 characters"),
        ("code", json!("abc"), "does not match the pattern", "^[A-ZÄ]{3}"),
        ("code", json!(""), "must not be empty", "string"),
        ("code", json!(12345), "not of type string", "string"),
        ("code", json!(["ABC"]), "not of type string", "string"),
        ("code", json!({"a": "ABC"}), "not of type string", "string"),
        ("count", json!(4), "too small", "5 to 3600"),
        ("count", json!(3601), "too large", "5 to 3600"),
        ("count", json!(-9_223_372_036_854_775_808_i64), "too small", "5 to 3600"),
        ("count", json!(18_446_744_073_709_551_615_u64), "too large", "5 to 3600"),
        ("count", json!(7.0), "not of type integer", "integer"),
        ("count", json!("60"), "not of type integer", "integer"),
        ("count", json!(true), "not of type integer", "integer"),
        ("count", json!({"text": "6.5"}), "not of type integer", "integer"),
        ("ratio", json!(3), "0 decimal places, too few", "1 to 2 decimal places"),
        ("ratio", json!(3.255), "3 decimal places, too many", "1 to 2 decimal places"),
        ("ratio", json!(1e-9), "too small", "0.5 to 12"),
        ("ratio", json!(12.01), "too large", "0.5 to 12"),
        ("ratio", json!("3.25"), "not of type double", "double"),
        ("audit", json!("true"), "not of type boolean", "boolean"),
        ("audit", json!(1), "not of type boolean", "boolean"),
        ("audit", json!({"text": "yes"}), "not of type boolean", "boolean"),
        ("datum", json!("sea"), "not one of the options", "one of \"chart\", \"ordnance\""),
        ("datum", json!("Chart"), "not one of the options", "one of \"chart\", \"ordnance\""),
        ("level", json!(3), "not one of the options", "one of 1, 2"),
        ("level", json!("1"), "not of type integer", "one of 1, 2"),
        ("channels", json!("siren"), "not a list", "a list of string"),
        ("channels", json!(["siren", "horn"]), "\"horn\" is not one of", "\"siren\", \"lamp\""),
        ("ports", json!(8080), "not a list", "a list of integer"),
        ("ports", json!([]), "must not be empty", "a list of integer"),
        ("ports", json!([8080, 80]), "80 is not one of", "8080, 9090"),
        ("names", json!(["north", "southern"]), "\"southern\" has 8 characters", "5 or less"),
        ("names", json!([["north"]]), "not of type string", "a list of string"),
        ("steps", json!([1, -1]), "-1 is too small", "0 or more"),
        ("steps", json!([1, 2.5]), "2.5 is not of type integer", "a list of integer"),
        ("offsets", json!([0.25]), "2 decimal places, too many", "1 or less decimal places"),
        ("switches", json!([true, "false"]), "\"false\" is not of type", "a list of boolean"),
        ("fixed", json!("otherwise"), "cannot be set", "no setting"),
        ("cuont", json!(60), "not a parameter", "audit, channels, code, count"),
        ("cuont", json!(null), "not a parameter", "audit, channels, code, count"),
    ]
}

fn good_values() -> Vec<(&'static str, Value)> {
    vec![
        ("code", json!("ÄBC")),
        ("code", json!("ABC🦀x")),
        ("note", json!("")),
        ("count", json!(5)),
        ("count", json!(3600)),
        ("ratio", json!(0.5)),
        ("ratio", json!(11.25)),
        ("audit", json!(true)),
        ("datum", json!("ordnance")),
        ("level", json!(2)),
        ("channels", json!([])),
        ("channels", json!(["lamp", "siren"])),
        ("ports", json!([9090, 8080])),
        ("names", json!(["a", "ünïté"])),
        ("steps", json!([0, 18_446_744_073_709_551_615_u64])),
        ("offsets", json!([1, 0.5, -0.1])),
        ("switches", json!([false, true])),
        ("fixed", json!("as it is")),
    ]
}

/// A fleet that has the gauge, and a client whose desired state is still empty.
fn fleet_with_gauge() -> (TestFleet, TestClient) {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let files = BTreeMap::from([("margo.yaml".to_owned(), GAUGE.to_owned())]);
    fleet.operator().add_application(&tar_gz(&files)).expect(201);
    fleet.operator().revision_reached(press.id(), 1);
    (fleet, press)
}

fn order(client: &TestClient, application: &str, parameters: &Value) -> Value {
    json!({"applicationId": application, "clientId": client.id(), "parameters": parameters})
}

fn send(fleet: &TestFleet, order: &Value) -> Answer {
    fleet.operator().send("POST", "/deployments", Some(order))
}

fn patch(fleet: &TestFleet, deployment: &str, update: &Value) -> Answer {
    fleet.operator().send("PATCH", &format!("/deployments/{deployment}"), Some(update))
}

fn id_of(deployment: &Value) -> String {
    deployment["id"].as_str().expect("a deployment has an id").to_owned()
}

/// The message about one field of a refusal.
#[track_caller]
fn message(answer: Answer, field: &str) -> String {
    let problem = answer.expect_problem(422, "#semantic-error", "").json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {problem}"));
    let fault = errors.iter().find(|it| it["field"] == field);
    let message = fault.and_then(|it| it["message"].as_str());
    message.unwrap_or_else(|| panic!("{field} is not named: {problem}")).to_owned()
}

/// What the device gets to read of its one deployment.
fn document(client: &TestClient) -> ApplicationDeployment {
    let manifest = manifest(client);
    let url = manifest["deployments"][0]["url"].as_str().expect("something is published");
    let bytes = client.get(url, &[]).expect(200).body;
    ApplicationDeployment::parse(&bytes).expect("what is published can be read")
}

/// With the one parameter that has to be set, and another one.
fn with(parameter: &str, value: &Value) -> Value {
    let mut parameters = json!({"code": "ABC"});
    parameters[parameter] = value.clone();
    parameters
}

// margo(CF-1, CF-3, CF-4, CF-5, CF-6, CF-7)
#[test]
fn a_wrong_value_is_refused_with_its_rule_and_orders_nothing() {
    let (fleet, press) = fleet_with_gauge();
    for (parameter, value, rule, accepted) in wrong_values() {
        let order = order(&press, "gauge", &with(parameter, &value));
        let message = message(send(&fleet, &order), &format!("parameters.{parameter}"));
        let shown = value.get("text").unwrap_or(&value).to_string();
        for said in [shown.as_str(), rule, accepted] {
            assert!(message.contains(said), "{parameter} = {value}: {message:?} lacks {said:?}");
        }
    }
    assert_eq!(fleet.operator().get("/deployments")["items"], json!([]));
    let deployment = send(&fleet, &order(&press, "gauge", &json!({"code": "ABC"}))).expect(201);
    assert_eq!(fleet.operator().published(&id_of(&deployment.json())), 2, "the first change");
}

#[test]
fn a_wrong_value_is_refused_with_its_rule_and_changes_nothing() {
    let (fleet, press) = fleet_with_gauge();
    let deployment = fleet.operator().deploy("gauge", press.id(), &json!({"code": "ABC"}));
    assert_eq!(fleet.operator().published(&deployment), 2);
    let path = format!("/deployments/{deployment}");
    let (before, published) = (fleet.operator().get(&path), manifest(&press));

    for (parameter, value, rule, accepted) in wrong_values() {
        // One good value beside the wrong one does not get through either.
        let mut parameters = json!({"label": "changed"});
        parameters[parameter] = value.clone();
        let answer = patch(&fleet, &deployment, &json!({"parameters": parameters}));
        let message = message(answer, &format!("parameters.{parameter}"));
        assert!(message.contains(rule), "{parameter} = {value}: {message}");
        assert!(message.contains(accepted), "{parameter} = {value}: {message}");
    }
    assert_eq!(fleet.operator().get(&path), before);
    assert_eq!(manifest(&press), published);
    let update = json!({"parameters": {"label": "south"}});
    patch(&fleet, &deployment, &update).expect(200);
    assert_eq!(fleet.operator().published(&deployment), 3, "the first change");
}

#[test]
fn all_faults_of_an_order_are_told_at_once() {
    let (fleet, press) = fleet_with_gauge();
    let parameters = json!({"count": 0, "datum": "sea", "cuont": 1});
    let problem = send(&fleet, &order(&press, "gauge", &parameters)).expect(422).json();
    let errors = problem["errors"].as_array().expect("every fault is listed");
    let fields: Vec<&str> = errors.iter().filter_map(|it| it["field"].as_str()).collect();
    let wrong = ["parameters.cuont", "parameters.code", "parameters.count", "parameters.datum"];
    assert_eq!(fields, wrong, "{problem}");
    // margo(PA-2): what has no default has to be set.
    assert!(problem.to_string().contains("needs a value"), "{problem}");
}

// margo(CF-2, CF-7, PA-1)
#[test]
fn a_good_value_reaches_the_device_as_it_is() {
    let (fleet, press) = fleet_with_gauge();
    let deployment = fleet.operator().deploy("gauge", press.id(), &json!({"code": "ABC"}));
    let mut revision = fleet.operator().published(&deployment);
    for (parameter, value) in good_values() {
        let update = json!({"parameters": {parameter: value}});
        let updated = patch(&fleet, &deployment, &update).expect(200).json();
        assert_eq!(updated["parameters"][parameter], value);
        revision = fleet.operator().published(&deployment).max(revision);
        fleet.operator().revision_reached(press.id(), revision);
        assert_eq!(document(&press).parameters[parameter].value, value, "{parameter}");
    }
}

#[test]
fn text_is_data_whatever_is_in_it() {
    let (fleet, press) = fleet_with_gauge();
    let deployment = fleet.operator().deploy("gauge", press.id(), &json!({"code": "ABC"}));
    let long = "x ".repeat(20_000);
    for text in [
        "null",
        "~",
        "true",
        "NO",
        "1_000",
        "0x1f",
        "1e3",
        ".inf",
        "2024-01-01",
        "=",
        "<<",
        "- a",
        "a: b",
        "# no comment",
        "!tag",
        "&a",
        "*a",
        "%TAG",
        "@a",
        "`a`",
        "{a}",
        "[a",
        "'",
        "\"",
        "\\",
        " blank ",
        "two\nlines\n",
        "\n",
        "tab\t",
        "\r\n",
        "\u{7}\u{1b}[31m",
        "\u{85}\u{2028}\u{feff}",
        "--- a",
        "...",
        "$(reboot) ${PATH} `id`",
        "🦀 ünïté",
        "\u{0}",
        &long,
    ] {
        let update = json!({"parameters": {"note": text}});
        patch(&fleet, &deployment, &update).expect(200);
        let revision = fleet.operator().published(&deployment);
        fleet.operator().revision_reached(press.id(), revision);
        assert_eq!(document(&press).parameters["note"].value, text);
    }
}

#[test]
fn text_of_a_command_line_is_read_as_its_schema_says() {
    let (fleet, press) = fleet_with_gauge();
    let text = |text: &str| json!({"text": text});
    let parameters = json!({
        "code": text("ABC"), "count": text("61"), "ratio": text("3.5"), "audit": text("true"),
        "channels": text("lamp,siren"), "steps": text("[3, 4]"), "note": text("7"),
    });
    let ordered = send(&fleet, &order(&press, "gauge", &parameters)).expect(201).json();
    let typed = json!({
        "code": "ABC", "count": 61, "ratio": 3.5, "audit": true,
        "channels": ["lamp", "siren"], "steps": [3, 4], "note": "7",
    });
    assert_eq!(ordered["parameters"], typed);
}

// margo(CF-5, PA-2): null is no value at all.
#[test]
fn null_takes_a_value_back() {
    let (fleet, press) = fleet_with_gauge();
    let parameters = json!({"code": "ABC", "note": null, "label": null, "count": null});
    let ordered = send(&fleet, &order(&press, "gauge", &parameters)).expect(201).json();
    assert_eq!(ordered["parameters"], json!({"code": "ABC"}));
    let deployment = id_of(&ordered);
    fleet.operator().published(&deployment);
    let defaults = document(&press).parameters;
    assert!(!defaults.contains_key("note"), "it has no default");
    assert_eq!((&defaults["label"].value, &defaults["count"].value), (&json!("north"), &json!(60)));

    let set = json!({"parameters": {"note": "x", "label": "y"}});
    patch(&fleet, &deployment, &set).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    let taken_back = json!({"parameters": {"note": null, "label": null}});
    let updated = patch(&fleet, &deployment, &taken_back).expect(200).json();
    assert_eq!(updated["parameters"], json!({"code": "ABC"}));
    fleet.operator().revision_reached(press.id(), 4);
    assert_eq!(document(&press).parameters, defaults);
    let revision = fleet.operator().get(&format!("/clients/{}/revisions/4", press.id()));
    assert!(revision["subject"].as_str().is_some_and(|it| it.contains("note unset")), "{revision}");

    let needed = patch(&fleet, &deployment, &json!({"parameters": {"code": null}}));
    assert!(message(needed, "parameters.code").contains("needs a value"));
}

// margo(CF-8).
#[test]
fn an_immutable_value_stays_what_it_was_at_the_installation() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let immutable = |update: &Value| {
        let message = message(patch(&fleet, &deployment, update), "parameters.site");
        assert!(message.contains("cannot change") && message.contains("HBR07"), "{message}");
    };
    immutable(&json!({"parameters": {"site": "QUA02"}}));
    immutable(&json!({"parameters": {"site": "QUA02", "greeting": "Moin"}}));
    patch(&fleet, &deployment, &json!({"parameters": {"site": "HBR07"}})).expect(200);

    // Another default in a newer version is another value.
    let mut files = package_files("2.0.0");
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    *description = description.replace("HBR07", "QUA02");
    fleet.operator().add_application(&tar_gz(&files)).expect(201);
    let other = fleet.accepted_client("lathe-2");
    let order =
        json!({"applicationId": "com-example-web", "version": "1.0.0", "clientId": other.id()});
    let second = id_of(&send(&fleet, &order).expect(201).json());
    let answer = patch(&fleet, &second, &json!({"version": "2.0.0"}));
    let message = message(answer, "parameters.site");
    assert!(message.contains("cannot change") && message.contains("HBR07"), "{message}");
    let kept = json!({"version": "2.0.0", "parameters": {"site": "HBR07"}});
    let updated = patch(&fleet, &second, &kept).expect(200).json();
    assert_eq!(updated["applicationVersion"], "2.0.0");

    let seen = fleet.operator().get(&format!("/deployments/{deployment}"));
    assert_eq!(
        (&seen["applicationVersion"], &seen["parameters"]["site"]),
        (&json!("1.0.0"), &json!("HBR07"))
    );
    assert_eq!(document(&press).parameters["site"].value, "HBR07");
}

#[test]
fn a_value_goes_with_the_parameter_that_a_newer_version_no_longer_has() {
    let (fleet, press) = fleet_with_gauge();
    let set = json!({"code": "ABC", "label": "south", "count": 61});
    let deployment = fleet.operator().deploy("gauge", press.id(), &set);
    assert_eq!(fleet.operator().published(&deployment), 2);
    let lines = GAUGE.lines().filter(|it| !it.contains("label"));
    let newer = lines.collect::<Vec<_>>().join("\n").replace("1.0.0", "2.0.0");
    let files = BTreeMap::from([("margo.yaml".to_owned(), newer)]);
    fleet.operator().add_application(&tar_gz(&files)).expect(201);

    let updated = patch(&fleet, &deployment, &json!({"version": "2.0.0"})).expect(200).json();
    assert_eq!(updated["parameters"], json!({"code": "ABC", "count": 61}));
    fleet.operator().revision_reached(press.id(), 3);
    assert!(!document(&press).parameters.contains_key("label"));
    let answer = patch(&fleet, &deployment, &json!({"parameters": {"label": "west"}}));
    assert!(message(answer, "parameters.label").contains("not a parameter"));
}

// margo(D-3): nothing changes for the device, so there is no revision; the order counts nevertheless.
#[test]
fn an_order_that_changes_nothing_for_the_device_is_remembered() {
    let (fleet, press, deployment) = fleet_with_deployment();
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    fleet.operator().add_application(&tar_gz(&package_files("1.0.1"))).expect(201);
    let update = json!({"version": "1.0.1", "parameters": {"greeting": "Hello"}});
    let updated = patch(&fleet, &deployment, &update).expect(200).json();
    assert_eq!(updated["applicationVersion"], "1.0.1");
    assert_eq!(updated["parameters"], json!({"greeting": "Hello"}));

    assert_eq!(fleet.operator().published(&deployment), 2);
    let seen = fleet.operator().get(&format!("/deployments/{deployment}"));
    assert_eq!(
        (&seen["state"], &seen["applicationVersion"]),
        (&json!("installed"), &json!("1.0.1"))
    );
    assert_eq!(manifest(&press)["manifestVersion"], 2);
    let path = "/applications/com-example-web/1.0.0";
    fleet.operator().send("DELETE", path, None).expect(204);
}

#[test]
fn what_an_order_names_has_to_be_there() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let none = "00000000-0000-4000-8000-000000000001";
    let good = order(&lathe, "com-example-web", &json!({}));
    for (field, value, named, says) in [
        ("clientId", none, "clientId", none),
        ("clientId", "lathe-2", "clientId", "UUID"),
        ("applicationId", "com-example-app", "applicationId", "com-example-app"),
        ("applicationId", "Com.Example", "applicationId", "dashes"),
        ("version", "9.0.0", "applicationId", "com-example-web@9.0.0"),
        ("version", "9/0", "version", "9/0"),
        ("deviceId", "press-7", "deviceId", "press-7"),
        ("deviceId", "lathe 2", "deviceId", "segments"),
        ("name", "Not a name", "name", "letters"),
        ("id", "7", "id", "UUID"),
        ("reason", &"x".repeat(2_001), "reason", "2000 bytes"),
        ("reason", "the\0line", "reason", "NUL character"),
    ] {
        let mut order = good.clone();
        order[field] = value.into();
        let message = message(send(&fleet, &order), named);
        assert!(message.contains(says), "{field}: {message}");
    }
    let unknown = patch(&fleet, &deployment, &json!({"version": "9.0.0"}));
    assert!(message(unknown, "applicationId").contains("9.0.0"));
    for id in [none, "nonsense"] {
        patch(&fleet, id, &json!({})).expect_problem(404, "about:blank", "deployment");
        let path = format!("/deployments/{id}");
        for (method, below) in [("GET", ""), ("DELETE", ""), ("GET", "/events")] {
            let answer = fleet.operator().send(method, &format!("{path}{below}"), None);
            answer.expect_problem(404, "about:blank", "deployment");
        }
    }
    let items = fleet.operator().get(&format!("/deployments?client={}", lathe.id()));
    assert_eq!(items["items"], json!([]));
    assert_eq!(manifest(&lathe)["manifestVersion"], 1);
    assert_eq!(manifest(&press)["manifestVersion"], 2);
}

#[test]
fn only_an_approved_client_with_a_device_gets_deployments() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    let id = id_of(&fleet.operator().get("/clients")["items"][0]);
    let order = json!({"applicationId": "com-example-web", "clientId": id});
    let decide = |verdict: &str| {
        let path = format!("/clients/{id}/{verdict}");
        fleet.operator().send("POST", &path, Some(&json!({}))).expect(200);
    };
    send(&fleet, &order).expect_problem(409, "about:blank", "waiting");
    decide("reject");
    send(&fleet, &order).expect_problem(409, "about:blank", "rejected");
    decide("approve");
    press.onboard().expect(201);
    assert!(message(send(&fleet, &order), "deviceId").contains("not reported any device"));
    press.report_capabilities().expect(201);
    decide("revoke");
    send(&fleet, &order).expect_problem(409, "about:blank", "revoked");
    assert_eq!(fleet.operator().get("/deployments")["items"], json!([]));
}

// margo(D-1): the document names the device where that is in question.
#[test]
fn a_client_of_several_devices_has_to_be_told_which_one() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let mut second = press.capabilities();
    second["properties"]["id"] = json!("press-8");
    press.put(&press.path("/capabilities"), &second).expect(201);

    let mut order = order(&press, "com-example-web", &json!({}));
    let message = message(send(&fleet, &order), "deviceId");
    assert!(message.contains("press-7") && message.contains("press-8"), "{message}");
    order["deviceId"] = json!("press-8");
    let deployment = send(&fleet, &order).expect(201).json();
    assert_eq!(deployment["deviceId"], "press-8");
    fleet.operator().published(&id_of(&deployment));
    assert_eq!(document(&press).device_id.as_deref(), Some("press-8"));
}

// margo(EL-1, EL-2, C-24, AP-1).
#[test]
fn a_device_that_will_not_do_is_named_with_all_that_it_lacks() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut files = package_files("1.0.0");
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    let needs = "    id: web-compose
    requiredResources:
      cpu: { cores: 64, architectures: [arm64] }
      memory: 1024Gi
      storage: 1Pi
      peripherals: [{ type: camera }]
      interfaces: [{ type: canbus }, { type: ethernet }]
";
    *description = description.replace("    id: web-compose\n", needs);
    *description = description.replace(
        "parameters:\n",
        "  - type: helm
    id: web-kubernetes
    components:
      - name: chart
        properties: { repository: \"oci://example.com/web\", revision: 1.0.0 }
parameters:\n",
    );
    fleet.operator().add_application(&tar_gz(&files)).expect(201);

    let order = order(&press, "com-example-web", &json!({}));
    let message = message(send(&fleet, &order), "deviceId");
    for said in [
        "`press-7`",
        "web-compose: needs a CPU with 64 cores arm64",
        "1099511627776 bytes of memory",
        "1125899906842624 bytes of storage",
        "`camera` among its peripherals",
        "`canbus` among its interfaces",
        "web-kubernetes: the device does not run helm",
    ] {
        assert!(message.contains(said), "{message} lacks {said:?}");
    }
    assert!(!message.contains("ethernet"), "it has that: {message}");
    assert_eq!(fleet.operator().get("/deployments")["items"], json!([]));

    let mut cluster = press.capabilities();
    cluster["properties"]["roles"] = json!(["Standalone Cluster"]);
    press.put(&press.path("/capabilities"), &cluster).expect(201);
    let deployment = send(&fleet, &order).expect(201).json();
    // margo(AP-5): the first profile that fits.
    assert_eq!(deployment["components"][0]["name"], "chart");
    // margo(AD-3, AP-2): nothing of the other one comes along.
    fleet.operator().published(&id_of(&deployment));
    let document = document(&press);
    let names: Vec<&str> = document.components.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["chart"]);
    assert!(document.parameters.is_empty(), "all are aimed at the other one");
}

// margo(EX-1, EX-2)
#[test]
fn extensions_for_the_device_are_passed_on_unchanged_and_those_for_the_server_are_not() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let mut files = package_files("1.0.0");
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    let extended = description
        .replacen("metadata:", "x-server-extensions: { shelf: 4 }\nmetadata:", 1)
        .replacen(
            "    id: web-compose\n",
            "    id: web-compose\n    x-dockworks-extensions: { b: [1, two], a: { c: true } }\n",
            1,
        )
        .replacen(
            "      - name: web\n",
            "      - name: web\n        x-crane-extensions: { reach: 40.5, \"no\": \"yes\" }\n",
            1,
        );
    *description = extended;
    fleet.operator().add_application(&tar_gz(&files)).expect(201);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);

    let document = document(&press);
    let of_profile = json!({"x-dockworks-extensions": {"b": [1, "two"], "a": {"c": true}}});
    assert_eq!(Value::Object(document.profile_extensions.clone()), of_profile);
    let of_component = json!({"x-crane-extensions": {"reach": 40.5, "no": "yes"}});
    assert_eq!(Value::Object(document.components[0].extensions.clone()), of_component);
    let text = document.to_yaml().expect("it can be written");
    assert!(!text.contains("x-server-extensions"), "{text}");
}

// margo(SP-12)
#[test]
fn an_order_that_is_sent_again_orders_once() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let lathe = fleet.accepted_client("lathe-2");
    add_web(&fleet);
    let id = "6f1d2f1e-3c0b-4b57-9a0e-6a1f0d3c5b11";
    let mut chosen = order(&press, "com-example-web", &json!({"greeting": "Moin"}));
    chosen["id"] = json!(id);
    let first = send(&fleet, &chosen).expect(201).json();
    assert_eq!(first["id"], id);
    assert_eq!(fleet.operator().published(id), 2);
    let again = send(&fleet, &chosen).expect(201).json();
    assert_eq!(again["orderedEvent"], first["orderedEvent"]);

    let mut elsewhere = order(&lathe, "com-example-web", &json!({}));
    elsewhere["id"] = json!(id);
    send(&fleet, &elsewhere).expect_problem(409, "about:blank", id);
    let items = fleet.operator().get("/deployments");
    assert_eq!(items["items"].as_array().map(Vec::len), Some(1));
    greet(&fleet, id, "Servus", "");
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(manifest(&lathe)["manifestVersion"], 1);
}

#[test]
fn an_application_is_on_a_device_once() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    add_web(&fleet);
    let order = order(&press, "com-example-web", &json!({}));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let orders: Vec<_> = (0..6).map(|_| scope.spawn(|| send(&fleet, &order))).collect();
        orders.into_iter().map(|it| it.join().expect("every order is answered")).collect()
    });
    let (first, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status == 201);
    assert_eq!((first.len(), others.len()), (1, 5));
    let id = id_of(&first[0].json());
    for other in others {
        other.expect_problem(409, "about:blank", &id);
    }
    let gauge = BTreeMap::from([("margo.yaml".to_owned(), GAUGE.to_owned())]);
    fleet.operator().add_application(&tar_gz(&gauge)).expect(201);
    let mut same_name =
        json!({"applicationId": "gauge", "clientId": press.id(), "parameters": {"code": "ABC"}});
    same_name["name"] = json!("com-example-web");
    send(&fleet, &same_name).expect_problem(409, "about:blank", "name");

    // Once it is withdrawn there is room for another one.
    fleet.operator().send("DELETE", &format!("/deployments/{id}"), None).expect(200);
    patch(&fleet, &id, &json!({})).expect_problem(409, "about:blank", "");
    fleet.operator().send("DELETE", &format!("/deployments/{id}"), None).expect(200);
    assert_ne!(id_of(&send(&fleet, &order).expect(201).json()), id);
}

#[test]
fn a_body_that_is_no_order_is_refused() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let order = order(&press, "com-example-web", &json!({}));
    let path = format!("/deployments/{deployment}");
    let raw = |method: &str, path: &str, content_type: &str, body: &[u8]| {
        fleet.operator().send_bytes(method, path, content_type, Some(body))
    };
    let json = "application/json";
    for (method, path) in [("POST", "/deployments"), ("PATCH", path.as_str())] {
        for body in [&b""[..], b"{", b"[]", b"7", b"\xff", b"{\"parameters\": {\"a\": 1e999}}"] {
            raw(method, path, json, body).expect_problem(400, "#invalid-request", "body");
        }
        let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(1 << 20));
        raw(method, path, json, large.as_bytes()).expect_problem(413, "about:blank", "1048576");
        raw(method, path, "text/plain", b"{}").expect_problem(415, "about:blank", json);
    }
    for (field, value, says) in [
        ("paramters", json!({}), "paramters"),
        ("clientID", json!("x"), "clientID"),
        ("parameters", json!([]), "expected a map at line 1"),
        ("applicationId", json!(null), "string"),
        ("clientId", json!(7), "string"),
        ("reason", json!(7), "string"),
    ] {
        let mut order = order.clone();
        order[field] = value;
        send(&fleet, &order).expect_problem(400, "#invalid-request", says);
    }
    let without_client = json!({"applicationId": "com-example-web"});
    send(&fleet, &without_client).expect_problem(400, "#invalid-request", "clientId");
    let misspelt = json!({"paramters": {"greeting": "Moin"}});
    patch(&fleet, &deployment, &misspelt).expect_problem(400, "#invalid-request", "paramters");
    let answer = fleet.operator().send("GET", "/deployments?clinet=7", None);
    answer.expect_problem(400, "#invalid-request", "clinet");
    assert_eq!(manifest(&press)["manifestVersion"], 2);
}
