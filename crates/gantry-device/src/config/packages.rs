//! `[packages]`, `[[registry]]` and `[[signing_key]]`: where packages of components may come from beside
//! the fleet manager, who is trusted there, and whose signatures on packages count. Secrets are in files
//! of their own, which are read when they are needed; here are only their paths.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::section::Section;
use super::value;

/// More of either kind of section than this are refused.
const MOST_SECTIONS: usize = 100;
/// The largest package unless the owner says otherwise, in bytes.
const LARGEST_PACKAGE: u64 = 64 << 20;
/// What the owner may say at most, in bytes.
const LARGEST_POSSIBLE: u64 = 4 << 30;

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackagesConfig {
    /// The largest package that is fetched, in bytes.
    pub(crate) largest: u64,
    pub(crate) registries: Vec<RegistryConfig>,
    pub(crate) signing_keys: Vec<SigningKeyConfig>,
}

impl Default for PackagesConfig {
    fn default() -> Self {
        Self { largest: LARGEST_PACKAGE, registries: Vec::new(), signing_keys: Vec::new() }
    }
}

/// How one host is spoken to: a registry, a chart repository or a file server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryConfig {
    /// In lower case, with a port unless it is the scheme's own.
    pub(crate) host: String,
    pub(crate) credentials: Option<Credentials>,
    /// A PEM file with the only roots that are trusted for this host; without it, the pinned root.
    pub(crate) ca: Option<PathBuf>,
    /// Speaks HTTP without TLS, margo(R-25).
    pub(crate) plain_http: bool,
    /// Asks this one in its place, and never the host itself.
    pub(crate) mirror: Option<Mirror>,
}

/// Who the client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Password { username: String, file: PathBuf },
    Token { file: PathBuf },
}

/// What stands in for a host, margo(R-25).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) host: String,
    /// What goes before each path: empty, or segments with a slash after each.
    pub(crate) prefix: String,
}

/// Whose signatures count for an application, in place of the key that is seen first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningKeyConfig {
    pub(crate) application: String,
    pub(crate) trusted: TrustedKeys,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrustedKeys {
    /// In upper-case hexadecimal digits; the keys are where the package's document says.
    Fingerprints(BTreeSet<String>),
    /// The keys themselves, armored.
    File(PathBuf),
}

/// Reads the three of them from the whole file.
pub(super) fn packages(file: &mut Section<'_>) -> PackagesConfig {
    let mut section = file.section("packages");
    let largest = section.optional("largest", "\"64Mi\"", size).unwrap_or(LARGEST_PACKAGE);
    section.end();
    let mut hosts = BTreeSet::new();
    let registries = file.sections("registry", MOST_SECTIONS).into_iter();
    let registries = registries.filter_map(|it| registry(it, &mut hosts)).collect();
    let mut applications = BTreeSet::new();
    let signing_keys = file.sections("signing_key", MOST_SECTIONS).into_iter();
    let signing_keys = signing_keys.filter_map(|it| signing_key(it, &mut applications)).collect();
    PackagesConfig { largest, registries, signing_keys }
}

fn registry(mut section: Section<'_>, seen: &mut BTreeSet<String>) -> Option<RegistryConfig> {
    let host = section.required("host", "\"registry.example:5000\"", host);
    let username = section.optional("username", "\"press-7\"", value::name);
    let password_file =
        section.optional("password_file", "\"/etc/gantry/registry.password\"", secret_file);
    let token_file = section.optional("token_file", "\"/etc/gantry/registry.token\"", secret_file);
    let ca = section.optional("ca", "\"/etc/gantry/registry-ca.pem\"", value::path);
    let plain_http = section.optional("plain_http", "true", value::boolean).unwrap_or_default();
    let mirror = section.optional("mirror", "\"mirror.example:5000/cache\"", mirror);
    if let Some(host) = &host
        && !seen.insert(host.clone())
    {
        section.wrong("host", format!("`{host}` has a section already"), None);
    }
    let password = "password_file = \"/etc/gantry/registry.password\"".to_owned();
    match (&username, password_file.is_some(), token_file.is_some()) {
        (_, true, true) => {
            let problem = "there is a password_file as well; one of them is enough".to_owned();
            section.wrong("token_file", problem, None);
        }
        (None, true, false) => {
            let example = Some("username = \"press-7\"".to_owned());
            section.wrong("password_file", "it needs a username".to_owned(), example);
        }
        (Some(_), false, _) => {
            section.wrong("username", "it needs a password_file".to_owned(), Some(password));
        }
        _ => {}
    }
    if plain_http && ca.is_some() {
        section.wrong("ca", "over plain HTTP there are no certificates".to_owned(), None);
    }
    let credentials = match (username, password_file, token_file) {
        (Some(username), Some(file), _) => Some(Credentials::Password { username, file }),
        (_, _, Some(file)) => Some(Credentials::Token { file }),
        _ => None,
    };
    if mirror.is_some() && (credentials.is_some() || ca.is_some() || plain_http) {
        let problem = "this host is never asked; how its mirror is spoken to is said in a section \
                       of the mirror's host";
        section.wrong("mirror", problem.to_owned(), Some("[[registry]]".to_owned()));
    }
    section.end();
    Some(RegistryConfig { host: host?, credentials, ca, plain_http, mirror })
}

