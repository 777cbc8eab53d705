//! What becomes of workloads behind the client's back is noticed, told to operators with its reason, and
//! mended, data included.

use std::process::Command;

use serde_json::Value;
use testkit::{programs, wait};

use crate::support::{Plant, add_application, docker};

const EVERY_SECOND: &str = "[workloads]\ninspect_every = \"1s\"\n";

/// A service that nothing starts again but the client, with data and a network of its own.
const SERVICE: &str = "
services:
  store:
    image: gantry-hello:1
    pull_policy: never
    restart: \"no\"
    environment: {GREETING: Hello}
    labels: {made-by: the package}
    volumes: ['data:/data']
volumes: {data: {}}
";

/// A device that looks at its workloads each second and runs [`SERVICE`].
struct Shop {
    plant: Plant,
    id: String,
    heard: usize,
}

impl Shop {
    fn open() -> Self {
        let plant = Plant::start(EVERY_SECOND);
        add_application(&plant.fleet, "store", SERVICE);
        let order = ["deploy", "store", "--to", crate::support::PRESS, "--name", &plant.name];
        plant.gantry(&[&order[..], &crate::support::WAIT].concat());
        let deployment = plant.gantry(&["deployment", "show", &plant.name, "-o", "json"]);
        let id = crate::support::json(&deployment)["id"].as_str().expect("an id").to_owned();
        let mut shop = Self { plant, id, heard: 0 };
        shop.heard = shop.reports().len();
        shop
    }

    fn project(&self) -> String {
        format!("{}-store", self.plant.name)
    }

    fn container(&self) -> String {
        format!("{}-store-1", self.project())
    }

    fn network(&self) -> String {
        format!("{}_default", self.project())
    }

    /// Somebody does this with the engine. The client sees what came of all of it, and nothing in between.
    fn behind_its_back(&self, commands: &[&[&str]]) {
        self.plant.press.freeze();
        for command in commands {
            docker(command);
        }
        self.plant.press.thaw();
    }

    /// What operators see that the device has reported, the oldest first.
    fn reports(&self) -> Vec<Value> {
        let events = self.plant.fleet.operator().get(&format!("/deployments/{}/events", self.id));
        let events = events["items"].as_array().expect("a list of events").iter();
        events.filter(|it| it["what"] == "reported").cloned().collect()
    }

    /// Waits until the device has mended it, and says why it was out of order, as operators see it.
    fn is_mended(&self) -> (String, String) {
        let news = wait::until("the repair to be told", || {
            let news = self.reports().split_off(self.heard);
            news.last().is_some_and(|it| it["state"] == "installed").then_some(news)
        });
        let states: Vec<_> = news.iter().filter_map(|it| it["state"].as_str()).collect();
        assert_eq!(states[..2], ["failed", "installing"], "{news:?}");
        let error = &news[0]["error"];
        let text = |key: &str| error[key].as_str().expect("it is told").to_owned();
        self.runs();
        (text("code"), text("message"))
    }

    /// The service runs in its network, as the package says.
    fn runs(&self) {
        let format = "{{.State.Status}} {{.Config.Image}} {{index .Config.Labels \"made-by\"}} \
                      {{range $name, $it := .NetworkSettings.Networks}}{{$name}}{{end}}";
        let found = docker(&["inspect", "--format", format, &self.container()]);
        let expected = format!("running gantry-hello:1 the package {}", self.network());
        assert_eq!(found.trim_end(), expected);
    }

    fn mark(&self) {
        let file = self.plant.press.folder().join("marker");
        std::fs::write(&file, "kept").expect("the test's folder can be written");
        let place = format!("{}:/data/marker", self.container());
        docker(&["cp", &file.to_string_lossy(), &place]);
    }

    fn is_marked(&self) -> bool {
        let place = format!("{}:/data/marker", self.container());
        let copy = self.plant.press.folder().join("copy");
        programs::run(Command::new("docker").args(["cp", &place]).arg(&copy)).status.success()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.plant.press.end();
        let project = format!("label=com.docker.compose.project={}", self.project());
        for container in docker(&["ps", "--all", "--quiet", "--filter", &project]).lines() {
            docker(&["rm", "--force", container]);
        }
        for kind in ["network", "volume"] {
            for it in docker(&[kind, "ls", "--quiet", "--filter", &project]).lines() {
                programs::run(Command::new("docker").args([kind, "rm", it]));
            }
        }
    }
}

#[test]
fn a_service_that_dies_is_told_with_its_exit_code_and_runs_again_with_its_data() {
    let shop = Shop::open();
    shop.mark();
    docker(&["kill", &shop.container()]);
    let (code, message) = shop.is_mended();
    assert_eq!(code, "service-exited");
    assert!(message.contains("service `store` exited with code 137"), "{message}");
    assert!(shop.is_marked());

    // Once more within the hour: operators see it failed for a while, with how often it was mended.
    docker(&["kill", &shop.container()]);
    shop.plant.state_reached("failed");
    let shown = shop.plant.gantry(&["deployment", "show", &shop.plant.name]);
    for words in ["service-exited", "exited with code 137", "repaired once within"] {
        assert!(shown.contains(words), "{words} is missing in: {shown}");
    }
    shop.plant.state_reached("installed");
    shop.runs();
    let status = shop.plant.press.status().expect("the client has written it");
    assert_eq!(status["deployments"][0]["repairs"]["count"], 2, "{status}");
    let text = programs::stdout_of(&mut shop.plant.press.command(&["status"]));
    assert!(
        text.contains("installed; found out of order 2 times, repaired 2 times since"),
        "{text}"
    );
}

