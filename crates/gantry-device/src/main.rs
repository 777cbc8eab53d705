//! The Margo device client: onboards, fetches the desired state when its owner allows it to talk,
//! makes it true, and reports.

mod accepted;
mod agent;
mod carry_out;
mod clock;
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
mod skew;
mod source;
mod state_dir;
mod status;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use device_providers::compose::Commands;
use device_providers::{ComposeProvider, chain};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::agent::Agent;
use crate::config::{Config, LogFormat};
use crate::fleet_manager::FleetManager;
use crate::identity::{Certificate, Identity};
use crate::onboarding::Onboarded;
use crate::state_dir::StateDir;
use crate::status::ClientStatus;

/// The Margo device client.
///
/// Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file (TOML).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GANTRY_DEVICE_CONFIG",
        default_value = "/etc/gantry/device.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work until told to stop (what happens without a command)
    Run,
    /// Show what the client knows: server, contacts, revision, deployments
    Status {
        /// How to show it
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show the SHA-256 of the client's certificate, to compare it before the client is approved
    Fingerprint,
    /// Show where the desired state can be fetched with Git, and how
    Repository,
    /// A credential helper for Git: gives it a fresh token for the client's repository
    GitCredential {
        /// What Git asks for: get, store or erase
        operation: String,
    },
    /// Check the configuration file
    CheckConfig,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

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
        Command::CheckConfig => print(&format!("{} is valid", arguments.config.display())),
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
    link.recall_time(&state);
    Ok((link, client))
}

fn start_log(config: &Config) -> Result<()> {
    // Not `EnvFilter`, which brings an engine for regular expressions along.
    let filter: Targets = config
        .log
        .level
        .parse()
        .with_context(|| format!("[log] level is `{}`", config.log.level))?;
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).finish().with(filter).init(),
        LogFormat::Json => log.json().finish().with(filter).init(),
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
