//! The desired state from the client's Git repository, with gitoxide and no Git on the machine. The
//! first fetch is shallow, later ones bring what is new. History may only grow, unless the fleet manager says
//! that it has lost a part of it, and every commit has to be signed by somebody who is trusted.

mod compact;
mod files;
mod glance;
mod transport;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::{fs, io};

use commit_signature::{SignatureError, Signer};
use gix::bstr::ByteSlice as _;
use gix::remote::{Direction, fetch::Shallow};
use serde::Deserialize;

use crate::accepted::Fetched;
use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::onboarding::Onboarded;
use crate::state_dir::{StateDir, StateError};

use self::trust::Position;
pub(crate) use self::trust::{FirstContact, Trust};

const FETCHED: &str = "refs/heads/fetched";
/// A token is renewed when it has less than this left.
const TOKEN_MARGIN_MS: i64 = 5 * 60 * 1000;
/// When fetching fails this often in a row, the local copy may be the cause.
const MOST_FAILURES: u32 = 3;

/// The client's copy of its repository, and what of it is trusted.
#[derive(Debug)]
pub(crate) struct GitSource {
    folder: PathBuf,
    trust: Option<Trust>,
    first_contact: FirstContact,
    access: Option<RepositoryAccess>,
    failures: u32,
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
    /// Who signs the commits; fleet managers of another make may leave it out.
    #[serde(default)]
    pub(crate) signers: Vec<String>,
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
    #[error("the repository cannot be fetched")]
    Fetch(#[source] LinkError),
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
    #[error("the commit {0} is not signed")]
    Unsigned(String),
    #[error("the signature of the commit {commit} does not hold: {error}")]
    BadSignature { commit: String, error: SignatureError },
    #[error("the commit {commit} is signed by {signer}, whom nobody who is trusted has introduced")]
    Stranger { commit: String, signer: Signer },
    #[error("signatures are required, and nobody is known who may sign; set desired_state.signers")]
    NoSigner,
}

impl GitError {
    /// Whether what was offered is refused, rather than that it could not be had.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::OtherOrigin(_)
            | Self::Rewritten
            | Self::Unexpected(_)
            | Self::NoManifest
            | Self::Unsigned(_)
            | Self::BadSignature { .. }
            | Self::Stranger { .. }
            | Self::NoSigner => true,
            Self::Link(_) | Self::Fetch(_) | Self::Local(_) | Self::Git { .. } => false,
        }
    }
}

fn failed<E: ToString>(what: &'static str) -> impl FnOnce(E) -> GitError {
    move |error| GitError::Git { what, error: error.to_string() }
}

impl GitSource {
    pub(crate) fn new(state: &StateDir, first_contact: FirstContact) -> Result<Self, StateError> {
        let (folder, trust) = (state.join("repository.git"), Trust::load(state)?);
        Ok(Self { folder, trust, first_contact, access: None, failures: 0 })
    }

    /// Fetches and verifies the newest desired state; nothing when the trusted one is the newest. Without
    /// a manifest version in force it is brought in any case.
    pub(crate) fn fetch(
        &mut self,
        link: &FleetManager,
        client: &Onboarded,
        in_force: Option<u64>,
        now_ms: i64,
    ) -> Result<Option<Fetched>, GitError> {
        // The token expires by the fleet manager's clock.
        let now_ms = link.server_time(now_ms);
        let access = match &self.access {
            Some(access) if access.expires_at.as_millisecond() - now_ms > TOKEN_MARGIN_MS => {
                access.clone()
            }
            _ => ask_for_access(link, client)?,
        };
        // Kept only when it has worked: a token that the server no longer takes is asked for anew.
        self.access = None;
        let position =
            in_force.map(|version| Position { client: client.client_id.as_str(), version });
        let fetched = self.fetch_with(link, &access, position);
        match &fetched {
            Ok(_) => (self.access, self.failures) = (Some(access), 0),
            // What fails because nothing is to be said says nothing about the local copy.
            Err(GitError::Git { .. } | GitError::Local(_)) if link.is_quiet().is_none() => {
                self.failures += 1;
                if self.failures >= MOST_FAILURES {
                    let _ = fs::remove_dir_all(&self.folder);
                    self.failures = 0;
                }
            }
            Err(error) if error.is_refusal() => compact::forget_if_grown(&self.folder),
            Err(_) => {}
        }
        fetched
    }

