//! Services that ended well, on the real engine: a job that has done its work is left alone, and what was
//! stopped is out of order.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use device_providers::compose::{Commands, Rules};
use device_providers::{ComposeProvider, Observed, Provider as _, Workload, code};
use margo_contract::compose_archive::ComposeArchive;

/// A service that ends well when it is told to, and a job that ends well by itself, with a service to
/// work on.
const BOTH: &str = "
services:
  service:
    image: gantry-hello:1
    pull_policy: never
    environment: {GREETING: Hello}
  checked:
    image: gantry-hello:1
    pull_policy: never
    environment: {GREETING: Hello}
    healthcheck: {test: [CMD, /hello-server, check], interval: 1s, retries: 20}
  job:
    image: gantry-hello:1
    pull_policy: never
    command: [check]
    network_mode: 'service:checked'
    depends_on: {checked: {condition: service_healthy}}
";

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_job_that_ended_is_done_and_a_service_that_was_stopped_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = BTreeMap::from([("compose.yaml".to_owned(), BOTH.as_bytes().to_vec())]);
    let archive = ComposeArchive::of_files(files).expect("a good archive").pack("both");
    let package = folder.path().join("archive.tar.gz");
    std::fs::write(&package, archive.expect("writing to memory")).expect("a writable folder");
    let workload = Workload {
        name: format!("gantry-test-ended-{}", std::process::id()),
        component: "both".to_owned(),
        directory: folder.path().join("component"),
        namespace: "default".to_owned(),
        package,
        parameters: BTreeMap::new(),
        wait: true,
        timeout: Duration::from_secs(60),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let provider = ComposeProvider::new(Commands::default(), Rules::default(), stop);
    provider.install(&workload).expect("it can be installed");
    let before = provider.observe(&workload);
    docker(&["stop", &format!("{}-service-1", workload.name)]);
    let after = provider.observe(&workload);
    let again = provider.install(&workload).map(|()| provider.observe(&workload));
    let removed = provider.remove(&workload);
    let left = workload.directory.exists();

    assert_eq!(before, Ok(Observed::Running), "the job has ended, and the service runs");
    let Ok(Observed::Degraded(failure)) = after else { panic!("it was stopped: {after:?}") };
    assert_eq!(failure.code, code::SERVICE_EXITED);
    assert_eq!(again, Ok(Ok(Observed::Running)));
    assert_eq!((removed, left), (Ok(()), false), "nothing is left of it");
}
