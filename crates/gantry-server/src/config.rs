//! How the server is configured: a TOML file, and a few options of the command line over it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Parser, Subcommand, ValueEnum};
use fleet_store::{Database, OpenError};
use http_signature::Window;
use serde::Deserialize;

/// The Margo workload fleet manager.
///
/// Keeps the desired state of each device, serves it over the Margo management API and from Git, and
/// hears how far the devices have got. On the first start it makes its own CA (ca.pem) and the token
/// of the first administrator (administrator.token) in the data directory.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The configuration file (TOML). Without one the defaults hold.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept; instead of `data_dir`.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The database, such as postgres://USER:PASSWORD@HOST:5432/NAME; instead of `database`.
    ///
    /// A password is better given in the configuration file, in PGPASSWORD or in ~/.pgpass: other users of
    /// the machine see the command line.
    #[arg(
        long,
        value_name = "URL",
        global = true,
        env = "GANTRY_DATABASE",
        hide_env_values = true
    )]
    pub(crate) database: Option<String>,
    /// The address to listen on, such as 0.0.0.0:443; instead of `listen`.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// The URL by which devices and operators reach the server; instead of `public_url`.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) public_url: Option<String>,
}

/// What to do in place of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configuration, files, certificate, database, clock and room, and say what to do.
    ///
    /// Changes nothing, and may be asked while the server runs. Exits with 0 unless a check fails.
    Doctor {
        /// How to say it.
        #[arg(short, long, value_enum, default_value_t = OutputFormat::Text)]
        output: OutputFormat,
    },
    /// Move the fleet from the SQLite file of the data directory into a PostgreSQL database, which is empty.
    ///
    /// The server has to be stopped. Cut off in the middle, it goes on where it was when it is run again. At
    /// the end all rows of both sides are compared. The file stays as it is.
    MigrateTo {
        /// Where to: postgres://USER:PASSWORD@HOST:5432/NAME. A password may also be in PGPASSWORD or in
        /// ~/.pgpass, where other users of the machine do not see it.
        #[arg(value_name = "URL")]
        url: String,
    },
    /// Write all that the fleet manager needs to come back into one file; the server may run.
    ///
    /// The file holds the database and the CA with its key. Who has it can be the fleet manager: keep it
    /// as safe as the server.
    Backup {
        /// Where to; it must not be there yet.
        file: PathBuf,
        /// Overwrite the file.
        #[arg(long)]
        force: bool,
    },
    /// Put a backup in place of what the data directory holds; the server must be stopped.
    ///
    /// The backup is checked first. What was there before is moved into a folder beside it. Devices that
    /// have taken up newer desired states since the backup was made take the restored one by themselves.
    Restore {
        /// What `backup` has written.
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

/// The configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    /// Where the fleet is kept. Without it, in a SQLite file in the data directory.
    pub(crate) database: Option<DatabaseUrl>,
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: String,
    pub(crate) tls: TlsConfig,
    pub(crate) onboarding: OnboardingConfig,
    pub(crate) signatures: SignaturesConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) git: GitConfig,
    pub(crate) log: LogConfig,
    pub(crate) traces: TracesConfig,
}

/// The certificate that the server shows. Without one it makes its own, signed by its own CA.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// A PEM file with the certificate and its chain.
    pub(crate) certificate: Option<PathBuf>,
    /// A PEM file with its private key.
    pub(crate) key: Option<PathBuf>,
    /// A PEM file with the root that devices pin; needed with `certificate`.
    pub(crate) ca: Option<PathBuf>,
}

/// A database by its URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct DatabaseUrl(Database);

impl TryFrom<String> for DatabaseUrl {
    type Error = OpenError;

    fn try_from(url: String) -> Result<Self, OpenError> {
        url.parse().map(Self)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OnboardingConfig {
    pub(crate) policy: OnboardingPolicy,
}

/// What becomes of a certificate that nobody has seen before.
// margo(A-2, A-3)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnboardingPolicy {
    /// It is turned away, unless an operator has registered it or an authority that vouches for it.
    AllowListed,
    /// Unless that is so, it waits for an operator.
    #[default]
    Approve,
    /// It is let in. For labs only.
    Open,
}

/// How far from now a client may have signed a request.
// margo(SP-24): configurable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SignaturesConfig {
    /// Seconds in the past, from 1 to 3,600.
    pub(crate) max_age: u64,
    /// Seconds in the future, up to 600.
    pub(crate) max_skew: u64,
}

impl Default for SignaturesConfig {
    fn default() -> Self {
        let Window { back, forward } = Window::default();
        Self { max_age: back, max_skew: forward }
    }
}

impl SignaturesConfig {
    pub(crate) fn window(&self) -> Window {
        Window { back: self.max_age, forward: self.max_skew }
    }
}

