//! Steps with a provider that obeys, or fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use device_providers::{Observed, Provider};
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

    fn remake(&self, workload: &Workload) -> Result<(), Failure> {
        self.call("remake", workload)
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
    disk_is_full: bool,
}

impl Surroundings for Notes {
    fn package(&mut self, _wanted: &Wanted<'_>) -> Result<PathBuf, PackageError> {
        match self.fleet_manager_is_away {
            false => Ok(PathBuf::from("package.tar.gz")),
            true => Err(PackageError::NotNow(None)),
        }
    }

    fn note(&mut self, id: Uuid, running: &Running) -> Result<(), StateError> {
        if self.disk_is_full {
            let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StateError::Io { what: "write", path: PathBuf::new(), cause });
        }
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
    now: i64,
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
        Self { _folder: folder, state, capabilities, running, notes, now: 1_000 }
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

    fn carry_out<T>(
        &mut self,
        provider: &Obedient,
        what: impl FnOnce(&CarryOut<'_>, &mut Running, &mut Notes) -> Result<T, StateError>,
    ) -> T {
        self.try_to(provider, what).expect("the disk works")
    }

    fn try_to<T>(
        &mut self,
        provider: &Obedient,
        what: impl FnOnce(&CarryOut<'_>, &mut Running, &mut Notes) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let now = self.now;
        let carry_out = CarryOut {
            state: &self.state,
            providers: &providers(provider),
            capabilities: &self.capabilities,
            default_timeout: &|_| Duration::from_secs(1),
            now_ms: &move || now,
        };
        what(&carry_out, &mut self.running, &mut self.notes)
    }

    fn install(&mut self, provider: &Obedient, accepted: &Accepted) {
        self.carry_out(provider, |it, running, notes| it.install(id(), accepted, running, notes));
    }

    fn remove(&mut self, provider: &Obedient) {
        self.carry_out(provider, |it, running, notes| it.remove(id(), running, notes));
    }
}

fn id() -> Uuid {
    ID.parse().expect("a UUID")
}

// margo(AD-2, S-1, S-2, S-4, CW-10, DS-7, P-2)
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

// margo(W-2, W-6, S-1, CW-10)
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

// margo(V-1, CW-9)
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

// margo(V-1, V-2, V-3)
#[test]
fn a_version_is_adopted_when_its_content_is_taken_up_and_not_when_it_is_fetched() {
    let mut bench = Bench::new();
    let fails = Obedient { fails: Some("shop-api"), ..Obedient::default() };
    let first = bench.accept(4, &["api"], "");
    bench.install(&fails, &first);
    assert_eq!(bench.notes.told.last().map(String::as_str), Some("failed: failed"));
    assert_eq!(bench.running[&id()].adopted, 4, "it says nothing of success");

    let other = bench.accept(6, &["api", "db"], "");
    assert_eq!(bench.running[&id()].adopted, 4, "it was only fetched");
    bench.install(&fails, &other);
    assert_eq!(bench.running[&id()].adopted, 6);
}

// margo(EL-3, EL-4, CW-8)
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

// margo(W-2, CW-10)
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

#[test]
fn what_was_found_out_of_order_before_a_power_cut_is_repaired_after_it_and_not_told_again() {
    let mut bench = Bench::new();
    let provider = Obedient::default();
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.install(&provider, &accepted);
    bench.notes.told.clear();
    let ended = Failure { code: code::SERVICE_EXITED, message: "it has ended".to_owned() };
    let found = BTreeMap::from([(1, ended)]);
    let found_amiss = |bench: &mut Bench, found: &BTreeMap<usize, Failure>| {
        bench.carry_out(&provider, |it, running, notes| it.found_amiss(id(), found, running, notes))
    };
    assert_eq!(found_amiss(&mut bench, &found), Amiss::Repair);
    crate::running::save(&bench.running, &bench.state).expect("writable");
    // As after a power cut.
    bench.running = crate::running::load(&bench.state).expect("readable");
    let other_words = Failure { code: code::SERVICE_EXITED, message: "at 12:00".to_owned() };
    assert_eq!(found_amiss(&mut bench, &BTreeMap::from([(1, other_words)])), Amiss::Repair);
    assert_eq!(bench.notes.told, ["failed: installed failed"]);
    assert_eq!(bench.running[&id()].upkeep.map(|it| (it.found, it.repaired)), Some((1, 0)));

    bench.install(&provider, &accepted);
    assert_eq!(bench.notes.told.last().map(String::as_str), Some("installed: installed installed"));
    assert_eq!(bench.running[&id()].upkeep.map(|it| (it.found, it.repaired)), Some((1, 1)));
    assert_eq!(found_amiss(&mut bench, &found), Amiss::LeaveAlone(10_000));
}

#[test]
fn a_repair_that_fails_is_tried_again_in_silence_until_it_succeeds() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db", "api"], "");
    bench.install(&Obedient::default(), &accepted);
    let ended = Failure { code: code::SERVICE_EXITED, message: "it has ended".to_owned() };
    let found = BTreeMap::from([(1, ended)]);
    bench.carry_out(&Obedient::default(), |it, running, notes| {
        it.found_amiss(id(), &found, running, notes)
    });
    bench.notes.told.clear();
    let stuck = Obedient { fails: Some("shop-api"), ..Obedient::default() };
    for _ in 0..5 {
        bench.install(&stuck, &accepted);
    }
    assert_eq!(
        bench.notes.told,
        [
            "installing: installing pending",
            "pending: installed pending",
            "installing: installed installing",
            "failed: installed failed",
        ]
    );
    bench.install(&Obedient::default(), &accepted);
    assert_eq!(bench.notes.told[4..], ["installed: installed installed"]);
    // What was out of order is made anew at every second attempt, and the rest never.
    assert_eq!(
        *stuck.calls.borrow(),
        ["install", "remake", "install", "remake", "install"]
            .map(|it| ["install shop-db".to_owned(), format!("{it} shop-api")])
            .concat()
    );
}

#[test]
fn a_failed_deployment_that_waits_for_its_package_stays_failed() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db"], "");
    bench.install(&Obedient { fails: Some("shop-db"), ..Obedient::default() }, &accepted);
    let failed = bench.running.clone();
    bench.notes.fleet_manager_is_away = true;
    bench.install(&Obedient::default(), &accepted);
    assert_eq!(bench.running, failed);
}

