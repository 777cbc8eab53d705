//! How the client is configured: one TOML file, written by the device's owner. It is read field by field,
//! and every mistake in it is told, not only the first.

mod hours;
mod mistake;
mod packages;
mod read;
mod section;
mod value;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use commit_signature::Signer;
use margo_contract::component::ProfileType;
use serde_json::{Map, Value};
use toml::de::DeTable;

pub(crate) use self::hours::parse_moment;
pub(crate) use self::mistake::Mistake;
#[cfg(test)]
pub(crate) use self::packages::Mirror;
pub(crate) use self::packages::{
    Credentials, PackagesConfig, RegistryConfig, SigningKeyConfig, TrustedKeys, is_open_to_others,
};
pub(crate) use self::value::parse_duration;

use self::mistake::Mistakes;
use self::section::Section;
use crate::schedule::{Hours, Rate};

/// The largest configuration file, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// The configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where the client keeps its key, what it has accepted, and what it has yet to report.
    pub(crate) state_dir: PathBuf,
    pub(crate) server: ServerConfig,
    pub(crate) device: DeviceConfig,
    pub(crate) capabilities: CapabilitiesConfig,
    /// How often the client looks for changes.
    pub(crate) polling: Rate,
    /// When it looks, and when it says nothing.
    pub(crate) hours: Hours,
    pub(crate) desired_state: DesiredStateConfig,
    pub(crate) workloads: WorkloadsConfig,
    pub(crate) packages: PackagesConfig,
    /// Nothing where Compose components are not run.
    pub(crate) compose: Option<ComposeConfig>,
    /// Nothing where Helm charts are not run.
    pub(crate) helm: Option<HelmConfig>,
    pub(crate) control: ControlConfig,
    pub(crate) log: LogConfig,
}

/// The fleet manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Scheme, host and port: `https://fleet.example`.
    pub(crate) url: String,
    /// A PEM file with the only root that is trusted.
    pub(crate) ca: PathBuf,
}

/// What the device is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeviceConfig {
    pub(crate) id: String,
    pub(crate) vendor: String,
    pub(crate) model_number: String,
    pub(crate) serial_number: String,
    pub(crate) labels: Map<String, Value>,
}

/// What is set aside for workloads; what is absent is asked of the machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CapabilitiesConfig {
    pub(crate) cores: Option<f64>,
    pub(crate) architecture: Option<String>,
    /// Such as `4Gi`.
    pub(crate) memory: Option<String>,
    /// Such as `64Gi`.
    pub(crate) storage: Option<String>,
    pub(crate) peripherals: Vec<String>,
    pub(crate) interfaces: Option<Vec<String>>,
}

/// Where the desired state is fetched from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DesiredStateConfig {
    pub(crate) source: SourceKind,
    /// Whose commits are taken, as in `ssh-ed25519 AAAA…`; without any those whom the fleet manager names
    /// at first contact.
    pub(crate) signers: Vec<Signer>,
    /// Refuses unsigned commits in any case, and never falls back to HTTP, which has no signatures.
    pub(crate) require_signatures: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SourceKind {
    #[default]
    Git,
    Http,
}

/// How workloads of any kind are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkloadsConfig {
    /// How often each is looked at: what becomes of it behind the client's back is noticed within that
    /// time. From a second to a day.
    pub(crate) inspect_every: Duration,
}

impl Default for WorkloadsConfig {
    fn default() -> Self {
        Self { inspect_every: Duration::from_secs(60) }
    }
}

/// How Compose components are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComposeConfig {
    pub(crate) command: Vec<String>,
    /// The engine behind it, to look at containers.
    pub(crate) engine: Vec<String>,
    /// For components that name no timeout.
    pub(crate) timeout: Duration,
    /// Compose keys that packages may use though they reach beyond their containers.
    pub(crate) allow: BTreeSet<String>,
    /// Whether named volumes go with the workload that is removed.
    pub(crate) remove_volumes: bool,
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self {
            command: vec!["docker".to_owned(), "compose".to_owned()],
            engine: vec!["docker".to_owned()],
            timeout: Duration::from_secs(600),
            allow: BTreeSet::new(),
            remove_volumes: false,
        }
    }
}

/// How Helm charts are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HelmConfig {
    pub(crate) command: Vec<String>,
    /// Where the cluster is, and as whom to speak to it; without it, what Helm finds by itself.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// For components that name no timeout.
    pub(crate) timeout: Duration,
}

impl Default for HelmConfig {
    fn default() -> Self {
        Self {
            command: vec!["helm".to_owned()],
            kubeconfig: None,
            timeout: Duration::from_secs(600),
        }
    }
}

/// Who may speak to the running client, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ControlConfig {
    /// The socket; without it, one in the state directory.
    pub(crate) socket: Option<PathBuf>,
    /// Whose members may use it, beside root and the client's own user.
    pub(crate) group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {}", file.display())]
    Read {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the configuration file {} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    #[error("the configuration file {} is not valid:{}", file.display(), lines(mistakes))]
    Invalid { file: PathBuf, mistakes: Vec<Mistake> },
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|it| format!("\n  {it}")).collect()
}

impl Config {
    /// How long a component may take that names no timeout.
    pub(crate) fn timeout_of(&self, kind: ProfileType) -> Duration {
        let (compose, helm) = (self.compose.as_ref(), self.helm.as_ref());
        let configured = match kind {
            ProfileType::Compose => compose.map(|it| it.timeout),
            ProfileType::Helm => helm.map(|it| it.timeout),
            ProfileType::Custom => None,
        };
        configured.unwrap_or_else(|| self.longest_timeout())
    }

    /// How long a component of any kind may take that names no timeout.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let compose = self.compose.as_ref().map(|it| it.timeout);
        compose.max(self.helm.as_ref().map(|it| it.timeout)).unwrap_or_default()
    }

    /// Where the running client listens for its owner.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.control.socket.clone().unwrap_or_else(|| self.state_dir.join("control.sock"))
    }

    /// Reads and checks a configuration file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let cannot_read = |cause| ConfigError::Read { file: file.to_owned(), cause };
        if fs::metadata(file).map_err(cannot_read)?.len() > LARGEST_FILE {
            return Err(ConfigError::TooLarge(file.to_owned()));
        }
        let text = fs::read_to_string(file).map_err(cannot_read)?;
        Self::parse(&text)
            .map_err(|mistakes| ConfigError::Invalid { file: file.to_owned(), mistakes })
    }

    /// Reads the text of a configuration file; all mistakes of it otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mistakes = Mistakes::in_file(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = error.span().map_or(0, |it| it.start);
            mistakes.note(place, String::new(), error.message().to_owned(), None);
        }
        if !errors.is_empty() {
            // What could be read of it says little about the rest.
            return Err(mistakes.into_sorted());
        }
        let config = read::file(Section::of_file(table.get_ref(), &mistakes));
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into_sorted()),
        }
    }
}

fn default_state_dir() -> PathBuf {
    "/var/lib/gantry-device".into()
}

#[cfg(test)]
mod tests;