/// How much one caller may ask for, and all together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// Of each client, in the long run; half of it at once.
    pub(crate) requests_per_minute: NonZeroU32,
    /// So many may be open at a time; further ones wait.
    pub(crate) connections: NonZeroU32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: NonZeroU32::new(1_200).expect("1200 is not 0"),
            connections: NonZeroU32::new(10_000).expect("10000 is not 0"),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GitConfig {
    pub(crate) enabled: bool,
}

impl Default for GitConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    /// A level, or directives such as `info,gantry_server=debug`.
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

/// Where traces go; nowhere without an endpoint, unless the variables of OpenTelemetry name one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TracesConfig {
    /// The collector, such as `http://localhost:4318`, as OTLP over HTTP has it: traces go to `/v1/traces` below it.
    pub(crate) endpoint: Option<String>,
    /// A PEM file with the certificates to trust; needed for https.
    pub(crate) ca: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/gantry-server".into(),
            database: None,
            // margo(T-2)
            listen: SocketAddr::from(([0, 0, 0, 0], 443)),
            public_url: "https://localhost".to_owned(),
            tls: TlsConfig::default(),
            onboarding: OnboardingConfig::default(),
            signatures: SignaturesConfig::default(),
            limits: LimitsConfig::default(),
            git: GitConfig::default(),
            log: LogConfig::default(),
            traces: TracesConfig::default(),
        }
    }
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
    #[error(
        "the configuration file {} is not valid: line {line}, which is not repeated since it holds a URL that \
         may have a password in it: {mistake}",
        file.display()
    )]
    InvalidSecret { file: PathBuf, line: usize, mistake: String },
    #[error(
        "public_url is `{0}`; it has to look like https://fleet.example or https://fleet.example:8443, without a path"
    )]
    PublicUrl(String),
    #[error("`database` cannot be used")]
    Database(#[from] OpenError),
    #[error("[signatures] needs a `max_age` from 1 to 3600 and a `max_skew` up to 600 seconds")]
    SignatureWindow,
    #[error("[tls] needs `certificate`, `key` and `ca` together, or none of them")]
    HalfTls,
    #[error(
        "[log] level is `{0}`; it has to be error, warn, info, debug or trace, or directives with them"
    )]
    LogLevel(String),
    #[error(
        "[traces] endpoint is `{0}`; it has to look like http://localhost:4318, or https://… with `ca`"
    )]
    TracesEndpoint(String),
}

impl Config {
    /// The configuration that the command line asks for, checked.
    pub(crate) fn load(arguments: &Arguments) -> Result<Self, ConfigError> {
        let mut config = match &arguments.config {
            Some(file) => Self::read(file)?,
            None => Self::default(),
        };
        if let Some(data_dir) = &arguments.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(url) = &arguments.database {
            config.database = Some(DatabaseUrl(url.parse()?));
        }
        if let Some(listen) = arguments.listen {
            config.listen = listen;
        }
        if let Some(public_url) = &arguments.public_url {
            config.public_url.clone_from(public_url);
        }
        config.public_url = origin(&config.public_url)
            .ok_or_else(|| ConfigError::PublicUrl(config.public_url.clone()))?;
        let SignaturesConfig { max_age, max_skew } = config.signatures;
        if !(1..=3_600).contains(&max_age) || max_skew > 600 {
            return Err(ConfigError::SignatureWindow);
        }
        let tls = [&config.tls.certificate, &config.tls.key, &config.tls.ca];
        if tls.iter().any(|it| it.is_some()) && tls.iter().any(|it| it.is_none()) {
            return Err(ConfigError::HalfTls);
        }
        if config.log.level.parse::<tracing_subscriber::EnvFilter>().is_err() {
            return Err(ConfigError::LogLevel(config.log.level));
        }
        if let Some(endpoint) = &config.traces.endpoint {
            let is_url = endpoint.starts_with("http://")
                || (endpoint.starts_with("https://") && config.traces.ca.is_some());
            if !is_url {
                return Err(ConfigError::TracesEndpoint(endpoint.clone()));
            }
        }
        Ok(config)
    }

    fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file)
            .map_err(|cause| ConfigError::Read { file: file.to_owned(), cause })?;
        toml::from_str(&text).map_err(|cause: toml::de::Error| {
            let file = file.to_owned();
            let start = cause.span().map_or(0, |it| it.start).min(text.len());
            let (before, after) = text.split_at_checked(start).unwrap_or_default();
            let (line, rest) = (before.rsplit('\n').next(), after.split('\n').next());
            if [line, rest].into_iter().flatten().any(|it| it.contains("://") && it.contains('@')) {
                let line = before.matches('\n').count() + 1;
                let mistake = match cause.message() {
                    repeats if repeats.contains("://") => "another kind of value is needed here",
                    mistake => mistake,
                };
                return ConfigError::InvalidSecret { file, line, mistake: mistake.to_owned() };
            }
            ConfigError::Invalid { file, cause: Box::new(cause) }
        })
    }

    /// Where the fleet is kept.
    pub(crate) fn database(&self) -> Database {
        match &self.database {
            Some(DatabaseUrl(database)) => database.clone(),
            None => self.database_file(),
        }
    }

    /// The SQLite file of the data directory, whether it is used or not.
    pub(crate) fn database_file(&self) -> Database {
        Database::sqlite(&self.data_dir.join("gantry.db"))
    }

    /// The file with the token of the first administrator.
    pub(crate) fn first_token(&self) -> PathBuf {
        self.data_dir.join("administrator.token")
    }

    /// The host that the server's certificate is for.
    pub(crate) fn host(&self) -> &str {
        let authority = self.public_url.trim_start_matches("https://");
        match authority.rsplit_once(':') {
            Some((host, _))
                if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) =>
            {
                host.trim_matches(['[', ']'])
            }
            _ => authority.trim_matches(['[', ']']),
        }
    }
}

