//! What a configuration file may say, and how mistakes in it are told.

use super::*;
use crate::schedule::Purpose;

const EXAMPLE: &str = include_str!("../../gantry-device.example.toml");

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Config::parse(text).expect_err("there are mistakes");
    mistakes.iter().map(ToString::to_string).collect()
}

/// The example with each line that shows a default or an example taken up: what looks like TOML.
fn all_of_the_example() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || rest.contains(" = ") => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

// margo(PO-5)
#[test]
fn the_example_shows_the_defaults() {
    let example = Config::parse(EXAMPLE).expect("the example is valid");
    assert_eq!(example.state_dir, default_state_dir());
    assert_eq!(example.polling, Rate::default());
    assert!(example.hours.periods.is_empty() && example.hours.downtimes.is_empty());
    assert_eq!(example.desired_state, DesiredStateConfig::default());
    assert_eq!(example.workloads, WorkloadsConfig::default());
    assert_eq!(example.packages, PackagesConfig::default());
    assert_eq!(example.compose, Some(ComposeConfig::default()));
    assert_eq!(example.helm, None);
    assert_eq!(example.control, ControlConfig::default());
    assert_eq!(example.log, LogConfig::default());
}

#[test]
fn what_is_commented_out_in_the_example_is_valid_too() {
    let text = all_of_the_example();
    let text = text.lines().filter(|it| !it.contains("signers =")).collect::<Vec<_>>().join("\n");
    let all = Config::parse(&text).unwrap_or_else(|it| panic!("{it:?}\n{text}"));
    assert_eq!(all.hours.zone.iana_name(), Some("Europe/Berlin"));
    assert!(!all.hours.periods.is_empty() && all.hours.downtimes.len() >= 2);
    assert_eq!(all.device.labels["example.com/hall"], "north");
    assert_eq!(all.capabilities.cores, Some(2.0));
    assert_eq!((all.packages.registries.len(), all.packages.signing_keys.len()), (4, 2));
    let kubeconfig = Some(PathBuf::from("/etc/gantry/kubeconfig"));
    assert_eq!(all.helm, Some(HelmConfig { kubeconfig, ..HelmConfig::default() }));
}

#[test]
fn charts_are_run_where_the_owner_says_so_and_compose_beside_them_only_if_it_is_named() {
    let (with_compose, without) = EXAMPLE.split_once("[compose]").expect("it is there");
    let rest = without.split_once("[control]").expect("it is there").1;
    let bare = format!("{with_compose}[control]{rest}");
    let kinds = |text: &str| {
        let config = Config::parse(text).expect("valid");
        (config.compose.is_some(), config.helm.is_some())
    };
    assert_eq!(kinds(&bare), (true, false));
    assert_eq!(kinds(&format!("{bare}\n[helm]\n")), (false, true));
    let both = format!("{bare}\n[helm]\n[compose]\n");
    assert_eq!(kinds(&both), (true, true));
    let timeouts = format!("{bare}\n[helm]\ntimeout = \"20m\"\n[compose]\ntimeout = \"5m\"\n");
    let config = Config::parse(&timeouts).expect("valid");
    assert_eq!(config.timeout_of(ProfileType::Helm), Duration::from_secs(20 * 60));
    assert_eq!(config.timeout_of(ProfileType::Compose), Duration::from_secs(5 * 60));
    assert_eq!(config.longest_timeout(), Duration::from_secs(20 * 60));
}

