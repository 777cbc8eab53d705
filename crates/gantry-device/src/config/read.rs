//! Reads the sections of the configuration file, one by one. What is wrong is noted by [`Section`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use commit_signature::Signer;
use jiff::tz::TimeZone;
use toml::de::DeValue;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::section::Section;
use super::{
    CapabilitiesConfig, ComposeConfig, Config, ControlConfig, DesiredStateConfig, DeviceConfig,
    HelmConfig, LogConfig, LogFormat, ServerConfig, SourceKind, WorkloadsConfig, default_state_dir,
    hours, packages, value,
};
use crate::schedule::{Hours, Rate};

/// The whole file; nothing where what has to be there is missing, which is noted.
pub(super) fn file(mut file: Section<'_>) -> Option<Config> {
    let state_dir = file.optional("state_dir", "\"/var/lib/gantry-device\"", value::path);
    let server = server(file.section("server"));
    let device = device(file.section("device"));
    let capabilities = capabilities(file.section("capabilities"));
    let (polling, hours) = polling(&mut file);
    let desired_state = desired_state(file.section("desired_state"));
    let workloads = workloads(file.section("workloads"));
    let packages = packages::packages(&mut file);
    let runs_helm = file.has("helm");
    // A device of a cluster has no engine of its own, unless its owner says so.
    let runs_compose = file.has("compose") || !runs_helm;
    let compose = runs_compose.then(|| compose(file.section("compose")));
    let helm = runs_helm.then(|| helm(file.section("helm")));
    file.may_have(&["compose", "helm"]);
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
        workloads,
        packages,
        compose,
        helm,
        control,
        log,
    })
}

fn server(mut section: Section<'_>) -> Option<ServerConfig> {
    let url = section.required("url", "\"https://fleet.example\"", server_url);
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

fn workloads(mut section: Section<'_>) -> WorkloadsConfig {
    let at_most_a_day = |it: &DeValue<'_>| match value::pause(it)? {
        it if it > Duration::from_secs(24 * 60 * 60) => Err("1d is the most".to_owned()),
        it => Ok(it),
    };
    let inspect_every = section.optional("inspect_every", "\"60s\"", at_most_a_day);
    section.end();
    let or = WorkloadsConfig::default();
    WorkloadsConfig { inspect_every: inspect_every.unwrap_or(or.inspect_every) }
}

fn compose(mut section: Section<'_>) -> ComposeConfig {
    let or = ComposeConfig::default();
    let config = ComposeConfig {
        command: section
            .optional("command", "[\"docker\", \"compose\"]", program)
            .unwrap_or(or.command),
        engine: section.optional("engine", "[\"docker\"]", program).unwrap_or(or.engine),
        timeout: section.optional("timeout", "\"10m\"", value::pause).unwrap_or(or.timeout),
        allow: section.optional("allow", "[\"cap_add\"]", compose_keys).unwrap_or(or.allow),
        remove_volumes: section
            .optional("remove_volumes", "false", value::boolean)
            .unwrap_or(or.remove_volumes),
    };
    section.end();
    config
}

fn helm(mut section: Section<'_>) -> HelmConfig {
    let or = HelmConfig::default();
    let config = HelmConfig {
        command: section.optional("command", "[\"helm\"]", program).unwrap_or(or.command),
        kubeconfig: section.optional("kubeconfig", "\"/etc/gantry/kubeconfig\"", absolute_path),
        timeout: section.optional("timeout", "\"10m\"", value::pause).unwrap_or(or.timeout),
    };
    section.end();
    config
}

fn program(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value::texts(value)? {
        it if it.is_empty() => Err("it is empty".to_owned()),
        it => Ok(it),
    }
}

/// Of a file that a program reads which works in another folder.
fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = value::path(value)?;
    if path.is_absolute() { Ok(path) } else { Err("it has to begin with /".to_owned()) }
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
        // A word that is no level would count as a part of the program.
        let all_are_levels = text.split(',').all(|part| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            level.trim().parse::<LevelFilter>().is_ok()
        });
        match text.parse::<Targets>() {
            Ok(_) if all_are_levels => Ok(text),
            _ => Err(format!("`{text}` is no level, nor a list of them for parts")),
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

/// A URL as it is signed: the host in lower case, without the default port, and without the slash that
/// people like to add. A path stands before `/api/v1`.
// margo(D-8, SP-36)
fn server_url(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(value)?;
    let bad = || format!("`{text}` is not https:// and a host, with a port and a path if need be");
    let (scheme, rest) = text.trim_end_matches('/').split_once("://").ok_or_else(bad)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(":443").unwrap_or(&authority);
    let is_plain = |it: &str| !it.contains(['?', '#', '@', ' ']) && it.is_ascii();
    let fits = scheme.eq_ignore_ascii_case("https") && !authority.is_empty();
    if !fits || !is_plain(authority) || !is_plain(path) || path.contains("//") {
        return Err(bad());
    }
    Ok(format!("https://{authority}{path}"))
}

fn compose_keys(value: &DeValue<'_>) -> Result<BTreeSet<String>, String> {
    let is_key =
        |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_lowercase() || it == '_');
    let keys = value::texts(value)?;
    match keys.iter().find(|it| !is_key(it)) {
        Some(bad) => Err(format!("`{bad}` is no Compose key")),
        None => Ok(keys.into_iter().collect()),
    }
}

fn quantity(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(value)?;
    match margo_contract::quantity::parse(&text) {
        Some(_) => Ok(text),
        None => Err(format!("`{text}` is no amount such as 4Gi or 512Mi")),
    }
}
