//! How the client is configured: one TOML file, written by the device's owner. It is read field by field,
//! and every mistake in it is told, not only the first.

mod hours;
mod mistake;
mod section;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use commit_signature::Signer;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

pub(crate) use self::hours::parse_moment;
pub(crate) use self::mistake::Mistake;
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
    pub(crate) compose: ComposeConfig,
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

/// How Compose components are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComposeConfig {
    pub(crate) command: Vec<String>,
    /// The engine behind it, to look at containers.
    pub(crate) engine: Vec<String>,
    /// For components that name no timeout.
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
        let config = read(Section::of_file(table.get_ref(), &mistakes));
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into_sorted()),
        }
    }
}

fn read(mut file: Section<'_>) -> Option<Config> {
    let state_dir = file.optional("state_dir", "\"/var/lib/gantry-device\"", value::path);
    let server = server(file.section("server"));
    let device = device(file.section("device"));
    let capabilities = capabilities(file.section("capabilities"));
    let (polling, hours) = polling(&mut file);
    let desired_state = desired_state(file.section("desired_state"));
    let compose = compose(file.section("compose"));
    let control = control(file.section("control"));
    let log = log(file.section("log"));
    file.end();
    Some(Config {
        state_dir: state_dir.unwrap_or_else(default_state_dir),
        server: server?,
        device: device?,
        capabilities,
        polling,
        hours,
        desired_state,
        compose,
        control,
        log,
    })
}

fn server(mut section: Section<'_>) -> Option<ServerConfig> {
    let url = section.required("url", "\"https://fleet.example\"", origin);
    let ca = section.required("ca", "\"/etc/gantry/ca.pem\"", value::path);
    section.end();
    Some(ServerConfig { url: url?, ca: ca? })
}

fn device(mut section: Section<'_>) -> Option<DeviceConfig> {
    let id = section.required("id", "\"press-7\"", value::name);
    let vendor = section.required("vendor", "\"Example Machines\"", value::name);
    let model_number = section.required("model_number", "\"EM-100\"", value::name);
    let serial_number = section.required("serial_number", "\"0007\"", value::name);
    let labels = section.optional("labels", "{ \"example.com/hall\" = \"north\" }", value::table);
    section.end();
    Some(DeviceConfig {
        id: id?,
        vendor: vendor?,
        model_number: model_number?,
        serial_number: serial_number?,
        labels: labels.unwrap_or_default(),
    })
}

fn capabilities(mut section: Section<'_>) -> CapabilitiesConfig {
    let capabilities = CapabilitiesConfig {
        cores: section.optional("cores", "2", value::number),
        architecture: section.optional("architecture", "\"amd64\"", value::name),
        memory: section.optional("memory", "\"4Gi\"", quantity),
        storage: section.optional("storage", "\"64Gi\"", quantity),
        peripherals: section
            .optional("peripherals", "[\"camera\"]", value::texts)
            .unwrap_or_default(),
        interfaces: section.optional("interfaces", "[\"ethernet\"]", value::texts),
    };
    section.end();
    capabilities
}

/// `[polling]`, and `[[downtime]]`, which is judged in the same time zone unless it names its own.
fn polling(file: &mut Section<'_>) -> (Rate, Hours) {
    let mut section = file.section("polling");
    let or = Rate::default();
    let percent = |it: &DeValue<'_>| match value::number(it)? {
        it @ 0.0..=100.0 if it.fract() == 0.0 => Ok(it),
        _ => Err("it has to be a whole number from 0 to 100".to_owned()),
    };
    let mut pause = |key, example, or| section.optional(key, example, value::pause).unwrap_or(or);
    let rate = Rate {
        interval: pause("interval", "\"60s\"", or.interval),
        shortest_pause: pause("shortest_pause", "\"1s\"", or.shortest_pause),
        first_pause: pause("first_pause", "\"2s\"", or.first_pause),
        longest_pause: pause("longest_pause", "\"5m\"", or.longest_pause),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        jitter_percent: section
            .optional("jitter_percent", "10", percent)
            .map_or(or.jitter_percent, |it| it as u8),
    };
    if rate.longest_pause < rate.shortest_pause {
        let example = Some("longest_pause = \"5m\"".to_owned());
        section.wrong("longest_pause", "it is below shortest_pause".to_owned(), example);
    }
    let zone = section.optional("time_zone", "\"Europe/Berlin\"", value::time_zone);
    let zone = zone.unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC));
    let periods = section.sections("period", hours::MOST_WINDOWS).into_iter().map(|mut it| {
        let window = hours::window(&mut it);
        it.end();
        window
    });
    let periods = periods.collect();
    let downtimes = file.sections("downtime", hours::MOST_WINDOWS);
    let downtimes = downtimes.into_iter().filter_map(|it| hours::downtime(it, &zone)).collect();
    let hours = Hours { zone, periods, downtimes };
    if hours.never_open() {
        let problem = "the downtimes leave no moment of the polling periods to look for changes";
        let example = "a [[polling.period]] that reaches out of each [[downtime]]".to_owned();
        section.wrong("", problem.to_owned(), Some(example));
    }
    section.end();
    (rate, hours)
}