#[test]
fn every_mistake_is_told_with_its_line_its_field_and_what_is_right() {
    let text = "state_dir = 7\n[server]\nurl = \"http://fleet.example\"\n[poling]\n[device]\n\
                id = \"press-7\"\nvendor = \"\"\nmodel = \"EM-100\"\n[polling]\n\
                interval = \"soon\"\njitter_percent = 101\n[[polling.period]]\n\
                days = [\"mon\", \"freitag\"]\nfrom = \"24:00\"\nuntil = \"05:00\"\n\
                [[downtime]]\nstart = \"2026-12-24T18:00\"\nfrom = \"18:00\"\n\
                [log]\nlevel = \"info,gantry_device=loud\"\n[desired_state]\nsource = \"http\"\n\
                require_signatures = true\nsigners = [\"ssh-rsa x\"]\n[control]\ngroup = \"operators\"\n\
                [workloads]\ninspect_every = \"2d\"\n[helm]\ncommand = []\nkubeconfig = \"kubeconfig\"\n\
                timeout = \"0s\"\nnamespace = \"x\"\n";
    let told = mistakes(text);
    for expected in [
        "line 1: state_dir: it has to be a text in quotes; right would be: state_dir = \"/var/lib/gantry-device\"",
        "line 2: server.ca: it is missing; right would be: ca = \"/etc/gantry/ca.pem\"",
        "line 3: server.url: `http://fleet.example` is not https://",
        "line 4: poling: there is no such field; right would be: polling",
        "line 5: device.serial_number: it is missing",
        "line 7: device.vendor: it is empty",
        "line 8: device.model: there is no such field; there are id, vendor, model_number",
        "line 10: polling.interval: `soon` is not a duration",
        "line 11: polling.jitter_percent: it has to be a whole number from 0 to 100",
        "line 13: polling.period.days: `freitag` is no day of the week",
        "line 14: polling.period.from: `24:00` is no time of the day",
        "line 15: polling.period.until: there is no such field; there are days, dates, from, to",
        "line 16: downtime.end: it is missing",
        "line 18: downtime.from: a downtime has start and end, or it comes again",
        "line 20: log.level: `info,gantry_device=loud` is no level",
        "line 23: desired_state.require_signatures: over HTTP there are no signatures",
        "line 24: desired_state.signers: `ssh-rsa x` is no key",
        "line 26: control.group: its members cannot reach the socket",
        "line 30: helm.command: it is empty; right would be: command = [\"helm\"]",
        "line 31: helm.kubeconfig: it has to begin with /",
        "line 32: helm.timeout: 1s is the least",
        "line 33: helm.namespace: there is no such field; there are command, kubeconfig, timeout",
        "line 28: workloads.inspect_every: 1d is the most; right would be: inspect_every = \"60s\"",
    ] {
        assert!(told.iter().any(|it| it.starts_with(expected)), "{expected}\n{told:#?}");
    }
    assert!(told.is_sorted_by_key(|it| {
        it.trim_start_matches("line ").split(':').next().and_then(|it| it.parse::<usize>().ok())
    }));
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let told = mistakes("[server]\nurl = \"https://fleet.example\nca = 5 5\n");
    assert!(told.iter().any(|it| it.starts_with("line 2: ")), "{told:?}");
}

fn with(more: &str) -> String {
    format!("{EXAMPLE}\n{more}")
}

#[test]
fn hours_that_never_let_the_client_look_are_a_mistake() {
    let nights = "[[polling.period]]\nfrom = \"22:00\"\nto = \"05:00\"\n";
    let night_shift = "[[downtime]]\nfrom = \"21:00\"\nto = \"06:00\"\n";
    assert!(Config::parse(&with(nights)).is_ok());
    let told = mistakes(&with(&format!("{nights}{night_shift}")));
    assert!(told[0].contains("polling: the downtimes leave no moment"), "{told:?}");
    let always = mistakes(&with("[[downtime]]\n"));
    assert!(always[0].contains("leave no moment"), "{always:?}");
    // Once it is over there are moments.
    let once = "[[downtime]]\nstart = \"2000-01-01T00:00\"\nend = \"2100-01-01T00:00\"\n";
    assert!(Config::parse(&with(once)).is_ok());
}

// margo(PO-5)
#[test]
fn a_downtime_has_a_time_zone_of_its_own_if_it_names_one_and_offsets_are_kept() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    let text = with(
        "[[downtime]]\nreason = \"shift\"\ntime_zone = \"Asia/Kathmandu\"\nfrom = \"08:00\"\n\
         to = \"09:00\"\n[[downtime]]\nstart = \"2026-12-24T18:00+02:00\"\n\
         end = 2026-12-24T19:00:00+02:00\n",
    );
    let hours = Config::parse(&text).expect("valid").hours;
    let closed = |text: &str| hours.closed_at(at(text), Purpose::Talk).map(|(_, until)| until);
    assert_eq!(closed("2026-01-01T02:15:00Z"), Some(at("2026-01-01T03:15:00Z")));
    assert_eq!(closed("2026-01-01T03:15:00Z"), None);
    assert_eq!(closed("2026-12-24T16:59:59Z"), Some(at("2026-12-24T17:00:00Z")));
}

// margo(PO-5)
#[test]
fn days_may_go_over_the_end_of_the_week() {
    let text = with("[[polling.period]]\ndays = [\"fri-mon\", \"Wed\"]\n");
    let days = &Config::parse(&text).expect("valid").hours.periods[0].days;
    use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday, Wednesday};
    assert_eq!(*days, [Friday, Saturday, Sunday, Monday, Wednesday]);
}

