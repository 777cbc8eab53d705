//! A workload from its first installation to its removal.

use std::fs;

use device_providers::Observed;
use device_providers::Provider as _;
use device_providers::code;
use device_providers::compose::Rules;

use super::stage::{Stage, WEB, run, service, services, words};

#[test]
fn a_package_is_installed_updated_in_place_and_removed_and_its_data_stays() {
    let mut stage = Stage::new("life", WEB);
    assert_eq!(stage.observe(), Observed::Absent);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    let first = stage.container();
    stage.install();
    assert_eq!(stage.container(), first, "installing again changes nothing");
    let volumes = stage.labelled(&["volume", "ls"]);
    assert_eq!(volumes.len(), 1);
    fs::write(stage.package().join("state/kept"), "data").expect("a bound folder");

    stage.workload.parameters.insert("GREETING".to_owned(), "Moin".into());
    stage.install();
    assert!(stage.environment_of("web").contains(&"GREETING=Moin".to_owned()));
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes);

    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
    assert!(stage.labelled(&["ps", "--all"]).is_empty());
    assert!(stage.labelled(&["network", "ls"]).is_empty());
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes, "volumes stay");
    assert!(stage.package().join("state/kept").exists(), "what the workload wrote stays");
    assert!(!stage.package().join("compose.yaml").exists());
    stage.remove();
}

