//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// The Margo device client.
///
/// Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// The configuration file (TOML).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GANTRY_DEVICE_CONFIG",
        default_value = "/etc/gantry/device.toml"
    )]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work until told to stop (what happens without a command)
    Run,
    /// Show what the client knows: server, contacts, revision, deployments
    Status {
        /// How to show it
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show when the client will look for changes, and why not earlier
    Schedule(Schedule),
    /// Show the SHA-256 of the client's certificate, to compare it before the client is approved
    Fingerprint,
    /// Show where the desired state can be fetched with Git, and how
    Repository,
    /// A credential helper for Git: gives it a fresh token for the client's repository
    GitCredential {
        /// What Git asks for: get, store or erase
        operation: String,
    },
    /// Start, stop and list downtimes: while one lasts, nothing is said to the fleet manager
    #[command(subcommand)]
    Downtime(Downtime),
    /// Look for changes now, also outside the polling period
    PollNow {
        /// Also in downtime
        #[arg(long)]
        force: bool,
    },
    /// Let the running client read its configuration, key and certificate again
    Reload,
    /// Work with the configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tell every mistake of a configuration file, with its line and what would be right
    Check {
        /// The file; without it the one of --config
        file: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    /// How many contacts to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) next: u16,
    /// Explain this time instead: 2026-12-24T18:00, in the client's time zone unless it has an offset
    #[arg(long, value_name = "TIME", conflicts_with = "next")]
    pub(crate) at: Option<String>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Downtime {
    /// Begin one now, and tell the fleet manager right before; it outlives restarts and power cuts
    #[command(group = clap::ArgGroup::new("length").required(true))]
    Start {
        /// How long it lasts: a number and s, m, h or d
        #[arg(long = "for", value_name = "DURATION", group = "length")]
        lasting: Option<String>,
        /// When it ends: 2026-12-24T18:00, in the client's time zone unless it has an offset
        #[arg(long, value_name = "TIME", group = "length")]
        until: Option<String>,
        /// Why, for whoever wonders
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// At once: the fleet manager is not told before, and will find the client overdue
        #[arg(long)]
        now: bool,
    },
    /// End all that were started this way; those of the configuration stay
    Stop,
    /// List those of the configuration and those that were started, with what is in force
    List {
        /// How to show it
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}
