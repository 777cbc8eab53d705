//! The Margo workload fleet manager, as a process: configuration, database, certificate, listener and
//! jobs, from start to stop.

mod announcement;
mod backup;
mod certificate;
mod clock;
mod config;
mod data_dir;
mod device_api;
mod doctor;
mod extract;
mod fleet;
mod git_http;
mod identity;
mod jobs;
mod limits;
mod listener;
mod metrics;
mod migrate_to;
mod openapi;
mod operator_api;
mod package;
mod problem;
mod room;
mod routes;
mod server;
mod tls;
mod unread;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser as _;
use fleet_domain::client::OnboardingPolicy as Policy;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Arguments, Command, Config, LogFormat, OnboardingPolicy};
use crate::fleet::{Fleet, FleetOptions};
use crate::identity::{ClientKeys, ReplayGuard};
use crate::limits::RequestLimits;
use crate::listener::ConnectionLimit;
use crate::metrics::Metrics;
use crate::server::{Server, ServerParts};
use crate::tls::ServerCertificate;

const RENEWAL_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// A server that is killed forgets which clients were heard of in this time.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Doctor { output }) => doctor::run(&arguments, output),
        Some(Command::MigrateTo { ref url }) => migrate_to::run(&arguments, url),
        Some(Command::Backup { ref file, force }) => {
            backup::back_up(&arguments, file, force).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Restore { ref file }) => {
            backup::restore(&arguments, file).map(|()| ExitCode::SUCCESS)
        }
        None => start(&arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        say(&format!("gantry-server: {error:#}"));
        ExitCode::FAILURE
    })
}

fn start(arguments: &Arguments) -> Result<()> {
    let config = Config::load(arguments)?;
    start_log(&config)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is in place already"))?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    let _lock = data_dir::open(&config.data_dir)?;
    if let Some(aside) = backup::finish(&config.data_dir)? {
        tracing::warn!(former = %aside.display(), "went on with a restore that was cut off");
    }
    let fleet = Fleet::open(
        &config.database(),
        FleetOptions {
            onboarding: match config.onboarding.policy {
                OnboardingPolicy::AllowListed => Policy::AllowListed,
                OnboardingPolicy::Approve => Policy::Approve,
                OnboardingPolicy::Open => Policy::Open,
            },
            origin: config.public_url.clone(),
        },
    )
    .await
    .context("opening the database")?;
    if config.onboarding.policy == OnboardingPolicy::Open {
        tracing::warn!("the onboarding policy is open: every client is let in; for labs only");
    }
    greet_first_administrator(&config, &fleet).await?;
    for signer in fleet.signers().await.context("reading the signing keys")? {
        let line = signer.allowed_signers_line(fleet_publish::COMMITTER_EMAIL);
        tracing::info!(line, "commits are signed by an allowed signer");
    }
    let certificate = ServerCertificate::load(&config, clock::now())?;
    let tls = certificate.server_config()?;

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {}", config.listen))?;
    tracing::info!(
        address = %listener.local_addr().context("asking for the own address")?,
        public_url = config.public_url,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    let metrics = Metrics::new(&fleet, clock::now());
    let connections =
        ConnectionLimit { most: config.limits.connections, counters: metrics.connections.clone() };
    let server = Server::from(ServerParts {
        fleet: fleet.clone(),
        origin: config.public_url.as_str().into(),
        certificate: Arc::clone(&certificate),
        keys: ClientKeys::default(),
        replays: ReplayGuard::new(config.signatures.window())?,
        limits: RequestLimits::new(config.limits.requests_per_minute),
        metrics,
        git_enabled: config.git.enabled,
    });
    let jobs = tokio::spawn(jobs::run(fleet.clone()));
    let house = tokio::spawn(jobs::keep_house(fleet.clone(), HOUSEKEEPING_INTERVAL));
    let renewal = tokio::spawn(keep_certificate_fresh(certificate));
    let service = routes::service(server);
    listener::serve(listener, tls, service, connections, asked_to_stop()?).await?;
    renewal.abort();
    for task in [jobs, house] {
        task.abort();
        let _ = task.await;
    }
    if let Err(error) = fleet.write_contacts_down().await {
        let error = problem::chain(&error);
        tracing::error!(error, "which clients were heard of last is not written down");
    }
    fleet.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// On the first start nobody could sign in, so the server makes the first administrator's token.
async fn greet_first_administrator(config: &Config, fleet: &Fleet) -> Result<()> {
    let file = config.first_token();
    let token = fleet.first_administrator().await.context("looking for operators")?;
    let Some(token) = token else { return Ok(()) };
    data_dir::write_secret(&file, format!("{}\n", token.secret()).as_bytes())?;
    // Only a token that somebody can read may count: after a crash before this line there is a new one.
    fleet.confirm_administrator(&token, clock::now()).await.context("adding the administrator")?;
    tracing::info!(file = %file.display(), "made the first administrator's token");
    Ok(())
}

async fn keep_certificate_fresh(certificate: Arc<ServerCertificate>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            _ = hangup.recv() => tracing::info!("SIGHUP: reading the certificate again"),
            () = tokio::time::sleep(RENEWAL_INTERVAL) => {}
        }
        if let Err(error) = certificate.renew(clock::now()) {
            tracing::error!(error = format!("{error:#}"), "the certificate stays as it is");
        }
    }
}

fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}

fn start_log(config: &Config) -> Result<()> {
    let filter: EnvFilter = config.log.level.parse().context("reading the log level")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "there is no log before it is configured")]
fn say(line: &str) {
    eprintln!("{line}");
}
