//! The repository of a client, as Git fetches it: a poll is one look-up, a fetch looks up the few commits
//! that the client names, and a pack is read piece by piece, each in a snapshot of its own, so that a
//! client that reads slowly holds nothing but its connection.

use std::collections::BTreeMap;

use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber};
use fleet_store::{PackCursor, PackRange};
use git_serve::fetch::{Answer, Fetch};
use git_serve::pack::PackWriter;
use git_serve::references::ListReferences;
use git_serve::request::Refusal;

use super::{Fleet, FleetError, Reader};

/// How much of a pack is in memory at a time.
const PIECE: usize = 256 << 10;

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
    /// The newest commit of a client's repository; none of an empty one.
    pub(crate) async fn git_head(
        &self,
        client: ClientId,
    ) -> Result<Option<git_serve::ObjectId>, FleetError> {
        let newest = self.inner.store.read().await?.newest_commit(client).await?;
        newest.map(|it| git_id(&it)).transpose()
    }

    /// The references of a client's repository.
    pub(crate) async fn git_references(
        &self,
        client: ClientId,
        request: &ListReferences,
    ) -> Result<Vec<u8>, FleetError> {
        Ok(request.answer(self.git_head(client).await?))
    }

    /// What a fetch from a client's repository gets.
    pub(crate) async fn git_fetch(
        &self,
        client: ClientId,
        reader: Reader,
        fetch: &Fetch,
    ) -> Result<Fetched, GitError> {
        let mut snapshot = self.inner.store.read().await?;
        let named = fetch.commits().iter().map(domain_id).collect::<Result<Vec<_>, _>>()?;
        let mut revisions = BTreeMap::new();
        for (commit, revision) in snapshot.revisions_of_commits(client, &named).await? {
            revisions.insert(git_id(&commit)?, revision.get());
        }
        let plan = fetch.plan(&revisions)?;
        let boundary = match plan.boundary().and_then(RevisionNumber::new) {
            Some(number) => {
                let commit = snapshot.commit(client, number).await?;
                Some(git_id(&commit.ok_or(FleetError::Corrupt("history"))?)?)
            }
            None => None,
        };
        let (mut made, content, framing) = match plan.answer(boundary) {
            Answer::Whole(bytes) => return Ok(Fetched::Whole(bytes)),
            Answer::Pack { before, content, framing } => (before, content, framing),
        };
        let complete_at = content.complete.and_then(RevisionNumber::new);
        let range = PackRange { complete_at, added: content.added };
        let count = snapshot.count_pack_objects(client, &range).await?;
        drop(snapshot);
        let newest = RevisionNumber::new(*range.added.end()).filter(|_| reader == Reader::Client);
        if let Some(newest) = newest {
            self.note_given(client, newest).await?;
        }
        let writer = PackWriter::begin(framing, count, &mut made).map_err(FleetError::from)?;
        let cursor = PackCursor::start(range);
        let (fleet, writer) = (self.clone(), Some(writer));
        Ok(Fetched::Pack(Box::new(PackStream { fleet, client, cursor, made, writer })))
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
                let entries: Vec<Vec<u8>> = objects.into_iter().map(|it| it.entry).collect();
                writer.entries(&entries, &mut piece);
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
