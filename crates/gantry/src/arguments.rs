//! The command line: what can be said, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{config, exit_code};

/// The longest time that `--timeout` accepts.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Keeps what every command understands apart from what is its own.
const EVERYWHERE: &str = "Options of every command";

/// Operate a fleet of Margo devices.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = format!("{}\n{}", config::help(), exit_code::help()))]
pub(crate) struct Arguments {
    /// How to print results; the fields of json and yaml are those of the operator API.
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = EVERYWHERE)]
    pub(crate) output: Format,
    /// Where `gantry login` keeps the session [default: $XDG_CONFIG_HOME/gantry/config.toml].
    #[arg(long, global = true, env = "GANTRY_CONFIG", value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a token with a fleet manager and keep it.
    Login(Login),
    /// Forget the kept session.
    Logout,
    /// Say who is signed in.
    Whoami,
    /// Decide which clients may talk.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Decide which certificate authorities vouch for clients.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Decide who may operate the fleet.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// See and replace the keys that sign what clients are told.
    #[command(subcommand)]
    SigningKey(SigningKeyCommand),
    /// Manage the catalogue of applications.
    #[command(subcommand)]
    Application(ApplicationCommand),
    /// Order a deployment of an application on one device or on many.
    Deploy(Deploy),
    /// See and change deployments.
    #[command(subcommand)]
    Deployment(DeploymentCommand),
    /// See what clients are told.
    #[command(subcommand)]
    DesiredState(DesiredStateCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Where the fleet manager is, such as `https://fleet.example:8443`.
    pub(crate) url: String,
    /// The file with the operator's token; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// The PEM file with the only certificate authority to trust. Needed the first time.
    #[arg(long, value_name = "FILE", env = "GANTRY_CA")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List clients.
    List {
        /// Only those that should have called and did not.
        #[arg(long)]
        overdue: bool,
    },
    /// Show a client and its devices.
    Show {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
    },
    /// Show what a client says of its devices, exactly as it says it.
    Capabilities {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
        /// Only this device.
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// What it has said so far and what changed, the newest first: the last 50 reports.
        #[arg(long)]
        history: bool,
    },
    /// Let a client in that has not called yet, by its certificate.
    Register {
        /// The client's certificate (PEM).
        certificate: PathBuf,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Announce the certificate of a new key with which a client comes next; until then its former one counts.
    Renew {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
        /// The client's new certificate (PEM).
        certificate: PathBuf,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a client in. Compare its certificate's fingerprint first.
    Approve(Decide),
    /// Turn a waiting client away.
    Reject(Decide),
    /// Shut a client out for ever.
    Revoke(Decide),
    /// Open a client's Git repository for reading, for a while; kept in the audit log.
    Repository {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Let clients in whose certificates come from this authority.
    Add {
        /// The authority's certificate (PEM).
        certificate: PathBuf,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List the authorities, the oldest first.
    List,
    /// Trust an authority no more. Clients that are in stay in; `gantry client revoke` shuts one out.
    Remove {
        /// The authority's fingerprint, as `gantry trust list` shows it.
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// List operators.
    List,
    /// Add an operator; prints the token, this once.
    Add {
        /// What to call the operator: letters, digits, `.`, `_`, `@` and `-`.
        name: String,
        /// What the operator may do.
        #[arg(long, value_enum)]
        role: Role,
    },
    /// Remove an operator, whose token opens nothing from then on.
    Remove {
        /// The operator, as `gantry operator list` shows it.
        name: String,
    },
}

/// What an operator may do: each role all of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// See everything.
    Viewer,
    /// Order deployments and manage applications.
    Operator,
    /// Admit clients, replace keys, add operators.
    Administrator,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SigningKeyCommand {
    /// List the keys that have signed or will sign, the oldest first.
    List,
    /// Make a new key. Devices learn of it from a commit that the key before it has signed.
    Rotate,
}

#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// The client's id, its beginning (4 characters or more), its name or its device's id.
    pub(crate) client: String,
    /// Why; kept in the audit log.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApplicationCommand {
    /// Add an application package: a folder with margo.yaml, or a tar or tar.gz of one.
    Add {
        /// The folder or file.
        package: PathBuf,
    },
    /// List applications.
    List,
    /// Show an application; its newest version where none is named.
    Show {
        /// The application, as `gantry application list` shows it.
        #[arg(value_name = "ID[@VERSION]")]
        application: ApplicationArgument,
    },
    /// Remove a version of an application; the version may be left out where there is one only.
    Remove {
        /// The application, as `gantry application list` shows it.
        #[arg(value_name = "ID[@VERSION]")]
        application: ApplicationArgument,
    },
}

/// `ID` or `ID@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApplicationArgument {
    pub(crate) id: String,
    pub(crate) version: Option<String>,
}

impl std::str::FromStr for ApplicationArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, version) = match text.split_once('@') {
            Some((id, version)) => (id, Some(version)),
            None => (text, None),
        };
        if id.is_empty() || version == Some("") {
            return Err("expected ID or ID@VERSION".to_owned());
        }
        Ok(Self { id: id.to_owned(), version: version.map(str::to_owned) })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// What to deploy; the newest version where none is named.
    #[arg(value_name = "APPLICATION[@VERSION]")]
    pub(crate) application: ApplicationArgument,
    /// The client's id, its beginning (4 characters or more), its name or its device's id. Again for each
    /// further client.
    #[arg(long = "to", value_name = "CLIENT", required_unless_present = "to_all")]
    pub(crate) clients: Vec<String>,
    /// To every client that is let in. What cannot be ordered for one is told, and ordered for the others.
    #[arg(long, conflicts_with = "clients")]
    pub(crate) to_all: bool,
    /// Which device, for a client with several.
    #[arg(long, value_name = "ID", conflicts_with = "to_all")]
    pub(crate) device: Option<String>,
    /// What to call the deployment [default: the application's id].
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) values: Values,
    #[command(flatten)]
    pub(crate) order: Order,
}

