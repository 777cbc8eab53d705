//! Packages from servers that do what a test tells them to.

mod charts;
mod downloads;
mod registries;
mod signed;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Map, Value};
use testkit::certificates::{ALWAYS, Authority};
use testkit::meddler::{Asked, Meddler, Part, say};

use super::*;
use crate::config::{Credentials, Mirror, RegistryConfig};
use crate::fleet_manager::scripted::Scripted;

const APPLICATION: &str = "com-example-app";

/// A client with one server that it knows as its fleet manager.
struct Stage {
    folder: tempfile::TempDir,
    authority: Authority,
    meddler: Meddler,
    link: FleetManager,
    state: StateDir,
    config: PackagesConfig,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
        let Scripted { authority, meddler, link } = Scripted::start(folder.path());
        Self { folder, authority, meddler, link, state, config: PackagesConfig::default() }
    }

    /// One more server that the pinned root vouches for.
    fn another(&self) -> Meddler {
        Meddler::start(0, self.authority.server("localhost", ALWAYS), None)
    }

    /// A package of the fleet manager's.
    fn fetch(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        let location = format!("{}/packages/{digest}", self.link.origin());
        self.fetch_from(ProfileType::Compose, Source::Package { location, key_location: None })
    }

    fn fetch_from(&self, kind: ProfileType, source: Source) -> Result<PathBuf, PackageError> {
        let packages = Packages {
            link: &self.link,
            state: &self.state,
            config: &self.config,
            keyid: Some("me"),
        };
        let component = Component {
            name: "gauge".to_owned(),
            source,
            wait: true,
            timeout: None,
            extensions: Map::new(),
        };
        packages.fetch(&Wanted { application: APPLICATION, kind, component: &component })
    }

    /// How many files lie where packages are kept.
    fn files(&self) -> usize {
        let folder = self.folder.path().join("state").join(FOLDER);
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }

    /// Rules for a host: credentials of `press` with this password.
    fn with_password(&mut self, host: &str, password: &str) {
        let file = self.folder.path().join(format!("password-{}", self.config.registries.len()));
        std::fs::write(&file, password).expect("writable");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("it is ours");
        let credentials = Credentials::Password { username: "press".to_owned(), file };
        self.config
            .registries
            .push(RegistryConfig { credentials: Some(credentials), ..rule(host) });
    }
}

fn rule(host: &str) -> RegistryConfig {
    RegistryConfig {
        host: host.to_owned(),
        credentials: None,
        ca: None,
        plain_http: false,
        mirror: None,
    }
}

fn host(meddler: &Meddler) -> String {
    format!("localhost:{}", meddler.port())
}

/// A file as a server gives it that knows ranges.
fn file(asked: &Asked, bytes: &[u8], etag: &str) -> Part {
    let from = asked
        .header("range")
        .and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let is_same = asked.header("if-range").is_none_or(|it| it == etag);
    match from {
        Some(from) if is_same && from >= bytes.len() => {
            let range = format!("bytes */{}", bytes.len());
            Part::Say(say(416, &[("content-range", &range)], b""))
        }
        Some(from) if is_same => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Part::Say(say(206, &[("content-range", &range), ("etag", etag)], &bytes[from..]))
        }
        _ => Part::Say(say(200, &[("etag", etag)], bytes)),
    }
}

/// The first half of it, and the connection is gone.
fn half(bytes: &[u8], etag: &str) -> Part {
    let whole = say(200, &[("etag", etag)], bytes);
    Part::Say(whole[..whole.len() - bytes.len() / 2].to_vec())
}

fn json(status: u16, headers: &[(&str, &str)], value: &Value) -> Part {
    Part::Say(say(status, headers, value.to_string().as_bytes()))
}

fn chain(error: &PackageError) -> String {
    crate::chain(error)
}