#[test]
fn where_packages_come_from_is_said_host_by_host() {
    let text = with(
        "[[registry]]\nhost = \"Registry.example:443\"\nusername = \"press\"\npassword_file = \"/no/file\"\n\
         ca = \"/etc/ca.pem\"\n[[registry]]\nhost = \"[2001:db8::1]:5000\"\nplain_http = true\n\
         [[registry]]\nhost = \"docker.io\"\nmirror = \"mirror.example:5000/cache/docker/\"\n\
         [[signing_key]]\napplication = \"com-example\"\nfingerprints = [\"0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567\"]\n",
    );
    let packages = Config::parse(&text).expect("valid").packages;
    let [registry, laptop, docker] = &packages.registries[..] else { panic!("{packages:?}") };
    let password = Credentials::Password { username: "press".to_owned(), file: "/no/file".into() };
    assert_eq!(
        (registry.host.as_str(), &registry.credentials),
        ("registry.example", &Some(password))
    );
    assert!(laptop.plain_http && laptop.host == "[2001:db8::1]:5000");
    let mirror = docker.mirror.as_ref().expect("it has one");
    assert_eq!(
        (mirror.host.as_str(), mirror.prefix.as_str()),
        ("mirror.example:5000", "cache/docker/")
    );
    let TrustedKeys::Fingerprints(fingerprints) = &packages.signing_keys[0].trusted else {
        panic!("{packages:?}")
    };
    assert!(fingerprints.contains("0123456789ABCDEF0123456789ABCDEF01234567"), "{fingerprints:?}");
}

#[test]
fn mistakes_about_packages_are_told_with_their_line_their_field_and_what_is_right() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let open = folder.path().join("open");
    std::fs::write(&open, "secret").expect("writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&open, mode(0o640)).expect("it is ours");
    let text = format!(
        "[packages]\nlargest = \"5Gi\"\n[[registry]]\nhost = \"https://registry.example\"\n\
         username = \"press\"\n[[registry]]\nhost = \"a.example:port\"\npassword_file = \"{}\"\n\
         [[registry]]\nhost = \"b.example\"\nplain_http = \"yes\"\ntoken_file = \"/t\"\n\
         password_file = \"/p\"\nusername = \"press\"\n[[registry]]\nhost = \"b.example\"\n\
         plain_http = true\nca = \"/ca\"\nmirror = \"http://x\"\n[[registry]]\nhost = \"c.example\"\n\
         mirror = \"d.example\"\nca = \"/ca\"\n[[registry]]\nhost = \"e.example\"\npassword_file = \"/p\"\n\
         password = \"x\"\n[[signing_key]]\napplication = \"a\"\n[[signing_key]]\napplication = \"a\"\n\
         fingerprints = [\"0123\"]\n[[signing_key]]\nfingerprints = [\"{}\"]\nfile = \"/k\"\n",
        open.display(),
        "A".repeat(40)
    );
    let told = mistakes(&text);
    for expected in [
        "line 2: packages.largest: `5Gi` is not between 1Ki and 4Gi; right would be: largest = \"64Mi\"",
        "line 4: registry.host: `https://registry.example` is no host",
        "line 5: registry.username: it needs a password_file; right would be: password_file = ",
        "line 7: registry.host: `a.example:port` is no host",
        "line 8: registry.password_file: others can read",
        "line 11: registry.plain_http: it has to be true or false; right would be: plain_http = true",
        "line 12: registry.token_file: there is a password_file as well",
        "line 16: registry.host: `b.example` has a section already",
        "line 18: registry.ca: over plain HTTP there are no certificates",
        "line 19: registry.mirror: `http://x` is no host with a path",
        "line 22: registry.mirror: this host is never asked",
        "line 26: registry.password_file: it needs a username; right would be: username = \"press-7\"",
        "line 27: registry.password: there is no such field; there are host, username, password_file",
        "line 28: signing_key: it needs fingerprints or a file; right would be: fingerprints = ",
        "line 31: signing_key.application: `a` has a section already",
        "line 32: signing_key.fingerprints: `0123` is no fingerprint",
        "line 33: signing_key.application: it is missing",
        "line 35: signing_key.file: there are fingerprints as well",
    ] {
        assert!(told.iter().any(|it| it.starts_with(expected)), "{expected}\n{told:#?}");
    }
    assert!(!told.iter().any(|it| it.contains("secret")), "{told:#?}");
}

// margo(D-8, SP-36): both ends have to build the same `@target-uri`.
#[test]
fn the_url_of_the_server_has_one_spelling() {
    for url in ["https://Fleet.Example/", "https://fleet.example:443", "https://fleet.example:443/"]
    {
        let text = EXAMPLE.replacen("https://fleet.example", url, 1);
        assert_ne!(text, EXAMPLE);
        let server = Config::parse(&text).expect("valid").server;
        assert_eq!(server.url, "https://fleet.example");
    }
    let text = EXAMPLE.replacen("https://fleet.example", "https://Fleet.Example:443/Margo/", 1);
    let server = Config::parse(&text).expect("valid").server;
    assert_eq!(server.url, "https://fleet.example/Margo");
    for bad in
        ["https://", "https:///margo", "https://fleet.example/?a", "https://me@fleet.example"]
    {
        let text = EXAMPLE.replacen("https://fleet.example", bad, 1);
        assert!(Config::parse(&text).is_err(), "{bad}");
    }
}
