//! A client, a clock and a fleet manager for one test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use device_providers::{Failure, Observed, Offer, Provider, Providers, Workload, code};
use margo_contract::component::ProfileType;
use serde_json::Value;

use super::server::{Moment, Server};
use crate::agent::{Agent, Parts, Wake};
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::Gate;
use crate::identity::Identity;
use crate::live::Live;
use crate::state_dir::StateDir;

pub(super) fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_millisecond()
}

type Event = Box<dyn FnOnce(&TestClock) + Send>;

/// A clock that runs when the client waits.
#[derive(Default)]
pub(super) struct TestClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
    end: AtomicU64,
    stop: Arc<AtomicBool>,
    events: Mutex<Vec<(u64, Event)>>,
}

impl TestClock {
    pub(super) fn set_wall(&self, wall_ms: i64) {
        self.wall.store(wall_ms, Ordering::Relaxed);
    }

    /// Lets so many seconds pass in which the client does not run.
    pub(super) fn pass(&self, seconds: u64) {
        self.monotonic.fetch_add(seconds * 1000, Ordering::Relaxed);
        let ms = i64::try_from(seconds * 1000).expect("short");
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets something happen so many seconds after the beginning.
    pub(super) fn after(&self, seconds: u64, event: impl FnOnce(&Self) + Send + 'static) {
        self.events.lock().expect("not poisoned").push((seconds * 1000, Box::new(event)));
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }

    fn wait(&self, wake: &Receiver<Wake>, at_most: Duration) -> Option<Wake> {
        if let Ok(wake) = wake.try_recv() {
            return Some(wake);
        }
        let now = self.monotonic_ms();
        let then = now + u64::try_from(at_most.as_millis()).expect("short");
        let mut events = self.events.lock().expect("not poisoned");
        events.sort_by_key(|(at, _)| *at);
        let next = events.first().map_or(u64::MAX, |(at, _)| *at);
        let then = then.min(next).min(self.end.load(Ordering::Relaxed));
        self.monotonic.store(then, Ordering::Relaxed);
        self.wall.fetch_add(i64::try_from(then - now).expect("short"), Ordering::Relaxed);
        if then == next {
            let (_, event) = events.remove(0);
            drop(events);
            event(self);
        }
        if then == self.end.load(Ordering::Relaxed) {
            self.stop.store(true, Ordering::Relaxed);
        }
        None
    }
}

/// Does what it is told, and writes down when.
#[derive(Default)]
pub(super) struct Obedient {
    /// Whether what it installed is not in order any more, until it is installed again.
    pub(super) degraded: AtomicBool,
    /// Whether nothing of it is there any more, until it is installed again.
    pub(super) absent: AtomicBool,
    /// Whether the engine does not answer.
    pub(super) silent: AtomicBool,
    /// How long what is installed lives, in milliseconds; 0 for ever.
    pub(super) lifetime: AtomicU64,
    /// Why nothing can be installed or removed, with the number of the attempt if it is told each time.
    pub(super) refuses: Mutex<Option<(&'static str, bool)>>,
    /// When something was installed, or was to be, by the clock that never jumps.
    pub(super) installs: Mutex<Vec<u64>>,
    pub(super) removals: AtomicU64,
    pub(super) looks: AtomicU64,
}

struct Handle(Arc<Obedient>, Arc<TestClock>);

impl Handle {
    fn refusal(&self) -> Result<(), Failure> {
        let unavailable = (code::ENGINE_UNAVAILABLE, false);
        let silent = self.0.silent.load(Ordering::Relaxed).then_some(unavailable);
        let refusal = *self.0.refuses.lock().expect("not poisoned");
        let Some((code, counts)) = silent.or(refusal) else { return Ok(()) };
        let number = self.0.installs.lock().expect("not poisoned").len();
        let message = if counts { format!("no, for the {number}th time") } else { "no".to_owned() };
        Err(Failure { code, message })
    }
}

impl Provider for Handle {
    fn install(&self, _workload: &Workload) -> Result<(), Failure> {
        self.0.installs.lock().expect("not poisoned").push(self.1.monotonic_ms());
        self.refusal()?;
        self.0.degraded.store(false, Ordering::Relaxed);
        self.0.absent.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, _workload: &Workload) -> Result<(), Failure> {
        self.0.removals.fetch_add(1, Ordering::Relaxed);
        self.refusal()
    }

