//! The Margo device client: onboards, fetches the desired state when its owner allows it to talk,
//! makes it true, and reports.

mod accepted;
mod agent;
mod arguments;
mod carry_out;
mod clock;
mod commands;
mod config;
mod fleet_manager;
mod git_credential;
mod identity;
mod journal;
mod machine;
mod onboarding;
mod package;
mod plan;
mod report;
mod running;
mod schedule;
mod security_event;
mod source;
mod state_dir;
mod status;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use device_providers::compose::Commands;
use device_providers::{ComposeProvider, chain};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::agent::Agent;
use crate::arguments::{Arguments, Command, ConfigCommand, Output};
use crate::config::{Config, LogFormat};
use crate::fleet_manager::FleetManager;
use crate::identity::{Certificate, Identity};
use crate::onboarding::Onboarded;
use crate::state_dir::StateDir;
use crate::status::ClientStatus;

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
        Command::Run => run(&config),
        Command::Status { output } => show_status(&config, *output),
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
        Command::Config(_) => Ok(()),
    }
}

fn run(config: &Config) -> Result<()> {
    start_log(config)?;
    let state = StateDir::open(&config.state_dir)?;
    let Identity { key, certificate } = Identity::open_or_make(&state, &config.device.id)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server = config.server.url,
        fingerprint = certificate.fingerprint(),
        "started"
    );
    let link = FleetManager::new(&config.server.url, &config.server.ca, key)?;

    let stop = Arc::new(AtomicBool::new(false));
    let (waker, wake) = mpsc::channel();
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("listening for signals")?;
    let stopping = Arc::clone(&stop);
    thread::spawn(move || {
        for _ in signals.forever() {
            stopping.store(true, Ordering::Relaxed);
            // The agent may have ended already.
            let _ = waker.send(());
        }
    });
    let commands =
        Commands { compose: config.compose.command.clone(), engine: config.compose.engine.clone() };
    let provider = ComposeProvider::new(commands, Arc::clone(&stop));
    Agent::resume(config, &state, &certificate, &link, &provider, stop)?.run(&wake);
    Ok(())
}

fn show_status(config: &Config, output: Output) -> Result<()> {
    let state = StateDir::look(&config.state_dir);
    let status = ClientStatus::load(&state)?.with_context(|| {
        format!("nothing is known in {} yet; start the client first", config.state_dir.display())
    })?;
    match output {
        Output::Text => print(&status.to_text()),
        Output::Json => print(&serde_json::to_string_pretty(&status)?),
    }
}

/// The way to the fleet manager, beside the running client.
fn connect(config: &Config) -> Result<(FleetManager, Onboarded)> {
    let state = StateDir::look(&config.state_dir);
    let Some(client) = Onboarded::load(&state, &config.server.url)? else {
        bail!("the client has not been let in by {} yet", config.server.url);
    };
    let identity = Identity::open_or_make(&state, &config.device.id)?;
    let link = FleetManager::new(&config.server.url, &config.server.ca, identity.key)?;
    Ok((link, client))
}

fn start_log(config: &Config) -> Result<()> {
    let filter: tracing_subscriber::EnvFilter = config
        .log
        .level
        .parse()
        .with_context(|| format!("[log] level is `{}`", config.log.level))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}
