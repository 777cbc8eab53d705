//! What the real Compose and the real engine say of themselves.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use device_providers::compose::{Commands, Rules};
use device_providers::{ComposeProvider, Provider as _, code};

fn with_engine(engine: &[&str]) -> ComposeProvider {
    let engine = engine.iter().map(|it| (*it).to_owned()).collect();
    let commands = Commands { engine, ..Commands::default() };
    ComposeProvider::new(commands, Rules::default(), Arc::new(AtomicBool::new(false)))
}

#[test]
fn compose_and_the_engine_tell_their_versions() {
    let offer = with_engine(&["docker"]).offers().expect("they are there");
    for version in [offer.tool, offer.engine] {
        let version = version.expect("it is told");
        assert!(version.starts_with(|it: char| it.is_ascii_digit()), "{version}");
    }
    assert!(offer.architecture.is_some());
}

#[test]
fn an_engine_that_does_not_answer_or_is_not_there_offers_nothing() {
    for engine in [&["docker", "--host", "unix:///no/such/socket"][..], &["no-such-engine"]] {
        let failure = with_engine(engine).offers().expect_err("nobody is there");
        assert_eq!(failure.code, code::ENGINE_UNAVAILABLE, "{failure}");
    }
}