fn signing_key(mut section: Section<'_>, seen: &mut BTreeSet<String>) -> Option<SigningKeyConfig> {
    let application = section.required("application", "\"com-example-app\"", value::name);
    let example = "[\"A1B2 C3D4 E5F6 A7B8 C9D0 E1F2 A3B4 C5D6 E7F8 A9B0\"]";
    let fingerprints = section.optional("fingerprints", example, fingerprints);
    let file = section.optional("file", "\"/etc/gantry/example.asc\"", value::path);
    if let Some(application) = &application
        && !seen.insert(application.clone())
    {
        section.wrong("application", format!("`{application}` has a section already"), None);
    }
    let trusted = match (fingerprints, file) {
        (Some(_), Some(_)) => {
            section.wrong(
                "file",
                "there are fingerprints as well; one of them is enough".to_owned(),
                None,
            );
            None
        }
        (Some(fingerprints), None) => Some(TrustedKeys::Fingerprints(fingerprints)),
        (None, Some(file)) => Some(TrustedKeys::File(file)),
        (None, None) => {
            if !section.is_given("fingerprints") && !section.is_given("file") {
                let problem = "it needs fingerprints or a file".to_owned();
                section.wrong("", problem, Some(format!("fingerprints = {example}")));
            }
            None
        }
    };
    section.end();
    Some(SigningKeyConfig { application: application?, trusted: trusted? })
}

fn size(value: &DeValue<'_>) -> Result<u64, String> {
    let text = value::text(value)?;
    let size = margo_contract::quantity::parse(&text)
        .ok_or_else(|| format!("`{text}` is no amount such as 64Mi or 1Gi"))?;
    let size = u64::try_from(size).ok().filter(|it| (1..=LARGEST_POSSIBLE).contains(it));
    size.ok_or_else(|| format!("`{text}` is not between 1Ki and 4Gi"))
}

/// A host as it stands in a URL, with its port if that is not 443.
fn host(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::name(value)?;
    parse_host(&text).ok_or_else(|| {
        format!("`{text}` is no host, with a port if need be, and without https:// or a path")
    })
}

fn parse_host(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let is_fit = |it: char| it.is_ascii_alphanumeric() || ".-_:[]".contains(it);
    let fits = !text.is_empty() && text.chars().all(is_fit) && !text.starts_with(':');
    let authority: ureq::http::uri::Authority = text.parse().ok().filter(|_| fits)?;
    // A port that is none is passed over by the parser.
    let has_port = text.rsplit_once(':').is_some_and(|(_, it)| !it.contains(']'));
    if has_port && authority.port_u16().is_none() {
        return None;
    }
    Some(text.strip_suffix(":443").unwrap_or(&text).to_owned())
}

fn mirror(value: &DeValue<'_>) -> Result<Mirror, String> {
    let text = value::name(value)?;
    let (host, path) = text.split_once('/').unwrap_or((&text, ""));
    let path = path.trim_matches('/');
    let is_fit = |it: char| it.is_ascii_alphanumeric() || "._-/".contains(it);
    match parse_host(host).filter(|_| path.chars().all(is_fit)) {
        Some(host) if path.is_empty() => Ok(Mirror { host, prefix: String::new() }),
        Some(host) => Ok(Mirror { host, prefix: format!("{path}/") }),
        None => Err(format!("`{text}` is no host with a path, such as mirror.example:5000/cache")),
    }
}

/// A file that holds a secret. That it is missing is no mistake: it may be put in place later.
fn secret_file(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = value::path(value)?;
    if is_open_to_others(&path) {
        let shown = path.display();
        return Err(format!(
            "others can read `{shown}`; take that from them with `chmod 600 {shown}`"
        ));
    }
    Ok(path)
}

/// Whether anybody but its owner may read or change the file, if it is there.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0)
}

fn fingerprints(value: &DeValue<'_>) -> Result<BTreeSet<String>, String> {
    let texts = value::texts(value)?;
    if texts.is_empty() {
        return Err("it is empty".to_owned());
    }
    let fingerprints = texts.into_iter().map(|text| {
        let digits: String = text.chars().filter(|it| !it.is_whitespace()).collect();
        let is_hex = digits.chars().all(|it| it.is_ascii_hexdigit());
        match digits.len() {
            40 | 64 if is_hex => Ok(digits.to_ascii_uppercase()),
            _ => Err(format!("`{text}` is no fingerprint as `gpg --fingerprint` shows it")),
        }
    });
    fingerprints.collect()
}
