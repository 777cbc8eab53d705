//! The desired state from the client's Git repository, with gitoxide and no Git on the machine. The
//! first fetch is shallow, later ones bring what is new. History may only grow.

mod transport;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::{fs, io};

use gix::bstr::ByteSlice as _;
use gix::remote::{Direction, fetch::Shallow};
use margo_contract::digest::Digest;
use serde::Deserialize;

use crate::accepted::{Accepted, Fetched};
use crate::fleet_manager::{FleetManager, LinkError};
use crate::onboarding::Onboarded;

const FETCHED: &str = "refs/heads/fetched";
/// A token is renewed when it has less than this left.
const TOKEN_MARGIN_MS: i64 = 5 * 60 * 1000;
/// No file of a desired state is larger, in bytes.
const LARGEST_FILE: usize = 16 << 20;

/// The client's copy of its repository.
#[derive(Debug)]
pub(crate) struct GitSource {
    folder: PathBuf,
    access: Option<RepositoryAccess>,
}

/// Where the repository is and what opens it: the answer of our extension of the device API.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepositoryAccess {
    pub(crate) url: String,
    pub(crate) branch: String,
    pub(crate) username: String,
    pub(crate) token: String,
    pub(crate) expires_at: jiff::Timestamp,
}

/// The token stays out of logs.
impl std::fmt::Debug for RepositoryAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why nothing was fetched with Git.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("the fleet manager does not say where the repository is")]
    Link(#[from] LinkError),
    #[error("the repository at `{0}` is not one of the fleet manager")]
    OtherOrigin(String),
    #[error("the local copy of the repository cannot be used")]
    Local(#[source] io::Error),
    #[error("{what}: {error}")]
    Git { what: &'static str, error: String },
    #[error("the history of the repository was rewritten; it may only grow")]
    Rewritten,
    #[error("the repository holds `{0}`, which a desired state does not have")]
    Unexpected(String),
    #[error("the repository has no manifest.json")]
    NoManifest,
}

fn failed<E: ToString>(what: &'static str) -> impl FnOnce(E) -> GitError {
    move |error| GitError::Git { what, error: error.to_string() }
}

impl GitSource {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, access: None }
    }

    /// Fetches the newest desired state; nothing when the one in force is the newest.
    pub(crate) fn fetch(
        &mut self,
        link: &FleetManager,
        client: &Onboarded,
        in_force: Option<&Accepted>,
        now_ms: i64,
    ) -> Result<Option<Fetched>, GitError> {
        let access = match &self.access {
            Some(access) if access.expires_at.as_millisecond() - now_ms > TOKEN_MARGIN_MS => {
                access.clone()
            }
            _ => ask_for_access(link, client)?,
        };
        // Kept only when it has worked: a token that the server no longer takes is asked for anew.
        self.access = None;
        let fetched = self.fetch_with(link, &access, in_force);
        match &fetched {
            Ok(_) => self.access = Some(access),
            // What is on disk may be the cause; the next poll begins anew.
            Err(GitError::Git { .. } | GitError::Local(_)) => {
                let _ = fs::remove_dir_all(&self.folder);
            }
            Err(_) => {}
        }
        fetched
    }

    fn fetch_with(
        &self,
        link: &FleetManager,
        access: &RepositoryAccess,
        in_force: Option<&Accepted>,
    ) -> Result<Option<Fetched>, GitError> {
        let repository = open(&self.folder)?;
        receive(&repository, link, access)?;
        let mut reference =
            repository.find_reference(FETCHED).map_err(failed("finding what was fetched"))?;
        let commit = reference.peel_to_commit().map_err(failed("reading the commit"))?;
        let tree = commit.tree().map_err(failed("reading the tree"))?;
        let fetched = read(&repository, &tree)?;
        let is_new = in_force.is_none_or(|it| it.manifest_digest != Digest::of(&fetched.manifest));
        Ok(is_new.then_some(fetched))
    }
}

/// Asks where the repository is, and for a fresh token.
pub(crate) fn ask_for_access(
    link: &FleetManager,
    client: &Onboarded,
) -> Result<RepositoryAccess, GitError> {
    let answer = link.send("GET", &client.path("/repository"), &client.client_id, &[], None)?;
    let access: RepositoryAccess = serde_json::from_slice(&answer.body)
        .map_err(|error| LinkError::Nonsense(format!("repository: {error}")))?;
    // The token and the pinned root are for the fleet manager alone.
    let below = access.url.strip_prefix(link.origin()).filter(|it| it.starts_with('/'));
    if below.is_none() || access.branch.is_empty() || access.branch.contains([':', '*', '+', ' ']) {
        return Err(GitError::OtherOrigin(access.url));
    }
    Ok(access)
}

