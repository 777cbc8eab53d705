//! An operator returns to what one of a client's revisions carried: a new revision with the content of
//! then, byte for byte.

use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::real_git::Git;
use crate::support::{fleet_with_deployment, greet, manifest, package_files, seen, tar_gz};

const WEB: &str = "com-example-web";

/// The package of `com-example-web` as another application, or with other content.
fn package(version: &str, edit: impl Fn(&str) -> String) -> Vec<u8> {
    let mut files = package_files(version);
    let description = files.get_mut("margo.yaml").expect("a package has a description");
    *description = edit(description);
    tar_gz(&files)
}

fn add(fleet: &TestFleet, package: &[u8]) {
    fleet.operator().add_application(package).expect(201);
}

/// Adds another application, which differs in nothing but its id.
fn add_other(fleet: &TestFleet) {
    add(fleet, &package("1.0.0", |text| text.replace("id: com-example-web", "id: other")));
}

fn remove(fleet: &TestFleet, deployment: &str) {
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
}

fn send(fleet: &TestFleet, client: &TestClient, order: &Value) -> Answer {
    fleet.operator().send("POST", &format!("/clients/{}/rollback", client.id()), Some(order))
}

fn roll_back(fleet: &TestFleet, client: &TestClient, to: u64) -> Answer {
    send(fleet, client, &json!({"revision": to, "reason": "it was better before"}))
}

fn get(fleet: &TestFleet, deployment: &str) -> Value {
    fleet.operator().get(&format!("/deployments/{deployment}"))
}

fn revision(fleet: &TestFleet, client: &TestClient, number: &str) -> Value {
    fleet.operator().get(&format!("/clients/{}/revisions/{number}", client.id()))
}

