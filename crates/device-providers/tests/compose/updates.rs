//! What an update touches, and what it leaves when it fails.

use std::fs;
use std::net::TcpListener;

use device_providers::{Observed, code};

use super::stage::{Stage, WEB, service, services};

// margo(R-35)
#[test]
fn a_bad_package_changes_nothing() {
    let mut stage = Stage::new("bad", WEB);
    stage.install();
    let before = stage.container();

    stage.workload.parameters.clear();
    let failure = stage.fail();
    assert_eq!(failure.code, code::BAD_PACKAGE);
    assert!(failure.message.contains("the parameter greeting is missing"), "{failure}");
    fs::write(&stage.workload.package, "nothing").expect("a writable folder");
    let failure = stage.fail();
    assert_eq!(failure.code, code::BAD_ARCHIVE);

    assert_eq!(stage.observe(), Observed::Running);
    assert_eq!(stage.container(), before);
}

#[test]
fn a_changed_file_that_containers_have_mounted_makes_them_anew() {
    let compose = WEB.replace("'./state:/state'", "'./conf/web.conf:/web.conf:ro'");
    let mut stage = Stage::new("files", &compose);
    stage.hurry();
    stage.pack(&[("compose.yaml", &compose), ("conf/web.conf", "one"), ("old/x", "x")]);
    stage.install();
    let first = stage.container();

    stage.pack(&[("compose.yaml", &compose), ("conf/web.conf", "two")]);
    stage.install();
    assert_ne!(stage.container(), first);
    let found = fs::read_to_string(stage.package().join("conf/web.conf"));
    assert_eq!(found.expect("the new file"), "two");
    assert!(!stage.package().join("old").exists(), "what the new package lacks is gone");
}

