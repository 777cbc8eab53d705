//! Each kind of failure has its code, and says what happened.

use std::net::TcpListener;
use std::time::Duration;

use device_providers::compose::{Commands, Rules};
use device_providers::{Observed, Provider as _, code};
use testkit::disk::SmallDisk;

use super::stage::{Stage, WEB, provider, run, service, services};

#[test]
fn a_service_that_fails_is_reported_with_its_exit_code_and_last_words() {
    // margo(P-3)
    for (name, more) in [("once", ""), ("again", "    restart: always\n")] {
        let text = format!(
            "services:\n  pump:\n    image: gantry-hello:1\n    command: [nonsense]\n{more}"
        );
        let stage = Stage::new(name, &text);
        let failure = stage.fail();
        assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
        // One that is started again may be met while it runs: then the engine tells no exit code.
        let told = ["exited with code 1", "ended and was started again"];
        let told = if more.is_empty() { &told[..1] } else { &told[..] };
        let said = |what: &&str| failure.message.contains(&format!("service `pump` {what}"));
        assert!(told.iter().any(said), "{failure}");
        assert!(failure.message.contains("unknown argument \"nonsense\""), "{failure}");
        stage.amiss();
    }
}

// margo(P-3, CP-2)
#[test]
fn an_unhealthy_service_and_one_that_takes_too_long_are_failures() {
    let check = |retries: u8| {
        format!(
            "services:\n  web:\n    image: gantry-hello:1\n    environment: {{GREETING: x}}\n    \
             healthcheck: {{test: [CMD, /hello-server, nonsense], interval: 1s, retries: {retries}}}\n"
        )
    };
    let mut stage = Stage::new("unhealthy", &check(1));
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_UNHEALTHY, "{failure}");

    stage.pack(&[("compose.yaml", &check(100))]);
    stage.workload.timeout = Duration::from_secs(5);
    let failure = stage.fail();
    assert_eq!(failure.code, code::TIMED_OUT, "{failure}");
}

#[test]
fn a_service_that_ends_well_again_and_again_does_not_run() {
    let again = "  again:\n    image: gantry-hello:1\n    command: [check]\n    restart: always\n    \
                 network_mode: 'service:web'\n    depends_on: {web: {condition: service_healthy}}\n";
    let compose = WEB.replace("volumes: {data: {}}", &format!("{again}volumes: {{data: {{}}}}"));
    let stage = Stage::new("flapping", &compose);
    let failure = stage.fail();
    assert!(failure.message.contains("service `again`"), "{failure}");
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
}

#[test]
fn an_engine_that_is_missing_or_down_is_said_to_be() {
    let stage = Stage::new("engine", WEB);
    let down = ["docker", "--host", "unix:///nowhere/docker.sock"].map(str::to_owned);
    for engine in [vec!["/nowhere/docker".to_owned()], down.to_vec()] {
        let compose = [&engine[..], &["compose".to_owned()]].concat();
        let provider = provider(Commands { compose, engine }, Rules::default());
        let failures = [
            provider.install(&stage.workload).expect_err("no engine"),
            provider.observe(&stage.workload).expect_err("no engine"),
            provider.remove(&stage.workload).expect_err("no engine"),
        ];
        for failure in failures {
            assert_eq!(failure.code, code::ENGINE_UNAVAILABLE, "{failure}");
        }
    }
}

#[test]
fn why_a_package_cannot_be_started_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    let taken = service("web", &[&format!("ports: ['127.0.0.1:{port}:8080']")]);
    let image = |name: &str, more: &str| format!("  web:\n    image: {name}\n{more}");
    for (name, compose, code) in [
        ("port", taken, code::PORT_TAKEN),
        ("image", image("gantry-none:0", "    pull_policy: never\n"), code::IMAGE_UNAVAILABLE),
        ("registry", image("127.0.0.1:9/none:1", ""), code::REGISTRY_UNREACHABLE),
        ("package", image("gantry-hello:1", "    nonsense: true\n"), code::BAD_PACKAGE),
        ("build", image("gantry-hello:1", "    build: .\n"), code::BAD_PACKAGE),
    ] {
        let stage = Stage::new(name, &services(&[compose]));
        let failure = stage.fail();
        assert_eq!(failure.code, code, "{name}: {failure}");
        assert!(failure.message.ends_with("nothing of it runs now"), "{failure}");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_the_former_version_running() {
    let mut stage = Stage::new("full", WEB);
    let disk = SmallDisk::mount(stage.folder.path().join("small"), "512k");
    stage.workload.directory = disk.path().join("component");
    stage.install();
    let before = stage.container();
    // No text that gzip makes small.
    let large: String = (0..200_000_u64).map(|it| format!("{:x}", it * it * it)).collect();
    stage.pack(&[("compose.yaml", WEB), ("large", &large)]);
    let failure = stage.fail();
    assert_eq!(failure.code, code::STORAGE, "{failure}");
    assert!(failure.message.contains("No space left on device"), "{failure}");
    assert!(failure.message.ends_with("of it run now: `web` (gantry-hello:1)"), "{failure}");
    assert_eq!(stage.container(), before);
    assert_eq!(stage.observe(), Observed::Running);
    // With room again it goes on by itself.
    stage.pack(&[("compose.yaml", WEB)]);
    stage.install();
    stage.remove();
}

#[test]
fn a_name_that_another_container_has_is_told() {
    let stage = Stage::new("name", WEB);
    let name = format!("{}-taken", stage.workload.name);
    let compose = services(&[service("web", &[&format!("container_name: {name}")])]);
    stage.pack(&[("compose.yaml", &compose)]);
    run(&["docker"], &["create", "--name", &name, "gantry-hello:1"]);
    let failure = stage.provider.install(&stage.workload);
    run(&["docker"], &["rm", "--force", &name]);
    let failure = failure.expect_err("a name that is taken");
    assert_eq!(failure.code, code::NAME_TAKEN, "{failure}");
    assert!(failure.message.contains(&name), "{failure}");
}