/// Values for parameters.
#[derive(Debug, Default, Args)]
pub(crate) struct Values {
    /// Set a parameter; its type is the application's affair. Goes before --values.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A YAML or JSON file that maps names of parameters to values.
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
}

/// What every order can say.
#[derive(Debug, Args)]
pub(crate) struct Order {
    /// Why; kept in the history of the desired state.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Whether to wait for the device.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait until the device has carried it out.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, as in 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = timeout, requires = "wait")]
    pub(crate) timeout: Duration,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "expected a time such as 10m")?;
    let duration = Duration::try_from(span).map_err(|_| "a time cannot be negative")?;
    if duration > LONGEST_WAIT {
        return Err("the longest time is 7 days (168h)".to_owned());
    }
    Ok(duration)
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentCommand {
    /// List deployments.
    List {
        /// Only those of one client, named as in `gantry client show`.
        #[arg(long)]
        client: Option<String>,
    },
    /// Show a deployment.
    Show {
        /// The deployment's id, its beginning (4 characters or more) or its name.
        deployment: String,
    },
    /// Order another version or other values; what is not named stays.
    Update {
        /// The deployment's id, its beginning (4 characters or more) or its name.
        deployment: String,
        /// Which version of its application.
        #[arg(long)]
        version: Option<String>,
        #[command(flatten)]
        values: Values,
        #[command(flatten)]
        order: Order,
    },
    /// Withdraw a deployment: its device removes the workload.
    Remove {
        /// The deployment's id, its beginning (4 characters or more) or its name.
        deployment: String,
        #[command(flatten)]
        order: Order,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DesiredStateCommand {
    /// List the revisions of a client's desired state, newest first.
    Log {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a revision with its documents; the newest one where none is named.
    Show {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
        /// The revision's number, as `gantry desired-state log` shows it.
        #[arg(value_parser = revision())]
        revision: Option<u64>,
    },
    /// Show what differs between two revisions: deployments, versions, parameters and documents.
    Diff {
        /// The client's id, its beginning (4 characters or more), its name or its device's id.
        client: String,
        /// The older revision [default: the one before TO].
        #[arg(value_parser = revision())]
        from: Option<u64>,
        /// The newer revision [default: the newest].
        #[arg(value_parser = revision())]
        to: Option<u64>,
    },
    /// Return to the content of an older revision. It becomes a new revision; what changes is shown first.
    Rollback(Rollback),
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The client's id, its beginning (4 characters or more), its name or its device's id.
    pub(crate) client: String,
    /// The older revision, as `gantry desired-state log` shows it.
    #[arg(long = "to", value_name = "REVISION", value_parser = revision())]
    pub(crate) to: u64,
    /// Why; kept in the history of the desired state.
    #[arg(long)]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

fn revision() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn everything_that_can_be_said_is_explained() {
        fn unexplained(command: &clap::Command, silent: &mut Vec<String>) {
            let arguments = command.get_arguments().filter(|it| it.get_help().is_none());
            silent.extend(arguments.map(|it| format!("{} {}", command.get_name(), it.get_id())));
            for below in command.get_subcommands() {
                unexplained(below, silent);
            }
        }
        let mut silent = Vec::new();
        unexplained(&Arguments::command(), &mut silent);
        assert_eq!(silent, [""; 0]);
    }

    #[test]
    fn a_time_to_wait_is_refused_where_nobody_waits() {
        let read = |more: &[&str]| {
            let deploy = ["gantry", "deploy", "a", "--to", "b"];
            Arguments::try_parse_from(deploy.iter().chain(more)).map(|_| ())
        };
        assert!(read(&["--timeout", "1m"]).is_err());
        assert!(read(&["--timeout", "1m", "--wait"]).is_ok() && read(&[]).is_ok());
    }

    #[test]
    fn an_application_may_carry_a_version() {
        let read = |text: &str| text.parse::<ApplicationArgument>();
        let both = ApplicationArgument { id: "a".to_owned(), version: Some("1.0.0".to_owned()) };
        assert_eq!(read("a@1.0.0"), Ok(both));
        assert_eq!(read("a").expect("an id").version, None);
        assert!(read("a@").is_err() && read("@1").is_err());
    }

    #[test]
    fn a_timeout_has_a_unit_and_an_end() {
        assert_eq!(timeout("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("10m"), Ok(Duration::from_secs(600)));
        for bad in ["10", "-5m", "169h", "soon"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
