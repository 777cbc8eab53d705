//! Steps with a provider that obeys, or fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use device_providers::Provider;
use margo_contract::component::ProfileType;

use super::*;
use crate::accepted::{Acceptance, Fetched};

const ID: &str = "c2f8a9d4-61b3-4e77-8a0c-3e94d75b1c22";

/// Does what it is asked, writes it down, and fails for one project.
#[derive(Clone, Default)]
struct Obedient {
    calls: Rc<RefCell<Vec<String>>>,
    fails: Option<&'static str>,
}

impl Obedient {
    fn call(&self, verb: &str, workload: &Workload) -> Result<(), Failure> {
        self.calls.borrow_mut().push(format!("{verb} {}", workload.name));
        match self.fails {
            Some(project) if project == workload.name => {
                Err(Failure { code: code::START_FAILED, message: "it does not start".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

impl Provider for Obedient {
    fn install(&self, workload: &Workload) -> Result<(), Failure> {
        self.call("install", workload)
    }

    fn remove(&self, workload: &Workload) -> Result<(), Failure> {
        self.call("remove", workload)
    }

    fn observe(&self, _workload: &Workload) -> Result<Observed, Failure> {
        Ok(Observed::Running)
    }
}

fn providers(provider: &Obedient) -> Providers {
    Providers::default().with(ProfileType::Compose, Box::new(provider.clone()))
}

/// Remembers what was noted.
#[derive(Default)]
struct Notes {
    told: Vec<String>,
    fleet_manager_is_away: bool,
}

impl Surroundings for Notes {
    fn package(&mut self, _wanted: &Wanted<'_>) -> Result<PathBuf, PackageError> {
        match self.fleet_manager_is_away {
            false => Ok(PathBuf::from("package.tar.gz")),
            true => Err(PackageError::NotNow(None)),
        }
    }

    fn note(&mut self, id: Uuid, running: &Running) -> Result<(), StateError> {
        let deployment = &running[&id];
        let components: Vec<&str> =
            deployment.components.iter().map(|it| it.state.state().name()).collect();
        self.told.push(format!("{}: {}", deployment.overall().name(), components.join(" ")));
        Ok(())
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    state: StateDir,
    capabilities: DeviceCapabilities,
    running: Running,
    notes: Notes,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        let capabilities = serde_json::json!({"properties": {
            "id": "press-7", "vendor": "v", "modelNumber": "m", "serialNumber": "s",
            "cpus": [{"cores": 2, "architecture": "amd64"}], "memory": "4Gi", "storage": "4Gi",
            "otelCollector": true, "supportedRuntimes": ["oci"],
            "supportedDeploymentTypes": ["compose"]}});
        let capabilities = DeviceCapabilities::parse(capabilities.to_string().as_bytes())
            .expect("good capabilities");
        let (running, notes) = (Running::new(), Notes::default());
        Self { _folder: folder, state, capabilities, running, notes }
    }

    fn accept(&self, version: u64, components: &[&str], constraints: &str) -> Accepted {
        let components: String = components
            .iter()
            .map(|it| format!("      - name: {it}\n        properties: {{packageLocation: \"https://x.example/{it}.tar.gz\"}}\n"))
            .collect();
        let document = format!(
            "apiVersion: application.margo.org/v1alpha1\nkind: ApplicationDeployment\nmetadata:\n  \
             annotations: {{id: {ID}, applicationId: web}}\n  name: shop\n  namespace: default\nspec:\n  \
             deploymentProfile:\n    type: compose\n{constraints}    components:\n{components}  parameters: {{}}\n"
        );
        let digest = Digest::of(document.as_bytes());
        let manifest = serde_json::json!({
            "manifestVersion": version,
            "bundle": {"mediaType": margo_contract::bundle::MEDIA_TYPE, "digest": digest, "url": "/b"},
            "deployments": [{"deploymentId": ID, "digest": digest, "url": "/d"}],
        });
        let fetched = Fetched {
            manifest: manifest.to_string().into_bytes(),
            documents: BTreeMap::from([(digest, document.into_bytes())]),
            trust: None,
        };
        match Accepted::take(&fetched, None, "press-7", &self.state).expect("a good state") {
            Acceptance::Accepted(accepted) => accepted,
            Acceptance::Unchanged => panic!("nothing was in force"),
        }
    }

    fn install(&mut self, provider: &Obedient, accepted: &Accepted) {
        let carry_out = CarryOut {
            state: &self.state,
            providers: &providers(provider),
            capabilities: &self.capabilities,
            default_timeout: Duration::from_secs(1),
        };
        carry_out
            .install(id(), accepted, &mut self.running, &mut self.notes, 1_000)
            .expect("the disk works");
    }

    fn remove(&mut self, provider: &Obedient) {
        let carry_out = CarryOut {
            state: &self.state,
            providers: &providers(provider),
            capabilities: &self.capabilities,
            default_timeout: Duration::from_secs(1),
        };
        carry_out.remove(id(), &mut self.running, &mut self.notes, 1_000).expect("the disk works");
    }
}

fn id() -> Uuid {
    ID.parse().expect("a UUID")
}

#[test]
fn components_are_installed_in_order_and_removed_in_reverse() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.install(&provider, &accepted);
    bench.remove(&provider);
    assert_eq!(
        *provider.calls.borrow(),
        ["install shop-db", "install shop-api", "remove shop-api", "remove shop-db"]
    );
    assert_eq!(
        bench.notes.told,
        [
            "pending: pending pending",
            "installing: installing pending",
            "pending: installed pending",
            "installing: installed installing",
            "installed: installed installed",
            "removing: removing removing",
            "removed: removed removed",
        ]
    );
    assert!(bench.running.is_empty());
}

#[test]
fn a_component_that_fails_stops_the_rest_and_is_tried_again_later() {
    let mut bench = Bench::new();
    let provider = Obedient { fails: Some("shop-db"), ..Obedient::default() };
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.install(&provider, &accepted);
    assert_eq!(bench.notes.told.last().map(String::as_str), Some("failed: failed pending"));
    let first = bench.running[&id()].retry_at;
    bench.install(&provider, &accepted);
    let second = bench.running[&id()].retry_at;
    assert!(first > 1_000 && second > first, "{first} {second}");
    assert_eq!(*provider.calls.borrow(), ["install shop-db", "install shop-db"]);

    let works = Obedient::default();
    bench.install(&works, &accepted);
    assert_eq!((bench.running[&id()].attempts, bench.running[&id()].retry_at), (0, 0));
}

#[test]
fn components_that_new_content_no_longer_has_are_removed_first() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let before = bench.accept(4, &["db", "api"], "");
    bench.install(&provider, &before);
    let after = bench.accept(5, &["api"], "");
    bench.install(&provider, &after);
    assert_eq!(provider.calls.borrow()[2..], ["remove shop-db", "install shop-api"]);
    assert_eq!(bench.running[&id()].adopted, 5);
}

// margo(EL-3).
#[test]
fn a_device_that_does_not_fit_says_so_and_starts_nothing() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let needs = "    deviceConstraints: {capacityRequirements: {memory: 64Gi}}\n";
    let accepted = bench.accept(4, &["api"], needs);
    bench.install(&provider, &accepted);
    let error = bench.running[&id()].components[0].error.clone().expect("it failed");
    assert_eq!(error.code, "not-eligible");
    assert!(error.message.contains("memory"), "{}", error.message);
    assert!(provider.calls.borrow().is_empty());
}

#[test]
fn a_package_that_cannot_be_had_now_is_waited_for_and_no_failure() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.notes.fleet_manager_is_away = true;
    bench.install(&provider, &accepted);
    bench.install(&provider, &accepted);
    assert_eq!(bench.notes.told, ["pending: pending pending"]);
    assert!(provider.calls.borrow().is_empty());

    bench.notes.fleet_manager_is_away = false;
    bench.install(&provider, &accepted);
    assert_eq!(*provider.calls.borrow(), ["install shop-db", "install shop-api"]);
}

#[test]
fn a_removal_that_fails_is_not_forgotten() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["api"], "");
    bench.install(&Obedient::default(), &accepted);
    bench.remove(&Obedient { fails: Some("shop-api"), ..Obedient::default() });
    assert_eq!(bench.notes.told.last().map(String::as_str), Some("failed: failed"));
    assert!(bench.running.contains_key(&id()));
    bench.remove(&Obedient::default());
    assert!(bench.running.is_empty());
}