#[test]
fn what_is_wanted_again_after_a_removal_that_failed_is_told_from_the_beginning() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db"], "");
    bench.install(&Obedient::default(), &accepted);
    bench.remove(&Obedient { fails: Some("shop-db"), ..Obedient::default() });
    bench.notes.told.clear();
    bench.install(&Obedient::default(), &accepted);
    assert_eq!(
        bench.notes.told,
        ["pending: pending", "installing: installing", "installed: installed"]
    );
}

#[test]
fn a_transition_that_cannot_be_written_down_is_told_later() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db"], "");
    let stuck = Obedient { fails: Some("shop-db"), ..Obedient::default() };
    bench.install(&Obedient::default(), &accepted);
    bench.notes.told.clear();
    let ended = Failure { code: code::SERVICE_EXITED, message: "it has ended".to_owned() };
    let found = BTreeMap::from([(0, ended)]);
    for disk_is_full in [true, false] {
        bench.notes.disk_is_full = disk_is_full;
        let outcome =
            bench.try_to(&stuck, |it, running, notes| it.found_amiss(id(), &found, running, notes));
        assert_eq!(outcome.is_err(), disk_is_full);
    }
    assert_eq!(bench.notes.told, ["failed: failed"]);
}

// margo(X-22)
#[test]
fn no_two_workloads_have_the_same_name_and_none_changes_it() {
    let mut bench = Bench::new();
    let accepted = bench.accept(4, &["db"], "");
    let document = accepted.document(&id(), &bench.state).expect("readable");
    let name = |component: &str, running: &Running| project(id(), &document, component, running);
    assert_eq!(name("db", &bench.running), "shop-db");
    assert_eq!(name("-", &bench.running), "shop", "an end that Helm does not take is cut off");
    let long = name(&"x".repeat(60), &bench.running);
    assert!(long.len() <= 53 && long.starts_with("wshop-x"), "{long}");

    // Another deployment, called `shop-db` or being removed, has the name already.
    bench.install(&Obedient::default(), &accepted);
    let there = bench.running.remove(&id()).expect("it was installed");
    bench.running.insert(Uuid::nil(), there.clone());
    let other = name("db", &bench.running);
    assert!(other.starts_with("wshop-db-") && other.len() <= 53, "{other}");
    bench.running.insert(id(), there);
    assert_eq!(name("db", &bench.running), "shop-db", "it stays what it is");
}
