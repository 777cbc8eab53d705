//! The Margo device client: onboards, fetches the desired state when its owner allows it to talk,
//! makes it true, and reports.

mod accepted;
mod agent;
mod announcement;
mod arguments;
mod carry_out;
mod clock;
mod code;
mod commands;
mod config;
mod control;
mod downtimes;
mod fleet_manager;
mod gate;
mod git_credential;
mod identity;
mod journal;
mod last_word;
mod live;
mod machine;
mod offers;
mod onboarding;
mod package;
mod plan;
mod report;
mod retry;
mod running;
mod schedule;
mod security_event;
mod skew;
mod source;
mod state_dir;
mod status;
mod upkeep;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use device_providers::compose::{Commands, Rules};
use device_providers::helm::Settings;
use device_providers::{ComposeProvider, HelmProvider, Providers, chain};
use margo_contract::component::ProfileType;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::agent::{Agent, Parts, Wake};
use crate::arguments::{Arguments, Command, ConfigCommand};
use crate::clock::SystemClock;
use crate::config::{ComposeConfig, Config, HelmConfig, LogFormat};
use crate::control::{Control, Question};
use crate::fleet_manager::FleetManager;
use crate::gate::Gate;
use crate::identity::{Certificate, Identity};
use crate::onboarding::Onboarded;
use crate::state_dir::StateDir;

// margo(PO-7)
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gantry-device: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &Arguments) -> Result<()> {
    if let Some(Command::Config(ConfigCommand::Check { file })) = &arguments.command {
        return commands::config::check(file.as_ref().unwrap_or(&arguments.config));
    }
    let config = Config::read(&arguments.config)?;
    match arguments.command.as_ref().unwrap_or(&Command::Run) {
        Command::Run => run(config, &arguments.config),
        Command::Status { output } => commands::status::show(&config, *output),
        Command::Fingerprint => {
            let certificate = match Certificate::look(&StateDir::look(&config.state_dir))? {
                Some(certificate) => certificate,
                None => {
                    let state = StateDir::open(&config.state_dir)?;
                    Identity::open_or_make(&state, &config.device.id)?.certificate
                }
            };
            print(&certificate.fingerprint())
        }
        Command::Repository => {
            let (link, client) = connect(&config)?;
            let access = source::git::ask_for_access(&link, &client)?;
            print(&git_credential::describe(&access, &arguments.config, &config))
        }
        Command::GitCredential { operation } => {
            if operation != "get" {
                // Nothing is stored, so there is nothing to erase.
                return Ok(());
            }
            let (link, client) = connect(&config)?;
            let access = source::git::ask_for_access(&link, &client)?;
            let asked = io::read_to_string(io::stdin().lock()).context("reading Git's question")?;
            match git_credential::answer(&asked, &access) {
                Some(answer) => print(&answer),
                None => Ok(()),
            }
        }
        Command::Schedule(asked) => commands::schedule::show(&config, asked),
        Command::Downtime(command) => commands::downtime::perform(&config, command),
        Command::PollNow { force } => {
            commands::running::ask(&config, &Question::PollNow { force: *force })
        }
        Command::Reload => commands::running::ask(&config, &Question::Reload),
        Command::Config(_) => Ok(()),
    }
}

fn run(config: Config, config_file: &Path) -> Result<()> {
    let set_level = start_log(&config)?;
    let state = Arc::new(StateDir::open(&config.state_dir)?);
    let identity = Identity::open_or_make(&state, &config.device.id)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server = config.server.url,
        fingerprint = identity.certificate.fingerprint(),
        "started"
    );
    let clock: Arc<dyn clock::Clock> = Arc::new(SystemClock);
    let gate = Gate::new(Arc::clone(&clock), config.hours.clone(), Arc::clone(&state))?;
    let (gate, live) = (Arc::new(gate), Arc::default());
    let (waker, wake) = mpsc::channel();
    let control = Control {
        gate: Arc::clone(&gate),
        live: Arc::clone(&live),
        clock: Arc::clone(&clock),
        wake: waker.clone(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("listening for signals")?;
    let listening = config.clone();
    let parts = Parts {
        config_file: config_file.to_owned(),
        stop: Arc::clone(&stop),
        providers: &|config| providers(config, &stop),
        log_level: &set_level,
        config,
        state,
        identity,
        clock,
        gate: Arc::clone(&gate),
        live,
    };
    let mut agent = Agent::resume(parts)?;
    let (link, stop) = (agent.link(), Arc::clone(&stop));
    let end = move || {
        stop.store(true, Ordering::Relaxed);
        gate.end();
        // A server that hangs is not waited for.
        link.hang_up();
    };
    heed(signals, end, waker);
    // The workloads matter more than that somebody can ask how they are.
    if let Err(error) = control.listen(&listening) {
        tracing::error!(error = chain(&error), "nobody can speak to this client");
    }
    agent.run(&wake);
    Ok(())
}

/// What runs workloads, as the owner has configured it.
fn providers(config: &Config, stop: &Arc<AtomicBool>) -> Providers {
    let mut providers = Providers::default();
    if let Some(ComposeConfig { command, engine, allow, remove_volumes, .. }) =
        config.compose.clone()
    {
        let commands = Commands { compose: command, engine };
        let rules = Rules { allow, remove_volumes };
        let compose = ComposeProvider::new(commands, rules, Arc::clone(stop));
        providers = providers.with(ProfileType::Compose, Box::new(compose));
    }
    if let Some(HelmConfig { command, kubeconfig, .. }) = config.helm.clone() {
        let settings = Settings { command, kubeconfig, home: config.state_dir.join("helm") };
        let helm = HelmProvider::new(settings, Arc::clone(stop));
        providers = providers.with(ProfileType::Helm, Box::new(helm));
    }
    providers
}

/// Lets a signal end the client, or read its configuration again.
fn heed(mut signals: Signals, end: impl Fn() + Send + 'static, waker: Sender<Wake>) {
    thread::spawn(move || {
        for signal in signals.forever() {
            let wake = match signal {
                SIGHUP => Wake::Reload,
                _ => {
                    end();
                    Wake::Look
                }
            };
            // The agent may have ended already.
            let _ = waker.send(wake);
        }
    });
}

/// The way to the fleet manager, beside the running client.
fn connect(config: &Config) -> Result<(FleetManager, Onboarded)> {
    let state = StateDir::look(&config.state_dir);
    let Some(client) = Onboarded::load(&state, &config.server.url)? else {
        bail!("the client has not been let in by {} yet", config.server.url);
    };
    let identity = Identity::open_or_make(&state, &config.device.id)?;
    let link = FleetManager::new(&config.server.url, &config.server.ca, identity.key)?;
    link.recall_time(&state);
    Ok((link, client))
}

/// Starts the log, and gives what sets its level later on.
fn start_log(config: &Config) -> Result<impl Fn(&str) -> Result<()> + use<>> {
    // Not `EnvFilter`, which brings an engine for regular expressions along.
    let filter =
        |level: &str| level.parse::<Targets>().with_context(|| format!("[log] level is `{level}`"));
    let (layer, handle) = reload::Layer::new(filter(&config.log.level)?);
    let log = tracing_subscriber::registry().with(layer);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => log.with(lines.with_ansi(false)).init(),
        LogFormat::Json => log.with(lines.json()).init(),
    }
    Ok(move |level: &str| handle.reload(filter(level)?).context("setting the level of the log"))
}

fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}
