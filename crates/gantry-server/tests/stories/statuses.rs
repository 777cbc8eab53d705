//! Devices report how far they have got; operators see it (contract §7, §16).

use serde_json::json;
use testkit::fleet::TestFleet;
use testkit::wait;

use crate::real_git::{VERSION_2, packets, send};
use crate::support::{fleet_with_deployment, manifest, seen};

// margo(S-4, S-5, S-8, SP-8, SP-46, SP-53).
#[test]
fn the_operator_sees_how_far_the_device_has_got() {
    let (fleet, press, deployment) = fleet_with_deployment();
    assert_eq!(seen(&fleet, &deployment), "ordered");

    press.report(&deployment, "installing", &[("web", "installing")]).expect(201);
    assert_eq!(seen(&fleet, &deployment), "installing");
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    assert_eq!(seen(&fleet, &deployment), "installed");
}

// margo(S-8)
#[test]
fn a_report_that_is_sent_again_is_taken_and_is_no_news() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let reported = || {
        let events = fleet.operator().get(&format!("/deployments/{deployment}/events"));
        let events = events["items"].as_array().cloned().expect("a list");
        events.iter().filter(|it| it["what"] == "reported").count()
    };
    press.report(&deployment, "installing", &[("web", "installing")]).expect(201);
    press.report(&deployment, "installing", &[("web", "installing")]).expect(200);
    assert_eq!(reported(), 1);
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    press.report(&deployment, "installing", &[("web", "installing")]).expect(200);
    assert_eq!(reported(), 3, "what happens again is told again");
}

// margo(DS-3)
#[test]
fn a_failure_keeps_the_words_of_the_device() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let error =
        json!({"code": "PULL", "source": "web", "message": "no such image\u{0}\r\n\u{1b}[31m"});
    let status = json!({
        "apiVersion": "v1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": deployment,
        "status": {"state": "failed", "error": error},
        "components": [{"name": "web", "state": "failed", "error": error}],
    });
    press.post(&press.path(&format!("/deployments/{deployment}/status")), &status).expect(201);

    let deployment = fleet.operator().get(&format!("/deployments/{deployment}"));
    assert_eq!(deployment["state"], "failed");
    assert_eq!(deployment["error"], error);
    assert_eq!(deployment["components"][0]["error"], error);
}

// margo(S-1, S-2, S-3).
#[test]
fn a_report_that_contradicts_itself_says_why_and_changes_nothing() {
    let (fleet, press, deployment) = fleet_with_deployment();
    type Refusal<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let refusals: [Refusal<'_>; 4] = [
        ("installed", &[], "web"),
        ("installed", &[("web", "installing")], "installing"),
        ("installed", &[("web", "installed"), ("db", "installed")], "db"),
        ("installed", &[("web", "installed"), ("web", "installed")], "web"),
    ];
    for (state, components, says) in refusals {
        press.report(&deployment, state, components).expect_problem(422, "#semantic-error", says);
    }
    assert_eq!(seen(&fleet, &deployment), "ordered");
    // A deployment may fail before its components do.
    press.report(&deployment, "failed", &[("web", "pending")]).expect(201);
}

// margo(DS-1)
#[test]
fn a_report_is_about_the_deployment_of_its_path() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let other = "00000000-0000-4000-8000-000000000001";
    let status = json!({
        "apiVersion": "v1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": other,
        "status": {"state": "installed"},
        "components": [{"name": "web", "state": "installed"}],
    });
    let path = press.path(&format!("/deployments/{deployment}/status"));
    press.post(&path, &status).expect_problem(422, "#semantic-error", other);
    assert_eq!(seen(&fleet, &deployment), "ordered");
}

// margo(S-7, A-8).
#[test]
fn the_deployment_of_another_client_looks_like_none_at_all() {
    let (fleet, _press, deployment) = fleet_with_deployment();
    let lathe = fleet.accepted_client("lathe-2");
    let none = "00000000-0000-4000-8000-000000000001";
    for id in [deployment.as_str(), none] {
        lathe.report(id, "failed", &[("web", "failed")]).expect_problem(404, "about:blank", "");
    }
    assert_eq!(seen(&fleet, &deployment), "ordered");
}

// margo(S-6, S-8, V-6).
#[test]
fn a_withdrawn_deployment_is_removed_once_the_device_says_so() {
    let (fleet, press, deployment) = fleet_with_deployment();
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(manifest(&press)["deployments"], json!([]));

    press.report(&deployment, "removing", &[("web", "removing")]).expect(200);
    assert_eq!(seen(&fleet, &deployment), "removing");
    press.report(&deployment, "removed", &[("web", "removed")]).expect(200);
    assert_eq!(seen(&fleet, &deployment), "removed");
    // The answer may have been lost.
    press.report(&deployment, "removed", &[("web", "removed")]).expect(200);
    press.report(&deployment, "installed", &[("web", "installed")]).expect(422);
    assert_eq!(seen(&fleet, &deployment), "removed");
}

#[test]
fn what_is_withdrawn_before_the_device_was_told_of_it_needs_no_word_from_it() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let update = json!({"parameters": {"greeting": "Moin"}});
    let path = format!("/deployments/{deployment}");
    fleet.operator().send("PATCH", &path, Some(&update)).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    fleet.operator().send("DELETE", &path, None).expect(200);
    fleet.operator().revision_reached(press.id(), 4);
    assert_eq!(seen(&fleet, &deployment), "removed");
    let events = fleet.operator().get(&format!("{path}/events"));
    assert_eq!(
        events["items"].as_array().and_then(|it| it.last()).expect("events")["what"],
        "forgotten"
    );
}