fn open(folder: &Path) -> Result<gix::Repository, GitError> {
    if !folder.join("HEAD").is_file() {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(GitError::Local)?;
        gix::ThreadSafeRepository::init_opts(
            folder,
            gix::create::Kind::Bare,
            gix::create::Options::default(),
            gix::open::Options::isolated(),
        )
        .map_err(failed("making the local copy"))?;
    }
    let options = gix::open::Options::isolated()
        .config_overrides(["user.name=gantry-device", "user.email=gantry-device@gantry.invalid"]);
    gix::open_opts(folder, options).map_err(failed("opening the local copy"))
}

fn receive(
    repository: &gix::Repository,
    link: &FleetManager,
    access: &RepositoryAccess,
) -> Result<(), GitError> {
    let is_first = repository
        .try_find_reference(FETCHED)
        .map_err(failed("looking for what was fetched"))?
        .is_none();
    let refspec = format!("refs/heads/{}:{FETCHED}", access.branch);
    let url: gix::Url =
        gix::url::parse(access.url.as_bytes().as_bstr()).map_err(failed("reading the URL"))?;
    let remote = repository
        .remote_at_without_url_rewrite(url.clone())
        .map_err(failed("naming the repository"))?
        .with_fetch_tags(gix::remote::fetch::Tags::None)
        .with_refspecs([refspec.as_str()], Direction::Fetch)
        .map_err(failed("naming the branch"))?;
    let http = transport::Http::new(link.agent().clone(), &access.username, &access.token);
    let transport = gix_transport::client::blocking_io::http::Transport::new_http(
        http,
        url,
        gix_transport::Protocol::V2,
        false,
    );
    let shallow = if is_first {
        let one = std::num::NonZeroU32::MIN;
        Shallow::DepthAtRemote(one)
    } else {
        Shallow::NoChange
    };
    let outcome = remote
        .to_connection_with_transport(transport)
        .with_credentials(|_| Ok(None))
        .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())
        .map_err(failed("asking what there is"))?
        .with_shallow(shallow)
        .receive(gix::progress::Discard, &AtomicBool::new(false))
        .map_err(failed("fetching"))?;

    let offered = outcome.ref_map.mappings.first().and_then(|it| it.remote.as_id());
    let offered = offered.ok_or(GitError::NoManifest)?.to_owned();
    let mut reference =
        repository.find_reference(FETCHED).map_err(failed("finding what was fetched"))?;
    let taken = reference.peel_to_id().map_err(failed("finding what was fetched"))?.detach();
    // Without `+` in the refspec only a fast-forward moves the reference.
    if taken == offered { Ok(()) } else { Err(GitError::Rewritten) }
}

/// The files of a desired state; anything else refuses the whole.
fn read(repository: &gix::Repository, tree: &gix::Tree<'_>) -> Result<Fetched, GitError> {
    let (mut manifest, mut documents) = (None, BTreeMap::new());
    for entry in tree.iter() {
        let entry = entry.map_err(failed("reading the tree"))?;
        let name = entry.filename().to_str_lossy().into_owned();
        match (name.as_str(), entry.mode().kind()) {
            ("manifest.json", gix::object::tree::EntryKind::Blob) => {
                manifest = Some(file(repository, entry.oid(), &name)?);
            }
            ("deployments", gix::object::tree::EntryKind::Tree) => {
                let folder =
                    repository.find_tree(entry.oid()).map_err(failed("reading the tree"))?;
                for entry in folder.iter() {
                    let entry = entry.map_err(failed("reading the tree"))?;
                    let name = entry.filename().to_str_lossy().into_owned();
                    let id =
                        name.strip_suffix(".yaml").and_then(|it| uuid::Uuid::try_parse(it).ok());
                    if id.is_none() || entry.mode().kind() != gix::object::tree::EntryKind::Blob {
                        return Err(GitError::Unexpected(format!("deployments/{name}")));
                    }
                    let bytes = file(repository, entry.oid(), &name)?;
                    documents.insert(Digest::of(&bytes), bytes);
                }
            }
            _ => return Err(GitError::Unexpected(name)),
        }
    }
    Ok(Fetched { manifest: manifest.ok_or(GitError::NoManifest)?, documents })
}

fn file(repository: &gix::Repository, id: &gix::oid, name: &str) -> Result<Vec<u8>, GitError> {
    let header = repository.find_header(id).map_err(failed("reading a file"))?;
    if header.size() > LARGEST_FILE as u64 {
        return Err(GitError::Unexpected(format!("{name}, which is too large")));
    }
    let mut blob = repository.find_blob(id).map_err(failed("reading a file"))?;
    Ok(blob.take_data())
}
