//! The repository of a client, as Git fetches it: a poll is answered from memory, a fetch looks up the few
//! commits that the client names, and a pack is read piece by piece, each in a snapshot of its own, so that a
//! client that reads slowly holds nothing but its connection.

mod places;

use std::collections::BTreeMap;

use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber};
use fleet_store::{GitObject, PackCursor, PackRange};
use git_serve::fetch::{Answer, Fetch};
use git_serve::pack::{Framing, PackWriter};
use git_serve::request::Refusal;

use super::{Fleet, FleetError, Reader};

use places::Places;

/// How much of a pack is in memory at a time.
const PIECE: usize = 256 << 10;

/// Where a client's repository is.
pub(crate) struct Head {
    /// The newest commit; none of an empty repository.
    pub(crate) commit: Option<git_serve::ObjectId>,
    /// Whether the client has not been given it yet.
    pub(crate) is_new: bool,
}

/// What a fetch gets.
pub(crate) enum Fetched {
    /// The whole answer.
    Whole(Vec<u8>),
    /// An answer of unknown length.
    Pack(Box<PackStream>),
}

/// An answer with a pack, made while it is sent.
pub(crate) struct PackStream {
    fleet: Fleet,
    client: ClientId,
    cursor: PackCursor,
    /// What is made and not sent: the beginning of the answer, at first.
    made: Vec<u8>,
    /// None at the end.
    writer: Option<PackWriter>,
}

/// Why a request with Git failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the repository could not be read")]
    Fleet(#[from] FleetError),
}