fn desired_state(mut section: Section<'_>) -> DesiredStateConfig {
    let kinds = value::one_of(&[("git", SourceKind::Git), ("http", SourceKind::Http)]);
    let source = section.optional("source", "\"git\"", kinds).unwrap_or_default();
    let signers = section.optional("signers", "[\"ssh-ed25519 AAAA…\"]", |it| {
        let signers = value::texts(it)?.into_iter().map(|it| {
            it.parse::<Signer>()
                .map_err(|_| format!("`{it}` is no key as `gantry signing-key list` shows it"))
        });
        signers.collect::<Result<Vec<_>, _>>()
    });
    let require_signatures = section.optional("require_signatures", "false", value::boolean);
    let config = DesiredStateConfig {
        source,
        signers: signers.unwrap_or_default(),
        require_signatures: require_signatures.unwrap_or_default(),
    };
    if config.require_signatures && config.source == SourceKind::Http {
        let problem = "over HTTP there are no signatures".to_owned();
        section.wrong("require_signatures", problem, Some("source = \"git\"".to_owned()));
    }
    section.end();
    config
}

fn compose(mut section: Section<'_>) -> ComposeConfig {
    let program = |it: &DeValue<'_>| match value::texts(it)? {
        it if it.is_empty() => Err("it is empty".to_owned()),
        it => Ok(it),
    };
    let or = ComposeConfig::default();
    let config = ComposeConfig {
        command: section
            .optional("command", "[\"docker\", \"compose\"]", program)
            .unwrap_or(or.command),
        engine: section.optional("engine", "[\"docker\"]", program).unwrap_or(or.engine),
        timeout: section.optional("timeout", "\"10m\"", value::pause).unwrap_or(or.timeout),
    };
    section.end();
    config
}

fn control(mut section: Section<'_>) -> ControlConfig {
    let config = ControlConfig {
        socket: section.optional("socket", "\"/run/gantry-device/control.sock\"", value::path),
        group: section.optional("group", "\"operators\"", value::name),
    };
    if config.group.is_some() && config.socket.is_none() {
        let problem =
            "its members cannot reach the socket in the state directory, which is private";
        let example = "socket = \"/run/gantry-device/control.sock\"".to_owned();
        section.wrong("group", problem.to_owned(), Some(example));
    }
    section.end();
    config
}

fn log(mut section: Section<'_>) -> LogConfig {
    let formats = value::one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let level = |it: &DeValue<'_>| {
        let text = value::text(it)?;
        match text.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => Ok(text),
            Err(_) => Err(format!("`{text}` is no level, nor a list of them for parts")),
        }
    };
    let or = LogConfig::default();
    let config = LogConfig {
        format: section.optional("format", "\"text\"", formats).unwrap_or(or.format),
        level: section.optional("level", "\"info\"", level).unwrap_or(or.level),
    };
    section.end();
    config
}

/// An origin, without the slash that people like to add.
fn origin(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(value)?.trim_end_matches('/').to_ascii_lowercase();
    let authority = text.strip_prefix("https://").unwrap_or_default();
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
        return Err(format!("`{text}` is not https:// and a host, with a port if need be"));
    }
    Ok(text)
}

fn quantity(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(value)?;
    match margo_contract::quantity::parse(&text) {
        Some(_) => Ok(text),
        None => Err(format!("`{text}` is no amount such as 4Gi or 512Mi")),
    }
}

fn default_state_dir() -> PathBuf {
    "/var/lib/gantry-device".into()
}

#[cfg(test)]
mod tests;
