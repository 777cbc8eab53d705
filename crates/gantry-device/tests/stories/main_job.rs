//! The main job from end to end: an operator deploys, the device fetches, a real container runs, and
//! the status comes back.

use std::process::Command;

use serde_json::Value;
use testkit::{programs, wait};

use crate::support::{PRESS, Plant};

/// From the order to the removal; however the client runs and fetches, it has to look the same.
pub(crate) fn an_operator_deploys_updates_and_removes(plant: &Plant) {
    let told = plant.install("Hello");
    for state in ["pending", "installing", "installed"] {
        assert!(told.contains(&format!("hello: {state}")), "{state} is missing in: {told}");
    }
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
    let first = plant.containers();
    assert_eq!(first.len(), 1);

    let update = ["--set", "greeting=Moin", "--reason", "we are in Hamburg", "--wait"];
    plant.gantry(&[&["deployment", "update", &plant.name][..], &update].concat());
    assert_eq!(plant.greeting().as_deref(), Some("Moin"));
    assert_eq!(plant.containers().len(), 1, "the former container is gone");
    assert_eq!(plant.client()["revision"], 3);

    let told = plant.gantry(&["deployment", "remove", &plant.name, "--wait"]);
    assert!(told.contains("hello: removing") && told.contains("hello: removed"), "{told}");
    assert!(plant.containers().is_empty());
    assert_eq!(plant.greeting(), None);
    assert_eq!(plant.state(), "removed");
    let status = plant.press.status().expect("the client has written it");
    assert_eq!((&status["revision"], &status["deployments"]), (&4.into(), &Value::Array(vec![])));
}

// margo(G-0, C-1, CW-9, CW-10, S-4, SP-15, SP-18)
#[test]
fn the_main_job_works_with_git() {
    let plant = Plant::start("");
    an_operator_deploys_updates_and_removes(&plant);
    assert!(!plant.press.log().contains("using HTTP"), "{}", plant.press.log());
    assert!(plant.press.state_dir().join("repository.git/HEAD").is_file());
}

// margo(CW-9, CW-10, S-4, SP-9)
#[test]
fn the_main_job_works_over_http() {
    let plant = Plant::start("[desired_state]\nsource = \"http\"\n");
    an_operator_deploys_updates_and_removes(&plant);
    assert!(!plant.press.state_dir().join("repository.git").exists());
}

#[test]
fn the_device_tells_what_it_knows() {
    let plant = Plant::start("");
    plant.install("Hello");
    let status = wait::until("everything to be delivered", || {
        plant.press.status().filter(|it| it["undelivered"] == 0)
    });
    let client = plant.client();
    assert_eq!(status["server"], plant.fleet.url());
    assert_eq!(status["clientId"], client["id"]);
    assert_eq!(status["certificateFingerprint"], client["certificateFingerprint"]);
    assert_eq!(status["standing"], "onboarded");
    assert_eq!(status["revision"], 2);
    assert_eq!(status["deployments"][0]["name"], plant.name);
    assert_eq!(status["deployments"][0]["components"][0]["state"], "installed");
    for time in ["lastContact", "nextContact"] {
        assert!(status[time].as_str().is_some_and(|it| it.ends_with('Z')), "{time}: {status}");
    }
    let capabilities = &client["devices"][0]["capabilities"]["properties"];
    assert_eq!(capabilities["serialNumber"], "0007");
    assert!(capabilities["resources"]["cpu"]["cores"].as_f64().is_some_and(|it| it >= 1.0));
}

#[test]
fn the_clients_own_credentials_open_its_repository_for_any_git() {
    let plant = Plant::start("");
    plant.install("Hello");
    let told = programs::stdout_of(&mut plant.press.command(&["repository"]));
    let url = told.lines().find_map(|it| it.strip_prefix("url:")).expect("it says where").trim();
    let helper = format!(
        "!'{}' --config '{}' git-credential",
        programs::path("gantry-device").display(),
        plant.press.configuration().display()
    );
    let clone = plant.press.folder().join("clone");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").args(arguments);
        programs::stdout_of(&mut git)
    };
    let (ca, helper) = (
        format!("http.sslCAInfo={}", plant.fleet.ca().display()),
        format!("credential.helper={helper}"),
    );
    let clone = clone.to_string_lossy();
    git(&["clone", "--quiet", "-c", &ca, "-c", &helper, url, &clone]);
    let log = git(&["-C", &clone, "log"]);
    for words in ["Gantry-Operator: admin", "Margo-Manifest-Version: 2", "greeting = Hello", PRESS]
    {
        assert!(log.contains(words), "{words} is missing in:\n{log}");
    }
    git(&["-C", &clone, "fsck", "--strict"]);
    let config = std::fs::read_to_string(plant.press.folder().join("clone/.git/config"));
    assert!(!config.expect("a clone has one").contains("password"));
}