fn report(client: &TestClient, deployment: &str, state: &str) {
    let answer = client.report(deployment, state, &[("web", state)]);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

/// What a manifest lists: ids, digests, sizes and URLs of documents, and those of the bundle.
fn content(manifest: &Value) -> (&Value, &Value) {
    (&manifest["deployments"], &manifest["bundle"])
}

// margo(D-2, D-3, AD-5).
#[test]
fn a_rollback_is_a_new_revision_with_the_bytes_of_an_old_one() {
    let (fleet, press, web) = fleet_with_deployment();
    add_other(&fleet);
    let other = fleet.operator().deploy("other", press.id(), &json!({"port": 2000}));
    fleet.operator().revision_reached(press.id(), 3);
    let target = manifest(&press);
    for id in [&web, &other] {
        report(&press, id, "installed");
    }
    // The one is changed, the other removed, and a third one comes.
    add(&fleet, &package("2.0.0", str::to_owned));
    let update = json!({"version": "2.0.0", "parameters": {"greeting": "Moin"}});
    fleet.operator().send("PATCH", &format!("/deployments/{web}"), Some(&update)).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    remove(&fleet, &other);
    fleet.operator().revision_reached(press.id(), 5);
    assert_eq!(manifest(&press)["deployments"].as_array().map(Vec::len), Some(1));
    report(&press, &other, "removed");
    add(&fleet, &package("1.0.0", |text| text.replace("id: com-example-web", "id: third")));
    let third = fleet.operator().deploy("third", press.id(), &json!({}));
    fleet.operator().revision_reached(press.id(), 6);
    press.get(&press.path("/deployments"), &[]).expect(200);

    let answer = roll_back(&fleet, &press, 3).expect(200).json();
    let mut told: Vec<[&Value; 4]> = Vec::new();
    for it in answer["changes"].as_array().expect("a list of changes") {
        told.push([&it["name"], &it["what"], &it["versionBefore"], &it["versionAfter"]]);
    }
    let absent = Value::Null;
    let (one, two) = (json!("1.0.0"), json!("2.0.0"));
    let names = [json!(WEB), json!("other"), json!("third")];
    let whats = [json!("changed"), json!("added"), json!("removed")];
    let expected = [
        [&names[0], &whats[0], &two, &one],
        [&names[1], &whats[1], &absent, &one],
        [&names[2], &whats[2], &one, &absent],
    ];
    assert_eq!(told, expected);
    let parameters =
        [json!([{"name": "greeting", "before": "Moin"}]), json!([{"name": "port", "after": 2000}])];
    assert_eq!(answer["changes"][0]["parameters"], parameters[0]);
    assert_eq!(answer["changes"][1]["parameters"], parameters[1]);

    fleet.operator().revision_reached(press.id(), 7);
    let now = manifest(&press);
    assert_eq!((&now["manifestVersion"], content(&now)), (&json!(7), content(&target)));
    for (id, version, parameters) in
        [(&web, "1.0.0", json!({})), (&other, "1.0.0", json!({"port": 2000}))]
    {
        let deployment = get(&fleet, id);
        assert_eq!(deployment["applicationVersion"], version);
        assert_eq!(deployment["parameters"], parameters);
        assert_eq!((&deployment["wanted"], &deployment["revision"]), (&json!(true), &json!(7)));
        report(&press, id, "installed");
        assert_eq!(seen(&fleet, id), "installed");
    }
    assert_eq!(get(&fleet, &third)["wanted"], false);
    assert_eq!(seen(&fleet, &third), "removing");
}

#[test]
fn the_history_tells_what_was_rolled_back_why_and_by_whom() {
    let (fleet, press, web) = fleet_with_deployment();
    greet(&fleet, &web, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 3);
    add_other(&fleet);
    let other = fleet.operator().deploy("other", press.id(), &json!({}));
    fleet.operator().revision_reached(press.id(), 4);
    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().revision_reached(press.id(), 5);

    let newest = revision(&fleet, &press, "latest");
    assert_eq!(newest["subject"], "Roll back to revision 2");
    assert_eq!(
        newest["message"],
        format!(
            "Roll back to revision 2\n\n\
             Update {WEB}: {WEB} 1.0.0, greeting unset\n\
             Remove other: other 1.0.0\n\
             Reason: it was better before\n\
             Ordered by admin.\n\n\
             Margo-Manifest-Version: 5\n\
             Gantry-Operator: admin\n\
             Gantry-Deployment: {web}\n\
             Gantry-Deployment: {other}\n"
        )
    );
    let git = Git::of(&fleet, &press);
    git.clone(&[]);
    let folder = |commit: &str| git.in_checkout(&["rev-parse", &format!("{commit}:deployments")]);
    assert_eq!(folder("HEAD"), folder("HEAD~3"));
    assert_ne!(folder("HEAD"), folder("HEAD~1"));
    git.assert_sound();

    let kinds = |deployment: &str| -> Vec<String> {
        let events = fleet.operator().get(&format!("/deployments/{deployment}/events"));
        let events = events["items"].as_array().expect("a list of events").clone();
        events.iter().map(|it| it["what"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let published = ["ordered", "published", "updated", "published", "updated", "published"];
    assert_eq!(kinds(&web), published);
    assert_eq!(kinds(&other), ["ordered", "published", "withdrawn", "forgotten"]);
}

#[test]
fn a_rehearsal_tells_what_would_change_and_changes_nothing() {
    let (fleet, press, web) = fleet_with_deployment();
    greet(&fleet, &web, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 3);
    let before = (manifest(&press), get(&fleet, &web));
    let order = json!({"revision": 2, "reason": "only asking", "dryRun": true});
    let answer = send(&fleet, &press, &order).expect(200).json();
    assert_eq!((&answer["dryRun"], &answer["deployments"]), (&json!(true), &json!([])));
    assert_eq!(answer["changes"][0]["deploymentId"], web);

    // What comes after it is the next revision: there was none in between.
    greet(&fleet, &web, "Servus", "we are in Vienna");
    fleet.operator().revision_reached(press.id(), 4);
    assert_eq!(before.1["parameters"], json!({"greeting": "Moin"}));
    let done = roll_back(&fleet, &press, 3).expect(200).json();
    assert_eq!((&done["dryRun"], &done["revision"]), (&json!(false), &json!(3)));
    assert_eq!(done["deployments"][0]["id"], web);
    fleet.operator().revision_reached(press.id(), 5);
    assert_eq!(content(&manifest(&press)), content(&before.0));
}

#[test]
fn the_present_content_is_nothing_to_roll_back_to() {
    let (fleet, press, web) = fleet_with_deployment();
    greet(&fleet, &web, "Moin", "we are in Hamburg");
    greet(&fleet, &web, "Servus", "we are in Vienna");
    fleet.operator().published(&web);
    let newest = manifest(&press)["manifestVersion"].as_u64().expect("a number");
    let answer = roll_back(&fleet, &press, newest).expect(200).json();
    assert_eq!((&answer["changes"], &answer["deployments"]), (&json!([]), &json!([])));
    greet(&fleet, &web, "Salut", "we are in Geneva");
    fleet.operator().revision_reached(press.id(), newest + 1);

    // Orders that are not published yet are undone, too.
    greet(&fleet, &web, "Hej", "we are in Malmö");
    roll_back(&fleet, &press, newest + 1).expect(200);
    let number = fleet.operator().published(&web);
    let text = revision(&fleet, &press, &number.to_string())["documents"][0]["yaml"].to_string();
    assert!(text.contains("Salut"), "{text}");
}

/// A fleet whose device has run its one deployment, and has let go of it in revision 3.
fn fleet_with_removed_deployment() -> (TestFleet, TestClient, String) {
    let (fleet, press, web) = fleet_with_deployment();
    manifest(&press);
    report(&press, &web, "installed");
    remove(&fleet, &web);
    fleet.operator().revision_reached(press.id(), 3);
    manifest(&press);
    report(&press, &web, "removed");
    (fleet, press, web)
}

#[test]
fn what_came_back_can_be_changed_and_withdrawn_like_any_other() {
    let (fleet, press, web) = fleet_with_removed_deployment();
    assert_eq!(seen(&fleet, &web), "removed");

    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    // margo(S-8): the answer to its last word may have been lost.
    press.report(&web, "removed", &[("web", "removed")]).expect(200);
    assert_eq!(seen(&fleet, &web), "removed", "a word on what is published counts");
    // margo(DS-7, S-5)
    press.report(&web, "pending", &[("web", "pending")]).expect(200);
    greet(&fleet, &web, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 5);
    press.report(&web, "installed", &[("web", "installed")]).expect(200);
    assert_eq!(seen(&fleet, &web), "installed");
}

#[test]
fn what_came_back_and_is_withdrawn_before_the_device_hears_of_it_is_gone() {
    let (fleet, press, web) = fleet_with_removed_deployment();

    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    remove(&fleet, &web);
    fleet.operator().revision_reached(press.id(), 5);
    assert_eq!(seen(&fleet, &web), "removed");
}

#[test]
fn what_has_taken_a_name_or_a_place_since_makes_room() {
    let (fleet, press, web) = fleet_with_deployment();
    let target = manifest(&press);
    remove(&fleet, &web);
    // The same application on the same device, under the same name, and yet another deployment.
    let another = fleet.operator().deploy(WEB, press.id(), &json!({"greeting": "Moin"}));
    fleet.operator().published(&another);
    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().published(&web);
    assert_eq!(content(&manifest(&press)), content(&target));
    assert_eq!(get(&fleet, &another)["wanted"], false);
}

// margo(CF-8).
#[test]
fn a_value_that_may_not_change_may_be_again_what_it_was() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    let free = |text: &str| text.replace("immutable: true, ", "");
    add(&fleet, &package("1.0.0", free));
    let web = fleet.operator().deploy(WEB, press.id(), &json!({"site": "AAA01"}));
    add(&fleet, &package("2.0.0", str::to_owned));
    fleet.operator().revision_reached(press.id(), 2);
    let path = format!("/deployments/{web}");
    for (number, update) in [
        (3, json!({"parameters": {"site": "BBB02"}})),
        (4, json!({"version": "2.0.0", "parameters": {"greeting": "Moin"}})),
    ] {
        fleet.operator().send("PATCH", &path, Some(&update)).expect(200);
        fleet.operator().revision_reached(press.id(), number);
    }
    let back = json!({"parameters": {"site": "AAA01"}});
    fleet.operator().send("PATCH", &path, Some(&back)).expect(422);
    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().revision_reached(press.id(), 5);
    assert_eq!(get(&fleet, &web)["parameters"], json!({"site": "AAA01"}));
}

#[test]
fn a_package_that_is_gone_has_to_come_back_first() {
    let (fleet, press, web) = fleet_with_deployment();
    let target = manifest(&press);
    remove(&fleet, &web);
    fleet.operator().revision_reached(press.id(), 3);
    let delete = || {
        let path = format!("/applications/{WEB}/1.0.0");
        fleet.operator().send("DELETE", &path, None).expect(204);
    };
    delete();
    let says = format!("{WEB} was made of {WEB} 1.0.0, which is no longer in the catalogue");
    roll_back(&fleet, &press, 2).expect_problem(409, "about:blank", &says);

    let mut files = package_files("1.0.0");
    files.insert("compose/web/more.txt".to_owned(), "other content".to_owned());
    add(&fleet, &tar_gz(&files));
    let says = format!("{WEB} was made of another {WEB} 1.0.0 than the one in the catalogue");
    roll_back(&fleet, &press, 2).expect_problem(409, "about:blank", &says);
    assert_eq!(manifest(&press)["manifestVersion"], 3);

    delete();
    add(&fleet, &package("1.0.0", str::to_owned));
    roll_back(&fleet, &press, 2).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    assert_eq!(content(&manifest(&press)), content(&target));
    let yaml = revision(&fleet, &press, "4")["documents"][0]["yaml"].to_string();
    let (_, digest) = yaml.split_once("/packages/").expect("the package is kept here");
    press.get(&press.path(&format!("/packages/{}", &digest[..71])), &[]).expect(200);
}

#[test]
fn a_device_that_has_changed_since_is_asked_whether_it_will_do() {
    let (fleet, press, web) = fleet_with_deployment();
    greet(&fleet, &web, "Moin", "we are in Hamburg");
    fleet.operator().revision_reached(press.id(), 3);
    let mut cluster = press.capabilities();
    cluster["properties"]["roles"] = json!(["Standalone Cluster"]);
    press.put(&press.path("/capabilities"), &cluster).expect(201);
    let says =
        format!("{WEB} cannot run on its device again: the device does not run compose components");
    roll_back(&fleet, &press, 2).expect_problem(409, "about:blank", &says);
    let device = press.path("/capabilities/press-7");
    press.send(&press.signed("DELETE", &device, None, &[])).expect(204);
    let says = "the client has no device `press-7`";
    roll_back(&fleet, &press, 2).expect_problem(409, "about:blank", says);
    assert_eq!(manifest(&press)["manifestVersion"], 3);
}

#[test]
fn an_order_to_roll_back_names_a_revision_and_says_why() {
    let (fleet, press, web) = fleet_with_deployment();
    let says = "the client has no such revision";
    for unknown in [0, 3, u64::MAX] {
        roll_back(&fleet, &press, unknown).expect_problem(404, "about:blank", says);
    }
    let order = json!({"revision": 1, "reason": "it was better before"});
    let nobody = "/clients/00000000-0000-4000-8000-000000000001/rollback";
    let answer = fleet.operator().send("POST", nobody, Some(&order));
    answer.expect_problem(404, "about:blank", "there is no such client");
    let blank = json!({"revision": 1, "reason": " "});
    send(&fleet, &press, &blank).expect_problem(422, "#semantic-error", "say why");
    let long = json!({"revision": 1, "reason": "x".repeat(3000)});
    send(&fleet, &press, &long).expect_problem(422, "#semantic-error", "more than 2000 bytes");
    for odd in [
        json!({"revision": 1}),
        json!({"reason": "none"}),
        json!({"revision": -1, "reason": "none"}),
        json!({"revision": 1, "reason": "none", "dryrun": true}),
    ] {
        assert!([400, 422].contains(&send(&fleet, &press, &odd).status), "{odd}");
    }
    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({}))).expect(200);
    roll_back(&fleet, &press, 1).expect_problem(409, "about:blank", "the client is revoked");
    assert_eq!(get(&fleet, &web)["wanted"], true);
}
