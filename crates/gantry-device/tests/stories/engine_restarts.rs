//! An engine that is away, comes back, and does not start each workload again.

use testkit::wait;

use crate::own_engine::OwnEngine;
use crate::support::{PRESS, Plant, add_application};

/// One that the engine starts again, and one that it does not. Neither needs a network.
const PAIR: &str = "
services:
  kept: &service
    image: gantry-hello:1
    pull_policy: never
    network_mode: none
    environment: {GREETING: Hello}
    restart: always
  left:
    <<: *service
    restart: \"no\"
";

#[test]
fn what_an_engine_does_not_start_again_is_made_to_run_again() {
    let mut engine = OwnEngine::prepare();
    let configuration = format!("{}[workloads]\ninspect_every = \"1s\"\n", engine.configuration());
    // The engine is not there yet: the device gets in all the same, and may be given orders.
    let plant = Plant::start(&configuration);
    add_application(&plant.fleet, "pair", PAIR);
    plant.gantry(&["deploy", "pair", "--to", PRESS, "--name", &plant.name]);
    plant.state_reached("failed");
    let shown = plant.gantry(&["deployment", "show", &plant.name]);
    assert!(shown.contains("engine-unavailable"), "{shown}");

    engine.start();
    engine.load("gantry-hello:1");
    plant.state_reached("installed");
    assert_eq!(engine.running(), ["kept", "left"]);

    engine.stop();
    wait::until("the client to notice", || {
        plant.press.log().contains("cannot be looked at").then_some(())
    });
    assert_eq!(plant.state(), "installed", "a silent engine says nothing about its workloads");
    engine.start();
    both_run(&plant, &engine);

    engine.kill();
    engine.start();
    both_run(&plant, &engine);
}

fn both_run(plant: &Plant, engine: &OwnEngine) {
    wait::until("both services to run", || (engine.running() == ["kept", "left"]).then_some(()));
    wait::until("it to be told", || {
        let is_told = plant.press.status()?["undelivered"] == 0;
        (is_told && plant.state() == "installed").then_some(())
    });
    assert_eq!(engine.count(), 2, "no container is there twice");
}