    fn fetch_with(
        &self,
        link: &FleetManager,
        access: &RepositoryAccess,
        position: Option<Position<'_>>,
    ) -> Result<Option<Fetched>, GitError> {
        let http = transport::Http::new(link.caller().clone(), &access.username, &access.token);
        let trusted = self.trust.as_ref().filter(|_| position.is_some());
        let trusted = trusted.map(|it| it.commit.as_str());
        if let Some(trusted) = trusted
            && glance::is_newest(&http, access, trusted).map_err(GitError::Fetch)?
        {
            return Ok(None);
        }
        let repository = open(&self.folder)?;
        // Where the local copy was lost, the way from the trusted commit has to be seen.
        let head = receive(&repository, http.clone(), access, self.trust.is_none());
        let head = head.map_err(|error| http.failure().map_or(error, GitError::Fetch))?;
        if trusted == Some(head.to_string().as_str()) {
            return Ok(None);
        }
        let offered: Vec<Signer> = access.signers.iter().filter_map(|it| it.parse().ok()).collect();
        let (trust, first_contact) = (self.trust.as_ref(), &self.first_contact);
        let trust = trust::follow(&repository, head, trust, position, first_contact, &offered)?;
        let commit = repository.find_commit(head).map_err(failed("reading the commit"))?;
        let tree = commit.tree().map_err(failed("reading the tree"))?;
        let (manifest, documents) = files::read(&repository, &tree)?;
        Ok(Some(Fetched { manifest, documents, trust: Some(trust) }))
    }

    /// Trusts what was fetched from now on: its desired state was taken.
    pub(crate) fn keep(&mut self, trust: Trust, state: &StateDir) -> Result<(), StateError> {
        trust.save(state)?;
        if let Ok(commit) = gix::ObjectId::from_hex(trust.commit.as_bytes())
            && let Err(error) = compact::compact(&self.folder, commit)
        {
            tracing::warn!(error = crate::chain(&error), "the local copy stays as large as it is");
        }
        self.trust = Some(trust);
        Ok(())
    }
}

/// Asks where the repository is, and for a fresh token.
pub(crate) fn ask_for_access(
    link: &FleetManager,
    client: &Onboarded,
) -> Result<RepositoryAccess, GitError> {
    let answer =
        link.send(Ask::Repository, &client.path("/repository"), &client.client_id, &[], None)?;
    let access: RepositoryAccess = serde_json::from_slice(&answer.body)
        .map_err(|error| LinkError::Nonsense(format!("repository: {error}")))?;
    // The token and the pinned root are for the fleet manager alone.
    let below = access.url.strip_prefix(link.origin()).filter(|it| it.starts_with('/'));
    if below.is_none() || access.branch.is_empty() || access.branch.contains([':', '*', '+', ' ']) {
        return Err(GitError::OtherOrigin(access.url));
    }
    Ok(access)
}

/// Opens the local copy, or makes an empty one. Nobody else works on it, so a lock in it is left from an
/// interruption.
fn open(folder: &Path) -> Result<gix::Repository, GitError> {
    if !folder.join("HEAD").is_file() {
        return make(folder);
    }
    for lock in ["shallow.lock", "refs/heads/fetched.lock", "packed-refs.lock", "config.lock"] {
        let _ = fs::remove_file(folder.join(lock));
    }
    compact::forget_unfinished_packs(folder);
    gix::open_opts(folder, options()).map_err(failed("opening the local copy"))
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides([
        "user.name=gantry-device",
        "user.email=gantry-device@gantry.invalid",
        // A small pack may claim that a huge object is in it.
        "gitoxide.objects.allocLimit=32m",
    ])
}

fn make(folder: &Path) -> Result<gix::Repository, GitError> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(GitError::Local)?;
    gix::ThreadSafeRepository::init_opts(
        folder,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        options(),
    )
    .map_err(failed("making the local copy"))?;
    open(folder)
}

/// Brings what is new and gives the newest commit.
fn receive(
    repository: &gix::Repository,
    http: transport::Http,
    access: &RepositoryAccess,
    only_newest: bool,
) -> Result<gix::ObjectId, GitError> {
    // Taken wherever it points to: what follows on what is checked against the trusted commit.
    let refspec = format!("+refs/heads/{}:{FETCHED}", access.branch);
    let url: gix::Url =
        gix::url::parse(access.url.as_bytes().as_bstr()).map_err(failed("reading the URL"))?;
    let remote = repository
        .remote_at_without_url_rewrite(url.clone())
        .map_err(failed("naming the repository"))?
        .with_fetch_tags(gix::remote::fetch::Tags::None)
        .with_refspecs([refspec.as_str()], Direction::Fetch)
        .map_err(failed("naming the branch"))?;
    let transport = gix_transport::client::blocking_io::http::Transport::new_http(
        http,
        url,
        gix_transport::Protocol::V2,
        false,
    );
    let shallow = if only_newest {
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
    offered.map(ToOwned::to_owned).ok_or(GitError::NoManifest)
}

#[cfg(test)]
mod tests;
