//! What goes wrong with workloads and how it is told.

use std::fs;

use testkit::{programs, wait};

use crate::support::{Plant, WAIT, docker, example};

/// The example application with another Compose file, as version 2.0.0.
fn add_changed_example(plant: &Plant, from: &str, to: &str) {
    let folder = plant.press.folder().join("package");
    programs::stdout_of(std::process::Command::new("cp").arg("-r").arg(example()).arg(&folder));
    let change = |file: &str, from: &str, to: &str| {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).expect("the example has the file");
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(&path, text.replacen(from, to, 1)).expect("the copy can be written");
    };
    change("margo.yaml", "version: \"1.0.0\"", "version: \"2.0.0\"");
    change("compose/hello/compose.yaml", from, to);
    plant.gantry(&["application", "add", &folder.to_string_lossy()]);
}

// margo(P-3, CW-10)
#[test]
fn a_workload_that_does_not_start_is_told_with_its_own_words() {
    let plant = Plant::start("");
    add_changed_example(
        &plant,
        "image: gantry-hello:1",
        "image: gantry-hello:1\n    command: [no]",
    );
    let output = plant.deploy("Hello", &WAIT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    for words in ["service-exited", "unknown argument \"no\""] {
        assert!(said.contains(words), "{words} is missing in: {said}");
    }
    // It ends over and over; on a busy machine it is seen when it runs once more.
    let seen = ["exited with code 1", "ended and was started again by the engine"];
    assert!(seen.iter().any(|it| said.contains(it)), "{said}");
    assert_eq!(plant.state(), "failed");

    // The same deployment is mended by an update.
    add_changed_example_again(&plant);
    let update = ["--version", "3.0.0", "--wait", "--timeout", "60s"];
    plant.gantry(&[&["deployment", "update", &plant.name][..], &update].concat());
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
}

fn add_changed_example_again(plant: &Plant) {
    let folder = plant.press.folder().join("package");
    let path = folder.join("margo.yaml");
    let text = fs::read_to_string(&path).expect("the copy is there");
    fs::write(&path, text.replacen("2.0.0", "3.0.0", 1)).expect("the copy can be written");
    fs::copy(
        example().join("compose/hello/compose.yaml"),
        folder.join("compose/hello/compose.yaml"),
    )
    .expect("the copy can be written");
    plant.gantry(&["application", "add", &folder.to_string_lossy()]);
}

#[test]
fn a_failed_update_leaves_what_runs_and_a_good_one_takes_its_place() {
    let plant = Plant::start("");
    plant.install("Hello");
    add_changed_example(&plant, "pull_policy: never", "pull_policy: never\n    nonsense: true");
    let update = ["--version", "2.0.0", "--wait", "--timeout", "60s"];
    let output = programs::run(
        &mut plant.fleet.gantry(&[&["deployment", "update", &plant.name][..], &update].concat()),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("bad-package") && said.contains("nonsense"), "{said}");
    assert_eq!(plant.greeting().as_deref(), Some("Hello"), "what ran still runs");

    let back = ["--version", "1.0.0", "--set", "greeting=Moin", "--wait", "--timeout", "60s"];
    plant.gantry(&[&["deployment", "update", &plant.name][..], &back].concat());
    assert_eq!(plant.greeting().as_deref(), Some("Moin"));
}

#[test]
fn a_container_that_somebody_removed_comes_back_after_a_restart_of_the_client() {
    let plant = &mut Plant::start("");
    plant.install("Hello");
    plant.press.stop();
    for container in plant.containers() {
        docker(&["rm", "--force", &container]);
    }
    plant.press.start_program();
    wait::until("the container to come back", || plant.greeting());
    plant.state_reached("installed");
}

#[test]
fn where_git_is_switched_off_the_desired_state_comes_over_http_and_the_log_says_so() {
    let plant = &mut Plant::start("");
    assert_eq!(plant.fleet.stop(), Some(0));
    plant.fleet.configure("[git]\nenabled = false\n");
    plant.fleet.start_server();
    plant.install("Hello");
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
    assert!(plant.press.log().contains("using HTTP for this poll"), "{}", plant.press.log());
}
