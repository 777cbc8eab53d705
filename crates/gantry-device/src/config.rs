//! How the client is configured: one TOML file, written by the device's owner.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use commit_signature::Signer;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the client keeps its key, what it has accepted, and what it has yet to report.
    #[serde(default = "default_state_dir")]
    pub(crate) state_dir: PathBuf,
    pub(crate) server: ServerConfig,
    pub(crate) device: DeviceConfig,
    #[serde(default)]
    pub(crate) capabilities: CapabilitiesConfig,
    #[serde(default)]
    pub(crate) polling: PollingConfig,
    #[serde(default)]
    pub(crate) desired_state: DesiredStateConfig,
    #[serde(default)]
    pub(crate) compose: ComposeConfig,
    #[serde(default)]
    pub(crate) log: LogConfig,
}

/// The fleet manager.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// Scheme, host and port: `https://fleet.example`.
    pub(crate) url: String,
    /// A PEM file with the only root that is trusted.
    pub(crate) ca: PathBuf,
}

/// What the device is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceConfig {
    pub(crate) id: String,
    pub(crate) vendor: String,
    pub(crate) model_number: String,
    pub(crate) serial_number: String,
    #[serde(default)]
    pub(crate) labels: Map<String, Value>,
}

/// What is set aside for workloads; what is absent is asked of the machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

/// When the client looks for changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PollingConfig {
    #[serde(deserialize_with = "duration")]
    pub(crate) interval: Duration,
    /// How far an interval may stray, in percent of it.
    pub(crate) jitter_percent: u8,
    /// The longest pause after errors.
    #[serde(deserialize_with = "duration")]
    pub(crate) longest_pause: Duration,
}

impl Default for PollingConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            jitter_percent: 10,
            longest_pause: Duration::from_secs(300),
        }
    }
}

/// Where the desired state is fetched from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DesiredStateConfig {
    pub(crate) source: SourceKind,
    /// Whose commits are taken, as in `ssh-ed25519 AAAA…`; without any those whom the fleet manager names
    /// at first contact.
    pub(crate) signers: Vec<String>,
    /// Refuses unsigned commits in any case, and never falls back to HTTP, which has no signatures.
    pub(crate) require_signatures: bool,
}

impl DesiredStateConfig {
    /// The signers; their form was checked when the configuration was read.
    pub(crate) fn signers(&self) -> Vec<Signer> {
        self.signers.iter().filter_map(|it| it.parse().ok()).collect()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    #[default]
    Git,
    Http,
}

/// How Compose components are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ComposeConfig {
    pub(crate) command: Vec<String>,
    /// The engine behind it, to look at containers.
    pub(crate) engine: Vec<String>,
    /// For components that name no timeout.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Duration,
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self {
            command: vec!["docker".to_owned(), "compose".to_owned()],
            engine: vec!["docker".to_owned()],
            timeout: Duration::from_secs(600),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    #[error("the configuration file {} is not valid", file.display())]
    Invalid {
        file: PathBuf,
        #[source]
        cause: Box<toml::de::Error>,
    },
    #[error("the configuration file {}: {field} is `{value}`; {rule}", file.display())]
    Field { file: PathBuf, field: &'static str, value: String, rule: &'static str },
}

impl Config {
    /// Reads and checks a configuration file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file)
            .map_err(|cause| ConfigError::Read { file: file.to_owned(), cause })?;
        let mut config: Self = toml::from_str(&text).map_err(|cause| ConfigError::Invalid {
            file: file.to_owned(),
            cause: Box::new(cause),
        })?;
        config.server.url = config.server.url.trim_end_matches('/').to_ascii_lowercase();
        match config.first_mistake() {
            None => Ok(config),
            Some((field, value, rule)) => {
                Err(ConfigError::Field { file: file.to_owned(), field, value, rule })
            }
        }
    }

    fn first_mistake(&self) -> Option<(&'static str, String, &'static str)> {
        let authority = self.server.url.strip_prefix("https://").unwrap_or_default();
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            let rule = "it has to look like https://fleet.example or https://fleet.example:8443";
            return Some(("server.url", self.server.url.clone(), rule));
        }
        for (field, amount) in [
            ("capabilities.memory", &self.capabilities.memory),
            ("capabilities.storage", &self.capabilities.storage),
        ] {
            if let Some(text) = amount
                && margo_contract::quantity::parse(text).is_none()
            {
                return Some((field, text.clone(), "it has to look like 4Gi or 512Mi"));
            }
        }
        if let Some(bad) =
            self.desired_state.signers.iter().find(|it| it.parse::<Signer>().is_err())
        {
            let rule =
                "it has to look like ssh-ed25519 AAAA…, as `gantry signing-key list` shows it";
            return Some(("desired_state.signers", bad.clone(), rule));
        }
        if self.desired_state.require_signatures && self.desired_state.source == SourceKind::Http {
            let rule = "only source = \"git\" has signatures";
            return Some(("desired_state.require_signatures", "true".to_owned(), rule));
        }
        if self.polling.interval < Duration::from_secs(1) {
            let value = format!("{:?}", self.polling.interval);
            return Some(("polling.interval", value, "1s is the least"));
        }
        if self.polling.jitter_percent > 100 {
            let value = self.polling.jitter_percent.to_string();
            return Some(("polling.jitter_percent", value, "it has to be 0 to 100"));
        }
        if self.compose.command.is_empty() || self.compose.engine.is_empty() {
            let rule = "it has to be a list such as [\"docker\", \"compose\"]";
            return Some(("compose.command", String::new(), rule));
        }
        None
    }
}

fn default_state_dir() -> PathBuf {
    "/var/lib/gantry-device".into()
}

/// Reads a duration such as `90s`, `5m` or `1h`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let seconds = text.find(|it: char| !it.is_ascii_digit()).and_then(|place| {
        let (number, unit) = text.split_at(place);
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    });
    let longest = 366 * 24 * 60 * 60;
    match seconds.filter(|it| *it <= longest) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(serde::de::Error::custom(format!(
            "`{text}` is not a duration; write a number and s, m, h or d, such as 90s, a year at most"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../gantry-device.example.toml");

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        fs::write(file.path(), text).expect("it can be written");
        Config::read(file.path())
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let example = read(EXAMPLE).expect("the example is valid");
        assert_eq!(example.state_dir, default_state_dir());
        assert_eq!(example.polling.interval, PollingConfig::default().interval);
        assert_eq!(example.polling.longest_pause, PollingConfig::default().longest_pause);
        assert_eq!(example.desired_state.source, SourceKind::Git);
        assert_eq!(example.compose.command, ComposeConfig::default().command);
    }

    #[test]
    fn a_mistake_is_named_with_its_field() {
        for (from, to, named) in [
            ("https://fleet.example", "http://fleet.example", "server.url"),
            ("interval = \"60s\"", "interval = \"soon\"", "soon"),
            ("interval = \"60s\"", "interval = \"0s\"", "polling.interval"),
            ("[polling]", "[poling]", "poling"),
            ("serial_number = \"0007\"\n", "", "serial_number"),
            ("source = \"git\"", "source = \"ftp\"", "ftp"),
            ("source = \"git\"", "signers = [\"ssh-rsa x\"]", "desired_state.signers"),
            ("source = \"git\"", "source = \"http\"\nrequire_signatures = true", "signatures"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = read(&EXAMPLE.replacen(from, to, 1)).expect_err(named);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error} {}", cause.unwrap_or_default());
            assert!(text.contains(named), "{named}: {text}");
        }
    }
}