    fn offers(&self) -> Result<Offer, Failure> {
        if self.0.silent.load(Ordering::Relaxed) {
            self.refusal()?;
        }
        let text = |it: &str| Some(it.to_owned());
        Ok(Offer { tool: text("2.26.1"), engine: text("20.10.24"), architecture: text("arm64") })
    }

    fn observe(&self, _workload: &Workload) -> Result<Observed, Failure> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        if self.0.silent.load(Ordering::Relaxed) {
            self.refusal()?;
        }
        let lifetime = self.0.lifetime.load(Ordering::Relaxed);
        let last = self.0.installs.lock().expect("not poisoned").last().copied();
        let is_dead = lifetime > 0 && last.is_some_and(|it| self.1.monotonic_ms() >= it + lifetime);
        if self.0.absent.load(Ordering::Relaxed) {
            return Ok(Observed::Absent);
        }
        match is_dead || self.0.degraded.load(Ordering::Relaxed) {
            true => Ok(Observed::Degraded(Failure {
                code: code::SERVICE_EXITED,
                message: "it has ended".to_owned(),
            })),
            false => Ok(Observed::Running),
        }
    }
}

/// All of it.
pub(super) struct Bench {
    folder: tempfile::TempDir,
    pub(super) state: Arc<StateDir>,
    pub(super) clock: Arc<TestClock>,
    pub(super) server: Arc<Server>,
    pub(super) gate: Arc<Gate>,
    pub(super) live: Arc<Live>,
    pub(super) provider: Arc<Obedient>,
    waker: Sender<Wake>,
    wake: Receiver<Wake>,
    agent: RefCell<Agent<'static>>,
    log: Arc<fs::File>,
}

impl Bench {
    /// A client that looks so often, with more configuration that follows `[polling]`.
    pub(super) fn at(start: &str, interval: &str, more: &str) -> Self {
        Self::with_source("http", start, interval, more)
    }

    /// As [`Bench::at`], from another source.
    pub(super) fn with_source(source: &str, start: &str, interval: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let clock = Arc::new(TestClock::default());
        clock.set_wall(ms(start));
        let server = Server::start(Arc::clone(&clock), &folder.path().join("ca.pem"));
        configure(folder.path(), &server.url, source, interval, more);
        let config = Config::read(&folder.path().join("device.toml")).expect("valid");
        let state = Arc::new(StateDir::open(&config.state_dir).expect("nobody else has it"));
        let the_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let gate = Gate::new(the_clock, config.hours, Arc::clone(&state));
        let gate = Arc::new(gate.expect("readable"));
        let (live, provider) = (Arc::<Live>::default(), Arc::<Obedient>::default());
        let agent = RefCell::new(resume(folder.path(), &state, &gate, &live, &clock, &provider));
        let (waker, wake) = mpsc::channel();
        let log = fs::File::create(folder.path().join("log")).expect("writable");
        Self {
            folder,
            state,
            clock,
            server,
            gate,
            live,
            provider,
            waker,
            wake,
            agent,
            log: Arc::new(log),
        }
    }

    /// Lets the client work for so many seconds of its clock.
    pub(super) fn run_for(&self, seconds: u64) {
        let end = self.clock.monotonic_ms() + seconds * 1000;
        self.clock.end.store(end, Ordering::Relaxed);
        self.clock.stop.store(false, Ordering::Relaxed);
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(Arc::clone(&self.log))
            .finish();
        tracing::subscriber::with_default(log, || self.agent.borrow_mut().run(&self.wake));
    }