/// Scheme, host and port as clients write them into `@target-uri`: lower case, no default port.
fn origin(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/').to_ascii_lowercase();
    let authority = url.strip_prefix("https://")?;
    let authority = authority.strip_suffix(":443").unwrap_or(authority);
    let fits = !authority.is_empty()
        && authority.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:[]_".contains(&it));
    fits.then(|| format!("https://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        fs::write(file.path(), text).expect("it can be written");
        let config = Some(file.path().to_owned());
        let arguments = Arguments {
            command: None,
            config,
            data_dir: None,
            database: None,
            listen: None,
            public_url: None,
        };
        Config::load(&arguments)
    }

    // margo(T-2, SP-17, SP-40)
    #[test]
    fn the_defaults_are_the_ports_and_policies_of_production() {
        let config = load("").expect("an empty file is fine");
        assert_eq!(config.listen.port(), 443);
        assert_eq!(config.onboarding.policy, OnboardingPolicy::Approve);
        assert!(config.git.enabled);
        let Window { back, forward } = config.signatures.window();
        assert_eq!((back, forward), (300, 60));
    }

    #[test]
    fn an_origin_has_one_spelling() {
        for (url, expected, host) in [
            ("https://Fleet.Example/", "https://fleet.example", "fleet.example"),
            ("https://fleet.example:443", "https://fleet.example", "fleet.example"),
            ("https://localhost:8443", "https://localhost:8443", "localhost"),
            ("https://[::1]:8443", "https://[::1]:8443", "::1"),
        ] {
            let config = load(&format!("public_url = \"{url}\"")).expect("a good URL");
            assert_eq!((config.public_url.as_str(), config.host()), (expected, host));
        }
        for bad in
            ["http://fleet.example", "https://", "fleet.example", "https://a/b", "https://a b"]
        {
            let error = load(&format!("public_url = \"{bad}\"")).expect_err(bad);
            assert!(matches!(error, ConfigError::PublicUrl(_)), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_url_of_the_database_is_never_repeated() {
        for mistake in [
            "database = \"mysql://gantry:s3cret@db/fleet\"",
            "database = \"postgres://gantry:s3cret@db:none/fleet\"",
            "data_base = \"postgres://gantry:s3cret@db/fleet\"",
            "database = \"postgres://gantry:s3cret@db/fleet\nlisten = 1",
            "database = [\"postgres://gantry:s3cret@db/fleet\"]",
            "listen = \"postgres://gantry:s3cret@db/fleet\"",
        ] {
            let error = anyhow::Error::from(load(mistake).expect_err(mistake));
            let said = format!("{error:#} {error:?}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        let other = load("\ndatabase = \"mysql://gantry:s3cret@db/fleet\"").expect_err("no engine");
        assert!(
            other.to_string().contains("line 2") && other.to_string().contains("`mysql` is not")
        );
        let config = load("database = \"postgres://gantry:s3cret@db/fleet\"").expect("it is good");
        assert_eq!(config.database().to_string(), "postgres://gantry@db:5432/fleet");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let ConfigError::Invalid { cause, .. } =
            load("listen = \"0.0.0.0:443\"\nlisten_on = 1\n").expect_err("unknown")
        else {
            panic!("an unknown key is invalid");
        };
        assert!(cause.to_string().contains("line 2"), "{cause}");
        assert!(cause.to_string().contains("listen_on"), "{cause}");
        for window in ["max_age = 0", "max_age = 3601", "max_skew = 601"] {
            let error = load(&format!("[signatures]\n{window}")).expect_err(window);
            assert!(matches!(error, ConfigError::SignatureWindow), "{window}");
        }
        assert!(matches!(load("[tls]\nkey = \"k.pem\""), Err(ConfigError::HalfTls)));
        assert!(matches!(load("[log]\nlevel = \"a=b=c\""), Err(ConfigError::LogLevel(_))));
        for endpoint in ["localhost:4318", "https://localhost:4318"] {
            let error = load(&format!("[traces]\nendpoint = \"{endpoint}\"")).expect_err(endpoint);
            assert!(matches!(error, ConfigError::TracesEndpoint(_)), "{endpoint}");
        }
    }
}