#[test]
fn removing_needs_no_package() {
    let stage = Stage::new("gone", WEB);
    stage.install();
    fs::remove_dir_all(&stage.workload.directory).expect("a folder of ours");
    assert_eq!(stage.amiss(), "its installation was not finished");
    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn every_value_reaches_the_container_as_it_was_given() {
    // margo(PA-4)
    let values = [
        "a $HOME ${X} $$ $",
        "it's",
        "say \"hi\"",
        "# hash # x",
        "  around  ",
        "l1\nl2\r\nl3\rend",
        "back\\slash\\\\ \\n \\t \\$ \\\" tail\\",
        "`id` $(id)",
        "ümläut 🦀",
        "",
        "=a=b",
        "\t",
        "\\0101 \\x41",
        "[\"a\",1]",
        "${",
        "\\",
        "\"",
        "'",
    ];
    let mut compose = "services:\n  web:\n    image: gantry-hello:1\n    environment:\n".to_owned();
    let mut stage = Stage::new("values", WEB);
    stage.hurry();
    compose.push_str("      GREETING: x\n");
    for (index, value) in values.iter().enumerate() {
        compose.push_str(&format!("      V{index}: ${{V{index}}}\n"));
        stage.workload.parameters.insert(format!("V{index}"), (*value).into());
    }
    stage.pack(&[("compose.yaml", &compose)]);
    stage.install();
    let found = stage.environment_of("web");
    for (index, value) in values.iter().enumerate() {
        let wanted = format!("V{index}={value}");
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
    }
}

#[test]
fn a_job_that_ends_well_beside_a_service_is_a_success() {
    let job = "  job:\n    image: gantry-hello:1\n    command: [check]\n    network_mode: \
               'service:web'\n    depends_on: {web: {condition: service_healthy}}\n";
    let compose = WEB.replace("volumes: {data: {}}", &format!("{job}volumes: {{data: {{}}}}"));
    let stage = Stage::new("job", &compose);
    stage.install();
    assert_eq!(stage.labelled(&["ps", "--all"]).len(), 2);
    assert_eq!(stage.observe(), Observed::Running);
}

#[test]
fn drift_is_seen_and_repaired() {
    let stage = Stage::new("drift", WEB);
    stage.install();
    stage.engine(&["stop", "--time", "1", &stage.container()]);
    assert!(stage.amiss().contains("service `web` exited"));
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    stage.engine(&["rm", "--force", &stage.container()]);
    assert_eq!(stage.observe(), Observed::Absent);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
}

// margo(P-2)
#[test]
fn a_package_that_is_not_to_be_waited_for_is_installed_once_it_is_started() {
    let check = "healthcheck: {test: [CMD, /hello-server, nonsense], interval: 1s, retries: 100}";
    let mut stage = Stage::new("nowait", &services(&[service("web", &[check])]));
    stage.workload.wait = false;
    stage.install();
    assert_eq!(stage.observe(), Observed::Running, "its first health check has yet to come");
}

#[test]
fn what_cannot_be_removed_is_named_and_removed_later() {
    let mut stage = Stage::new("stuck", WEB);
    stage.hurry();
    stage.install();
    let network = format!("{}_default", stage.workload.name);
    let guest = format!("{}-guest", stage.workload.name);
    let run = ["run", "--detach", "--rm", "--env", "GREETING=x", "--network", &network];
    stage.engine(&[&run[..], &["--name", &guest, "gantry-hello:1"]].concat());
    let removed = stage.provider.remove(&stage.workload);
    stage.engine(&["rm", "--force", &guest]);
    let failure = removed.expect_err("a network in use");
    assert_eq!(failure.code, code::REMOVE_FAILED, "{failure}");
    assert!(failure.message.contains(&format!("network {network}")), "{failure}");
    stage.remove();
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn volumes_go_with_the_workload_only_where_the_owner_says_so() {
    let mut stage = Stage::new("volumes", WEB);
    stage.install();
    assert_eq!(stage.labelled(&["volume", "ls"]).len(), 1);
    let rules = Rules { remove_volumes: true, ..Rules::default() };
    stage.obey(rules);
    stage.remove();
    assert!(stage.labelled(&["volume", "ls"]).is_empty());
}

#[test]
fn all_of_a_package_is_used_and_nothing_beside_it() {
    // margo(R-31, R-32)
    let compose = "include: [more/db.yaml]
services:
  web:
    extends: {file: base.yaml, service: base}
    env_file: [web.env]
    environment: {A: '${A}', B: '${B}', D: $$5}
    configs: [{source: conf, target: /conf}]
    secrets: [token, pin]
    scale: 2
configs: {conf: {file: ./conf/web.conf}}
secrets: {token: {file: ./conf/token}, pin: {environment: PIN}}
";
    let mut stage = Stage::new("whole", compose);
    stage.pack(&[
        ("compose.yaml", compose),
        ("compose.override.yaml", "services: {web: {environment: {GREETING: overridden}}}"),
        ("base.yaml", &format!("services:\n{}", service("base", &[]))),
        ("more/db.yaml", &services(&[service("db", &["env_file: [db.env]"])])),
        ("more/db.env", "C=from-db\n"),
        ("web.env", "C=from-web\n"),
        (".env", "A=default\nB=default\nPIN=0000\n"),
        ("conf/web.conf", "conf"),
        ("conf/token", "token"),
    ]);
    let parameters = [("B", "given"), ("PIN", "1234")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.into()));
    stage.workload.parameters = parameters.into();
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    let web = stage.environment_of("web");
    for line in ["GREETING=x", "A=default", "B=given", "C=from-web", "D=$5"] {
        assert!(web.contains(&line.to_owned()), "{line} is not in {web:?}");
    }
    assert!(stage.environment_of("db").contains(&"C=from-db".to_owned()));
    assert_eq!(stage.labelled(&["ps"]).len(), 3);
    let container = stage.container_of("web").expect("a container");
    for (path, content) in
        [("/conf", "conf"), ("/run/secrets/token", "token"), ("/run/secrets/pin", "1234")]
    {
        let copied = stage.folder.path().join("copied");
        let to = copied.to_string_lossy().into_owned();
        stage.engine(&["cp", &format!("{container}:{path}"), &to]);
        assert_eq!(fs::read_to_string(&copied).expect("the file"), content, "{path}");
        fs::remove_file(copied).expect("the file");
    }
}

#[test]
fn a_look_at_a_workload_that_is_in_order_starts_one_program() {
    let mut stage = Stage::new("look", WEB);
    stage.hurry();
    stage.install();
    let calls = stage.folder.path().join("calls");
    let script = format!("echo \"$1\" >>'{}'; exec docker \"$@\"", calls.display());
    stage.commands.engine = words(&["sh", "-c", &script, "docker"]);
    stage.obey(Rules::default());
    assert_eq!(stage.observe(), Observed::Running);
    assert_eq!(fs::read_to_string(&calls).expect("the calls"), "inspect\n");
    run(&["docker"], &["rm", "--force", &stage.container()]);
    assert_eq!(stage.observe(), Observed::Absent);
}

#[test]
fn what_ran_is_repaired_without_its_registry() {
    // Nobody listens there. The image is there, as if it had been fetched.
    let image = format!("127.0.0.1:9/gantry-test-{}:1", std::process::id());
    run(&["docker"], &["tag", "gantry-hello:1", &image]);
    let web = service("web", &["pull_policy: always"]).replace("gantry-hello:1", &image);
    let mut stage = Stage::new("offline", &services(std::slice::from_ref(&web)));
    stage.hurry();
    let script = "for it; do [ \"$it\" = pull ] && exit; done; exec docker compose \"$@\"";
    stage.commands.compose = words(&["sh", "-c", script, "compose"]);
    stage.obey(Rules::default());
    stage.install();
    stage.commands.compose = words(&["docker", "compose"]);
    stage.obey(Rules::default());
    stage.engine(&["rm", "--force", &stage.container()]);
    stage.install();
    assert_eq!(stage.observe(), Observed::Running);
    // Anything new has to be asked for.
    stage.pack(&[("compose.yaml", &services(&[web, service("other", &[])]))]);
    let failure = stage.fail();
    stage.remove();
    run(&["docker"], &["rmi", &image]);
    assert_eq!(failure.code, code::REGISTRY_UNREACHABLE, "{failure}");
}

#[test]
fn what_somebody_has_changed_is_made_anew_with_its_data_and_secrets() {
    let compose = WEB.replace("    volumes:", "    secrets: [pin]\n    volumes:").replace(
        "volumes: {data: {}}\n",
        "volumes: {data: {}}\nsecrets: {pin: {environment: PIN}}\n",
    );
    let mut stage = Stage::new("anew", &compose);
    stage.workload.parameters.insert("PIN".to_owned(), "1234".into());
    stage.install();
    let volumes = stage.labelled(&["volume", "ls"]);
    let first = stage.container();
    let network = format!("{}_default", stage.workload.name);
    stage.engine(&["network", "disconnect", &network, &first]);
    assert!(stage.amiss().contains("is not in its network"), "{}", stage.amiss());
    stage.provider.remake(&stage.workload).expect("a package that runs");
    assert_eq!(stage.observe(), Observed::Running);
    assert_ne!(stage.container(), first);
    assert_eq!(stage.labelled(&["volume", "ls"]), volumes);
    let copied = stage.folder.path().join("pin");
    let from = format!("{}:/run/secrets/pin", stage.container());
    stage.engine(&["cp", &from, &copied.to_string_lossy()]);
    assert_eq!(fs::read_to_string(&copied).expect("the secret"), "1234");
    stage.engine(&["pause", &stage.container()]);
    stage.amiss();
    stage.provider.remake(&stage.workload).expect("a package that runs");
    assert_eq!(stage.observe(), Observed::Running);
}