    /// The client ends as if the power had failed, and begins again with what is on disk.
    pub(super) fn reboot(&self) {
        let Self { folder, state, gate, live, clock, provider, .. } = self;
        self.agent.replace(resume(folder.path(), state, gate, live, clock, provider));
    }

    /// What the client has logged as a warning or an error.
    pub(super) fn warnings(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("readable")
    }

    /// Every file of the state directory, with what changes when it is written.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.state.join("")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable") {
                let path = entry.expect("readable").path();
                let it = fs::metadata(&path).expect("it is there");
                if it.is_dir() {
                    folders.push(path.clone());
                }
                files.insert(path, (it.ino(), it.mtime(), it.mtime_nsec(), it.size()));
            }
        }
        files
    }

    pub(super) fn configure(&self, interval: &str, more: &str) {
        configure(self.folder.path(), &self.server.url, "http", interval, more);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("device.toml")
    }

    pub(super) fn config(&self) -> Config {
        Config::read(&self.file()).expect("valid")
    }

    pub(super) fn wake(&self, wake: Wake) {
        self.waker.send(wake).expect("the bench holds the other end");
    }

    /// The reports that the fleet manager has heard, with when by the clock that never jumps.
    pub(super) fn reports(&self) -> Vec<(u64, Value)> {
        let requests = self.requests().into_iter().filter(|it| it.path.ends_with("/status"));
        let parsed = requests
            .map(|it| (it.monotonic, serde_json::from_str(&it.body).expect("a report is JSON")));
        parsed.collect()
    }

    /// The capabilities that the fleet manager has heard.
    pub(super) fn capabilities(&self) -> Vec<Value> {
        let requests = self.requests().into_iter().filter(|it| it.path.ends_with("/capabilities"));
        requests.map(|it| serde_json::from_str(&it.body).expect("capabilities are JSON")).collect()
    }

    /// The states that the fleet manager has heard of.
    pub(super) fn states(&self) -> Vec<String> {
        let reports = self.reports().into_iter();
        reports.map(|(_, it)| it["status"]["state"].as_str().expect("a state").to_owned()).collect()
    }

    pub(super) fn requests(&self) -> Vec<Moment> {
        self.server.requests.lock().expect("not poisoned").clone()
    }
}

fn resume(
    folder: &Path,
    state: &Arc<StateDir>,
    gate: &Arc<Gate>,
    live: &Arc<Live>,
    clock: &Arc<TestClock>,
    provider: &Arc<Obedient>,
) -> Agent<'static> {
    let config_file = folder.join("device.toml");
    let (handle, its_clock) = (Arc::clone(provider), Arc::clone(clock));
    let providers = move |_: &Config| {
        let compose = Handle(Arc::clone(&handle), Arc::clone(&its_clock));
        Providers::default().with(ProfileType::Compose, Box::new(compose))
    };
    let agent = Agent::resume(Parts {
        config: Config::read(&config_file).expect("valid"),
        config_file,
        identity: Identity::open_or_make(state, "press-7").expect("a key can be made"),
        state: Arc::clone(state),
        gate: Arc::clone(gate),
        live: Arc::clone(live),
        stop: Arc::clone(&clock.stop),
        clock: Arc::clone(clock) as _,
        // They live as long as the test.
        providers: Box::leak(Box::new(providers)),
        log_level: &|_| Ok(()),
    });
    agent.expect("all that it needs is there")
}

fn configure(folder: &Path, url: &str, source: &str, interval: &str, more: &str) {
    let text = format!(
        "state_dir = \"{}\"\n[server]\nurl = \"{url}\"\nca = \"{}\"\n[device]\nid = \"press-7\"\n\
         vendor = \"Example Machines\"\nmodel_number = \"EM-100\"\nserial_number = \"0007\"\n\
         [desired_state]\nsource = \"{source}\"\n[polling]\ninterval = \"{interval}\"\n{more}",
        folder.join("state").display(),
        folder.join("ca.pem").display(),
    );
    fs::write(folder.join("device.toml"), text).expect("writable");
}
