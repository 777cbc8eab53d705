//! Whose commits the client takes, and the last one that it took. Signers are pinned at first contact, or
//! by the owner's configuration; a further one is taken only when a commit of a pinned one introduces it.
//!
//! History may only grow. Where the fleet manager has lost the newest part of it, it says so in a commit for
//! this very client: from there the client goes on, and from no other commit. So another client's history
//! cannot be put in place of its own; and an older state is not taken, wherever it comes from (`accepted`).

use commit_signature::{Recovery, Signer, verify};
use serde::{Deserialize, Serialize};

use super::{GitError, failed};
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "trust.json";
/// More commits than one fetch brings.
const LONGEST_HISTORY: usize = 1_000_000;

/// What is trusted: the commit whose desired state is in force, and who may sign those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// Hexadecimal.
    pub(super) commit: String,
    /// As printed by [`Signer`]; empty while the fleet manager has named none.
    pub(super) signers: Vec<String>,
}

/// What a client without trust goes by.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstContact {
    /// The owner's choice; goes before what the fleet manager says.
    pub(crate) signers: Vec<Signer>,
    /// Whether unsigned commits are refused in any case.
    pub(crate) signatures_required: bool,
}

/// How far a client has followed its own history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) client: &'a str,
    /// The manifest version in force.
    pub(super) version: u64,
}

impl Trust {
    pub(super) fn load(state: &StateDir) -> Result<Option<Self>, StateError> {
        state.load(FILE)
    }

    pub(super) fn save(&self, state: &StateDir) -> Result<(), StateError> {
        state.save(FILE, self)
    }
}

/// Checks every commit from the trusted one (not included) to `head`; without a trusted one only `head`,
/// for older history is not fetched. Gives what is trusted once its desired state is taken. Without a
/// `position` a history that does not lead to the trusted commit is refused in any case.
pub(super) fn follow(
    repository: &gix::Repository,
    head: gix::ObjectId,
    trust: Option<&Trust>,
    position: Option<Position<'_>>,
    first_contact: &FirstContact,
    offered: &[Signer],
) -> Result<Trust, GitError> {
    let mut pinned: Vec<Signer> = match trust {
        Some(trust) => trust.signers.iter().filter_map(|it| it.parse().ok()).collect(),
        None => Vec::new(),
    };
    for fallback in [&first_contact.signers, offered] {
        if pinned.is_empty() {
            pinned.extend_from_slice(fallback);
        }
    }
    if pinned.is_empty() && first_contact.signatures_required {
        return Err(GitError::NoSigner);
    }
    for id in commits_since(repository, head, trust, position)?.into_iter().rev() {
        let commit = repository.find_commit(id).map_err(failed("reading a commit"))?;
        pinned = check(&commit, pinned)?;
    }
    let signers = pinned.iter().map(ToString::to_string).collect();
    Ok(Trust { commit: head.to_string(), signers })
}

/// The commits from `head` back to the trusted one, or to the one from which a history goes on whose newest
/// part was lost; the newest first. History is one line.
fn commits_since(
    repository: &gix::Repository,
    head: gix::ObjectId,
    trust: Option<&Trust>,
    position: Option<Position<'_>>,
) -> Result<Vec<gix::ObjectId>, GitError> {
    let Some(trust) = trust else { return Ok(vec![head]) };
    let trusted =
        gix::ObjectId::from_hex(trust.commit.as_bytes()).map_err(|_| GitError::Rewritten)?;
    // Without a signature anybody could say that something was lost.
    let position = position.filter(|_| !trust.signers.is_empty());
    let (mut commits, mut newest, mut oldest_above) = (Vec::new(), None, None);
    let mut id = head;
    while id != trusted {
        if commits.len() == LONGEST_HISTORY {
            break;
        }
        // One that is not there lies before what this client has ever had.
        let Ok(commit) = repository.find_commit(id) else { break };
        commits.push(id);
        if let Some(position) = position
            && let Some(version) = recovered_version(&commit, position.client)
        {
            newest.get_or_insert(commits.len());
            if version > position.version {
                oldest_above = Some(commits.len());
            }
        }
        let mut parents = commit.parent_ids();
        id = match (parents.next(), parents.next()) {
            (Some(parent), None) => parent.detach(),
            _ => break,
        };
    }
    if id != trusted {
        // Whoever signs later is introduced after the oldest one above what is in force. There is none where
        // that came over HTTP, which leaves the trusted commit as it was.
        commits.truncate(oldest_above.or(newest).ok_or(GitError::Rewritten)?);
        tracing::warn!(
            "the fleet manager has lost a part of the history; going on where it says so"
        );
    }
    Ok(commits)
}

/// At which version a commit says that the history of this client goes on with it, if it does.
fn recovered_version(commit: &gix::Commit<'_>, client: &str) -> Option<u64> {
    let recovery = Recovery::declared_by(&commit.message_raw_sloppy().to_string())?;
    (recovery.client == client).then_some(recovery.version)
}

/// Checks one commit against the pinned signers; gives those that are pinned after it. Once a newer
/// signer has taken over, those before it no longer count.
fn check(commit: &gix::Commit<'_>, mut pinned: Vec<Signer>) -> Result<Vec<Signer>, GitError> {
    if pinned.is_empty() {
        return Ok(pinned);
    }
    let id = commit.id.to_string();
    let signature = commit.signature().map_err(failed("reading a commit"))?;
    let (signature, signed) = signature.ok_or_else(|| GitError::Unsigned(id.clone()))?;
    let signature = signature.to_string();
    let signer = verify(&signature, &signed.to_bstring())
        .map_err(|error| GitError::BadSignature { commit: id.clone(), error })?;
    let place = pinned.iter().position(|it| *it == signer);
    let place = place.ok_or(GitError::Stranger { commit: id, signer })?;
    pinned.drain(..place);
    let message = commit.message_raw_sloppy().to_string();
    if let Some(introduced) = Signer::introduced_by(&message)
        && !pinned.contains(&introduced)
    {
        pinned.push(introduced);
    }
    Ok(pinned)
}

#[cfg(test)]
mod tests;