#[test]
fn a_former_component_that_cannot_be_removed_is_told_and_removed_later() {
    let mut bench = Bench::new();
    let before = bench.accept(4, &["db", "api"], "");
    bench.install(&Obedient::default(), &before);
    let after = bench.accept(5, &["api"], "");
    let stuck = Obedient { fails: Some("shop-db"), ..Obedient::default() };
    bench.install(&stuck, &after);
    assert_eq!(*stuck.calls.borrow(), ["remove shop-db"], "nothing new beside the old");
    assert_eq!(bench.notes.told.last().map(String::as_str), Some("failed: failed"));

    let works = Obedient::default();
    bench.install(&works, &after);
    bench.install(&works, &after);
    assert_eq!(
        *works.calls.borrow(),
        ["remove shop-db", "install shop-api", "install shop-api"],
        "once is enough"
    );
}

#[test]
fn a_former_component_is_not_forgotten_while_a_package_is_waited_for() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let before = bench.accept(4, &["db", "api"], "");
    bench.install(&provider, &before);
    let after = bench.accept(5, &["api"], "");
    bench.notes.fleet_manager_is_away = true;
    bench.install(&provider, &after);
    // As after a power cut.
    bench.running = crate::running::load(&bench.state).expect("readable");
    bench.notes.fleet_manager_is_away = false;
    bench.install(&provider, &after);
    assert_eq!(provider.calls.borrow()[2..], ["remove shop-db", "install shop-api"]);
}