impl From<fleet_store::StoreError> for GitError {
    fn from(error: fleet_store::StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// The newest commit of a client's repository.
    pub(crate) async fn git_head(&self, client: ClientId) -> Result<Head, FleetError> {
        let Some((revision, commit)) = self.newest(client).await? else {
            return Ok(Head { commit: None, is_new: false });
        };
        let given = self.given_to(client).await?;
        let is_new = given.is_none_or(|given| given.get() < revision);
        Ok(Head { commit: Some(commit), is_new })
    }

    /// What a fetch from a client's repository gets.
    pub(crate) async fn git_fetch(
        &self,
        client: ClientId,
        reader: Reader,
        fetch: &Fetch,
    ) -> Result<Fetched, GitError> {
        let newest = self.newest(client).await?;
        let mut revisions: BTreeMap<_, _> =
            newest.map(|(it, commit)| (commit, it)).into_iter().collect();
        let others = fetch.commits().into_iter().filter(|it| !revisions.contains_key(it));
        let others = others.map(|it| domain_id(&it)).collect::<Result<Vec<_>, _>>()?;
        let store = &self.inner.store;
        for (commit, revision) in store.revisions_of_commits(client, &others).await? {
            revisions.insert(git_id(&commit)?, revision.get());
        }
        let places = if fetch.deepens() {
            Places::with_gaps(store.read().await?.missing_revisions(client).await?)
        } else {
            Places::default()
        };
        revisions.values_mut().for_each(|it| *it = places.of(*it));
        let plan = fetch.plan(&revisions)?;
        let boundary = plan.boundary().map(|it| places.revision_at(it));
        let boundary = match boundary.and_then(RevisionNumber::new) {
            Some(number) => {
                let commit = store.read().await?.commit(client, number).await?;
                Some(git_id(&commit.ok_or(FleetError::Corrupt("history"))?)?)
            }
            None => None,
        };
        match plan.answer(boundary) {
            Answer::Whole(bytes) => Ok(Fetched::Whole(bytes)),
            Answer::Pack { before, content, framing } => {
                let complete = content.complete.map(|it| places.revision_at(it));
                let complete_at = complete.and_then(RevisionNumber::new);
                let (first, last) = content.added.into_inner();
                let added = places.revision_at(first)..=places.revision_at(last);
                let range = PackRange { complete_at, added };
                if reader == Reader::Client
                    && let Some(newest) = RevisionNumber::new(*range.added.end())
                {
                    self.note_given(client, newest).await?;
                }
                Ok(self.pack(client, range, framing, before).await?)
            }
        }
    }

    /// An answer that ends with a pack: one that was given or published lately comes from memory, and a
    /// small one is read at once.
    async fn pack(
        &self,
        client: ClientId,
        range: PackRange,
        framing: Framing,
        mut made: Vec<u8>,
    ) -> Result<Fetched, FleetError> {
        let store = &self.inner.store;
        if let Some(entries) = store.recent_pack(client, &range) {
            return Ok(Fetched::Whole(whole(framing, &entries, made)?));
        }
        let mut cursor = PackCursor::start(range.clone());
        let mut snapshot = store.read().await?;
        let first = entries(snapshot.pack_objects(client, &mut cursor, PIECE).await?);
        if cursor.is_at_end() {
            let answer = whole(framing, &first, made)?;
            store.keep_pack(client, range, first.into());
            return Ok(Fetched::Whole(answer));
        }
        let count = snapshot.count_pack_objects(client, &range).await?;
        let mut writer = PackWriter::begin(framing, count, &mut made)?;
        writer.entries(&first, &mut made);
        let (fleet, writer) = (self.clone(), Some(writer));
        Ok(Fetched::Pack(Box::new(PackStream { fleet, client, cursor, made, writer })))
    }

    /// The newest revision of a client's repository, with its commit.
    async fn newest(
        &self,
        client: ClientId,
    ) -> Result<Option<(u64, git_serve::ObjectId)>, FleetError> {
        let state = self.inner.store.client_state(client).await?;
        let newest = state.as_ref().and_then(|it| it.newest.as_ref());
        newest.map(|it| Ok((it.number.get(), git_id(&it.commit)?))).transpose()
    }
}

impl PackStream {
    /// The next piece of the answer, of a bounded size; nothing after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, FleetError> {
        if self.writer.is_none() {
            return Ok(None);
        }
        let mut piece = std::mem::take(&mut self.made);
        let mut snapshot = self.fleet.inner.store.read().await?;
        while piece.len() < PIECE
            && let Some(writer) = &mut self.writer
        {
            let room = PIECE - piece.len();
            let objects = snapshot.pack_objects(self.client, &mut self.cursor, room).await?;
            if objects.is_empty() {
                self.writer.take().map(|it| it.end(&mut piece)).transpose()?;
            } else {
                writer.entries(&entries(objects), &mut piece);
            }
        }
        Ok(Some(piece))
    }

    /// The last bytes of an answer that cannot go on; none where Git has no place for a reason.
    pub(crate) fn fail(&mut self, sentence: &str) -> Vec<u8> {
        let mut piece = Vec::new();
        if let Some(writer) = self.writer.take() {
            writer.fail(sentence, &mut piece);
        }
        piece
    }
}

/// An answer with a whole pack.
fn whole(framing: Framing, entries: &[Vec<u8>], mut made: Vec<u8>) -> Result<Vec<u8>, FleetError> {
    let mut writer = PackWriter::begin(framing, entries.len() as u64, &mut made)?;
    writer.entries(entries, &mut made);
    writer.end(&mut made)?;
    Ok(made)
}

fn entries(objects: Vec<GitObject>) -> Vec<Vec<u8>> {
    objects.into_iter().map(|it| it.entry).collect()
}

/// An id as Git has it.
pub(super) fn git_id(id: &ObjectId) -> Result<git_serve::ObjectId, FleetError> {
    git_serve::ObjectId::from_hex(id.as_str().as_bytes())
        .map_err(|_| FleetError::Corrupt("object id"))
}

/// An id as the fleet has it.
pub(super) fn domain_id(id: &git_serve::ObjectId) -> Result<ObjectId, FleetError> {
    id.to_string().parse().map_err(|_| FleetError::Corrupt("object id"))
}

#[cfg(test)]
mod tests;