#[test]
fn an_update_touches_only_what_it_changes() {
    let conf = "volumes: ['./web.conf:/web.conf:ro', 'data:/data']";
    let volumes = "volumes: {data: {}}\n".to_owned();
    let web = service("web", &[conf]);
    let both = services(&[web.clone(), service("other", &[]), volumes.clone()]);
    let mut stage = Stage::new("touch", &both);
    stage.pack(&[("compose.yaml", &both), ("web.conf", "one")]);
    stage.install();
    stage.hurry();
    let kept = || (stage.labelled(&["volume", "ls"]), stage.labelled(&["network", "ls"]));
    let before = (stage.container_of("web"), stage.container_of("other"), kept());

    stage.pack(&[("compose.yaml", &both), ("web.conf", "two")]);
    stage.install();
    let after = (stage.container_of("web"), stage.container_of("other"), kept());
    assert_ne!(after.0, before.0, "its file has changed");
    assert_eq!((&after.1, &after.2), (&before.1, &before.2));

    let alone = services(&[web, volumes]);
    stage.pack(&[("compose.yaml", &alone), ("web.conf", "two")]);
    stage.install();
    assert_eq!(stage.container_of("web"), after.0);
    assert_eq!(stage.container_of("other"), None, "a service that was taken out goes");
    assert_eq!(kept(), before.2);
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn an_update_that_fails_says_what_runs_now() {
    let stage = Stage::new("update", &services(&[service("web", &[]), service("other", &[])]));
    stage.install();
    let broken = service("web", &["command: [nonsense]"]);
    stage.pack(&[("compose.yaml", &services(&[broken, service("other", &[])]))]);
    let failure = stage.fail();
    assert_eq!(failure.code, code::SERVICE_EXITED, "{failure}");
    // What has run may have changed data, so the former version is not started upon them.
    assert!(failure.message.ends_with("of it run now: `other` (gantry-hello:1)"), "{failure}");
    assert!(!failure.message.contains("put back"), "{failure}");
}

#[test]
fn an_update_that_cannot_begin_leaves_all_as_it_was() {
    let conf = "volumes: ['./conf:/conf:ro']";
    let image = |name: &str| format!("  other:\n    image: {name}\n");
    let mut stage = Stage::new("untouched", WEB);
    stage.hurry();
    let first = services(&[service("web", &[conf])]);
    stage.pack(&[("compose.yaml", &first), ("conf/web.conf", "one")]);
    stage.install();
    let before = stage.labelled(&["ps", "--no-trunc"]);
    let web = service("web", &[conf, "hostname: changed"]);
    for (compose, expected) in [
        // The registry cannot be reached; nobody listens there.
        (services(&[web.clone(), image("127.0.0.1:9/none:1")]), code::REGISTRY_UNREACHABLE),
        (
            services(&[web.clone(), image("gantry-none:0") + "    pull_policy: never\n"]),
            code::IMAGE_UNAVAILABLE,
        ),
        (services(&[service("web", &[conf, "privileged: true"])]), code::NOT_ALLOWED),
        (services(&[service("web", &[conf, "nonsense: true"])]), code::BAD_PACKAGE),
    ] {
        stage.pack(&[("compose.yaml", &compose), ("conf/web.conf", "two")]);
        let failure = stage.fail();
        assert_eq!(failure.code, expected, "{failure}");
        assert!(failure.message.ends_with("of it run now: `web` (gantry-hello:1)"), "{failure}");
        assert_eq!(stage.labelled(&["ps", "--no-trunc"]), before, "{failure}");
        let conf = fs::read_to_string(stage.package().join("conf/web.conf"));
        assert_eq!(conf.expect("the file"), "one", "{failure}");
        assert_eq!(stage.observe(), Observed::Running);
    }
}

// margo(W-6)
#[test]
fn the_former_version_is_put_back_where_nothing_of_the_new_one_has_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    let conf = "volumes: ['./web.conf:/web.conf:ro', 'data:/data']";
    let volumes = "volumes: {data: {}}\n".to_owned();
    let former = services(&[service("web", &[conf]), volumes.clone()]);
    let mut stage = Stage::new("back", &former);
    stage.hurry();
    stage.pack(&[("compose.yaml", &former), ("web.conf", "one")]);
    stage.install();
    let kept = stage.labelled(&["volume", "ls"]);
    let ports = format!("ports: ['127.0.0.1:{port}:8080']");
    for (line, expected) in
        [(ports.as_str(), code::PORT_TAKEN), ("entrypoint: [/nowhere]", code::START_FAILED)]
    {
        let new = services(&[service("web", &[conf, line]), volumes.clone()]);
        stage.pack(&[("compose.yaml", &new), ("web.conf", "two")]);
        let failure = stage.fail();
        assert_eq!(failure.code, expected, "{failure}");
        let told = "the former version was put back\nof it run now: `web` (gantry-hello:1)";
        assert!(failure.message.ends_with(told), "{failure}");
        assert_eq!(stage.observe(), Observed::Running);
        let found = fs::read_to_string(stage.package().join("web.conf"));
        assert_eq!(found.expect("the former file"), "one");
        assert_eq!(stage.labelled(&["volume", "ls"]), kept);
    }
}

#[test]
fn an_update_that_was_cut_off_at_any_point_is_brought_to_its_end() {
    let mut stage = Stage::new("cut", &services(&[service("web", &[])]));
    stage.install();
    stage.hurry();
    let web = stage.container();
    // As Compose leaves it when it is killed between making the new container and stopping the old.
    let name = format!("{}_{}-web-1", &web[..12], stage.workload.name);
    let labels = [
        format!("com.docker.compose.project={}", stage.workload.name),
        "com.docker.compose.service=web".to_owned(),
        "com.docker.compose.container-number=1".to_owned(),
        "com.docker.compose.oneoff=False".to_owned(),
        format!("com.docker.compose.replace={web}"),
    ];
    let mut create = vec!["create", "--name", &name];
    create.extend(labels.iter().flat_map(|it| ["--label", it]));
    create.push("gantry-hello:1");
    stage.engine(&create);
    stage.pack(&[("compose.yaml", &services(&[service("web", &["hostname: changed"])]))]);
    stage.install();
    assert_eq!(stage.labelled(&["ps", "--all", "--no-trunc"]), [stage.container()]);
    assert_ne!(stage.container(), web);
    assert_eq!(stage.observe(), Observed::Running);
}