#[test]
fn what_the_device_is_told_while_it_is_withdrawn_is_not_removed_before_it_says_so() {
    let (fleet, press, deployment) = fleet_with_deployment();
    // A device that has asked for the newest commit just now fetches that one, however new another one is.
    let revision = fleet.operator().get(&format!("/clients/{}/revisions/latest", press.id()));
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(seen(&fleet, &deployment), "removed");

    let want = format!("want {}", revision["commit"].as_str().expect("a commit is text"));
    let fetch = packets(&["command=fetch", "0001", &want, "done", "0000"]);
    let packs = ("content-type", "application/x-git-upload-pack-request");
    let headers = [VERSION_2, packs];
    send(&fleet, &press, "POST", "git-upload-pack", &headers, Some(&fetch)).expect(200);
    assert_eq!(seen(&fleet, &deployment), "removing");
    press.report(&deployment, "removing", &[("web", "removing")]).expect(201);
    press.report(&deployment, "removed", &[("web", "removed")]).expect(200);
    assert_eq!(seen(&fleet, &deployment), "removed");
}

#[test]
fn what_was_told_to_a_device_that_never_took_it_up_is_gone_when_it_says_what_it_runs() {
    let (mut fleet, press, deployment) = fleet_with_deployment();
    // The answer names the deployment, and is lost on its way.
    manifest(&press);
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    let mut says = |revision: u64, undelivered: usize| {
        let next = testkit::client::now() + 60;
        let contact =
            format!("next={next}, by={next}, revision={revision}, undelivered={undelivered}");
        press.announce(&contact).expect(200);
        // A server writes down what it has heard when it stops, and looks at it when it starts.
        assert_eq!(fleet.stop(), Some(0));
        fleet.start_server();
        fleet.operator().get(&format!("/deployments/{deployment}"))["state"].clone()
    };
    assert_eq!(says(2, 0), "removing", "it runs what has to be removed");
    assert_eq!(says(3, 1), "removing", "it has something to report");
    says(3, 0);
    wait::until("the deployment to be gone", || {
        (seen(&fleet, &deployment) == "removed").then_some(())
    });
    let events = fleet.operator().get(&format!("/deployments/{deployment}/events"));
    let last = events["items"].as_array().and_then(|it| it.last()).expect("events");
    assert_eq!(last["what"], "forgotten");
}

#[test]
fn what_was_told_to_the_device_is_not_removed_before_it_says_so() {
    let (fleet, press, deployment) = fleet_with_deployment();
    manifest(&press);
    fleet.operator().send("DELETE", &format!("/deployments/{deployment}"), None).expect(200);
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(seen(&fleet, &deployment), "removing");
}

// margo(V-1, V-6).
#[test]
fn a_late_word_about_the_former_content_is_not_taken_for_the_newest() {
    let (fleet, press, deployment) = fleet_with_deployment();
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    let update = json!({"parameters": {"greeting": "Moin"}});
    fleet
        .operator()
        .send("PATCH", &format!("/deployments/{deployment}"), Some(&update))
        .expect(200);
    fleet.operator().revision_reached(press.id(), 3);

    let report = |adopted: &str| {
        let status = json!({
            "apiVersion": "v1",
            "kind": "DeploymentStatusManifest",
            "deploymentId": deployment,
            "status": {"state": "installed"},
            "components": [{"name": "web", "state": "installed"}],
        });
        let path = press.path(&format!("/deployments/{deployment}/status"));
        let headers =
            [("content-type", "application/json"), ("gantry-adopted-manifest-version", adopted)];
        press.send(&press.signed("POST", &path, Some(status.to_string().into_bytes()), &headers))
    };
    report("2").expect(200);
    assert_ne!(seen(&fleet, &deployment), "installed");
    report("4611686018427387904").expect_problem(422, "#semantic-error", "4611686018427387904");
    report("3").expect(200);
    assert_eq!(seen(&fleet, &deployment), "installed");
}

// margo(SP-8)
#[test]
fn what_is_no_report_is_malformed() {
    let (fleet, press, deployment) = fleet_with_deployment();
    let path = press.path(&format!("/deployments/{deployment}/status"));
    let json = ("content-type", "application/json");
    for body in ["{", "[]", "7", ""] {
        let request = press.signed("POST", &path, Some(body.as_bytes().to_vec()), &[json]);
        press.send(&request).expect_problem(400, "#invalid-request", "");
    }
    let adopted = ("gantry-adopted-manifest-version", "0");
    let status = json!({
        "apiVersion": "v1",
        "kind": "DeploymentStatusManifest",
        "deploymentId": deployment,
        "status": {"state": "installed"},
        "components": [{"name": "web", "state": "installed"}],
    });
    let body = Some(status.to_string().into_bytes());
    let request = press.signed("POST", &path, body, &[json, adopted]);
    press.send(&request).expect_problem(400, "#invalid-request", "version");
    assert_eq!(seen(&fleet, &deployment), "ordered");
}

// margo(DS-2)
#[test]
fn a_state_that_nobody_knows_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.accepted_client("press-7");
    press
        .report("00000000-0000-4000-8000-000000000001", "running", &[("web", "running")])
        .expect_problem(422, "#semantic-error", "state");
}