#[test]
fn a_former_component_that_comes_back_stays_and_one_that_has_yet_to_go_goes_with_the_rest() {
    let mut bench = Bench::new();
    let before = bench.accept(4, &["db", "api"], "");
    bench.install(&Obedient::default(), &before);
    let after = bench.accept(5, &["api"], "");
    bench.install(&Obedient { fails: Some("shop-db"), ..Obedient::default() }, &after);
    let back = Obedient::default();
    let mut again = Running::clone(&bench.running);
    bench.install(&back, &bench.accept(6, &["db", "api"], ""));
    assert_eq!(*back.calls.borrow(), ["install shop-db", "install shop-api"]);

    std::mem::swap(&mut bench.running, &mut again);
    let gone = Obedient::default();
    bench.remove(&gone);
    assert_eq!(*gone.calls.borrow(), ["remove shop-api", "remove shop-db"]);
}

#[test]
fn a_removal_that_was_told_is_not_told_again_after_a_power_cut() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.install(&Obedient::default(), &accepted);
    bench.notes.told.clear();
    let deployment = bench.running.get_mut(&id()).expect("it is installed");
    deployment.components.iter_mut().for_each(|it| it.state = Progress::Removing);
    let provider = Obedient::default();
    bench.remove(&provider);
    assert_eq!(bench.notes.told, ["removed: removed removed"]);
    assert_eq!(*provider.calls.borrow(), ["remove shop-api", "remove shop-db"]);
}

#[test]
fn what_a_workload_has_left_beside_its_package_outlives_the_removal() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db"], "");
    let folder = format!("workloads/{}", id());
    let data = format!("{folder}/db/package/data/kept");
    for is_left in [true, false] {
        bench.install(&Obedient::default(), &accepted);
        if is_left {
            bench.state.save_bytes(&data, b"kept").expect("writable");
        } else {
            bench.state.remove(&folder).expect("removable");
            std::fs::create_dir(bench.state.join(&folder)).expect("writable");
        }
        bench.remove(&Obedient::default());
        assert!(bench.running.is_empty());
        assert_eq!(bench.state.join(&data).is_file(), is_left);
        assert_eq!(bench.state.join(&folder).is_dir(), is_left);
    }
}