#[test]
fn what_was_removed_with_its_network_is_made_anew_and_its_volume_is_kept() {
    let shop = Shop::open();
    shop.mark();
    shop.behind_its_back(&[
        &["rm", "--force", &shop.container()],
        &["network", "rm", &shop.network()],
    ]);
    let (code, _) = shop.is_mended();
    // It may have been looking at it in that moment.
    assert!(["workload-missing", "service-missing"].contains(&code.as_str()), "{code}");
    assert!(shop.is_marked());
}

#[test]
fn a_service_that_was_stopped_and_whose_network_is_gone_is_made_anew() {
    let shop = Shop::open();
    shop.mark();
    shop.behind_its_back(&[&["kill", &shop.container()], &["network", "rm", &shop.network()]]);
    shop.is_mended();
    assert!(shop.is_marked());
}

#[test]
fn a_service_that_was_cut_off_from_its_network_is_joined_to_it_again() {
    let shop = Shop::open();
    shop.mark();
    shop.behind_its_back(&[
        &["network", "disconnect", "--force", &shop.network(), &shop.container()],
        &["network", "rm", &shop.network()],
    ]);
    let told = wait::until("it to be noticed", || shop.reports().into_iter().nth(shop.heard));
    assert_eq!(told["error"]["code"], "service-changed", "{told}");
    wait::until("it to be in its network", || {
        let format = "{{range $name, $it := .NetworkSettings.Networks}}{{$name}}{{end}}";
        let container = shop.container();
        let mut command = Command::new("docker");
        let output = programs::run(command.args(["inspect", "--format", format, &container]));
        String::from_utf8_lossy(&output.stdout).contains(&shop.network()).then_some(())
    });
    shop.plant.state_reached("installed");
    shop.runs();
    assert!(shop.is_marked());
}

#[test]
fn a_service_that_somebody_has_made_otherwise_is_made_as_the_package_says() {
    let shop = Shop::open();
    let file = shop.plant.press.folder().join("by-hand.yaml");
    let by_hand = SERVICE.replace("made-by: the package", "made-by: somebody");
    std::fs::write(&file, by_hand).expect("the test's folder can be written");
    let (project, file) = (shop.project(), file.to_string_lossy().into_owned());
    let up = ["compose", "--project-name", &project, "--file", &file, "up", "--detach"];
    shop.behind_its_back(&[&up]);
    let (code, message) = shop.is_mended();
    assert_eq!(code, "service-changed");
    assert!(message.contains("label `made-by`"), "{message}");
}

#[test]
fn what_cannot_be_mended_is_told_and_mended_once_it_can_be() {
    let shop = Shop::open();
    docker(&["rm", "--force", &shop.container()]);
    // Somebody else's container has its name.
    let stranger = shop.container();
    docker(&["create", "--name", &stranger, "gantry-hello:1"]);
    wait::until("the failed repair to be told", || {
        let told = shop.reports().pop()?;
        let why = told["error"]["message"].as_str()?.to_owned();
        (told["state"] == "failed" && why.contains("already in use")).then_some(())
    });
    assert_eq!(shop.plant.state(), "failed");
    docker(&["rm", &stranger]);
    shop.plant.state_reached("installed");
    shop.runs();
}

#[test]
fn a_client_that_is_killed_between_noticing_and_mending_mends_once() {
    let mut shop = Shop::open();
    let failed = |reports: &[Value]| reports.iter().filter(|it| it["state"] == "failed").count();
    for round in 1..=2 {
        docker(&["kill", &shop.container()]);
        // It is told before anything is done about it, which soon follows; the second time there is a pause
        // between them.
        let file = shop.plant.press.state_dir().join("running.json");
        wait::until("it to be noticed", || {
            let text = std::fs::read_to_string(&file).ok()?;
            (text.contains("service-exited") || text.contains("\"installing\"")).then_some(())
        });
        shop.plant.press.kill();
        shop.plant.press.start_program();
        // What the client has on its disk may be from before it noticed; what it tells is not.
        wait::until("it to be mended", || {
            let reports = shop.reports();
            let is_well = reports.last().is_some_and(|it| it["state"] == "installed");
            (is_well && failed(&reports) >= round).then_some(())
        });
        shop.runs();
    }
    let containers = format!("label=com.docker.compose.project={}", shop.project());
    let containers = docker(&["ps", "--all", "--quiet", "--filter", &containers]);
    assert_eq!(containers.lines().count(), 1, "{containers}");
    assert_eq!(failed(&shop.reports()), 2, "each time it is told once");
}
