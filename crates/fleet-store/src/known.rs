//! What every poll asks, kept in memory: whether the client is let in, and its newest revision.
//!
//! Nothing stale is ever told. A [`Transaction`](crate::Transaction) notes whose state it changes, and
//! when it has committed, before anybody is told so who shared its commit, those states are forgotten. A state that
//! was read counts only if it was not forgotten while it was read. Where several servers share a database,
//! each tells the others what it has changed (see `notifications`), and what is known counts only for as long
//! as it is certain that they are heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fleet_domain::client::Standing;
use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber, Sha256};

use crate::columns::Columns;
use crate::{Snapshot, Store, StoreError};

/// More clients than one database serves well; the states of more are read each time.
const MOST_KNOWN: usize = 1 << 18;

/// A client, as far as a poll asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientState {
    pub standing: Standing,
    /// The fingerprint of its certificate: SHA-256 of the DER.
    pub certificate: Sha256,
    /// SHA-256 of its public key.
    pub key: Sha256,
    /// None before its first revision.
    pub newest: Option<NewestRevision>,
    /// The newest revision that the client has been given.
    pub given: Option<RevisionNumber>,
}

/// The newest revision of a client's desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestRevision {
    pub number: RevisionNumber,
    pub commit: ObjectId,
    pub manifest_digest: Sha256,
}

/// The states that are known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<ClientId, Entry>,
    readings: u64,
    counts: Counts,
}

/// Until when what is known counts.
#[derive(Debug, Default, Clone, Copy)]
enum Counts {
    /// There is no other server.
    #[default]
    Always,
    /// Others are heard for so long at the least.
    Until(Instant),
    /// Others are not heard.
    Not,
}

#[derive(Debug)]
enum Entry {
    Known(Arc<ClientState>),
    /// The newest of those who read the state now.
    Reading(u64),
    /// Whether a change has been committed was not heard, so it may still be on its way. The next
    /// change that is comes after it.
    Doubtful,
}

/// What is known at first.
enum Glance {
    Known(Arc<ClientState>),
    /// It has to be read, and may be kept under this number, if there is one.
    Unknown(Option<u64>),
}

impl Known {
    fn glance(&self, client: ClientId) -> Glance {
        let mut inner = self.lock();
        let counts = match inner.counts {
            Counts::Always => true,
            Counts::Until(end) => Instant::now() < end,
            Counts::Not => false,
        };
        if !counts {
            return Glance::Unknown(None);
        }
        let is_full = inner.entries.len() >= MOST_KNOWN;
        match inner.entries.get(&client) {
            Some(Entry::Known(state)) => return Glance::Known(Arc::clone(state)),
            Some(Entry::Doubtful) => return Glance::Unknown(None),
            None if is_full => return Glance::Unknown(None),
            Some(Entry::Reading(_)) | None => {}
        }
        inner.readings += 1;
        let reading = inner.readings;
        inner.entries.insert(client, Entry::Reading(reading));
        Glance::Unknown(Some(reading))
    }

    fn remember(&self, client: ClientId, reading: u64, state: Option<Arc<ClientState>>) {
        let mut inner = self.lock();
        if !matches!(inner.entries.get(&client), Some(Entry::Reading(it)) if *it == reading) {
            return;
        }
        match state {
            Some(state) => inner.entries.insert(client, Entry::Known(state)),
            None => inner.entries.remove(&client),
        };
    }

    /// Of a database that only this server uses.
    pub(crate) fn of_one_server() -> Self {
        Self::default()
    }

    /// Of a database that others use too, who are not heard yet.
    pub(crate) fn of_several_servers() -> Self {
        let inner = Inner { counts: Counts::Not, ..Inner::default() };
        Self { inner: Mutex::new(inner) }
    }

    /// Whoever changes the fleet is heard until then.
    pub(crate) fn others_are_heard_until(&self, end: Instant) {
        self.lock().counts = Counts::Until(end);
    }

    /// Others may change the fleet unheard from now on.
    pub(crate) fn others_are_not_heard(&self) {
        let mut inner = self.lock();
        inner.counts = Counts::Not;
        inner.entries.clear();
    }

    /// Whether it is known that the database is away: it no longer tells what others change.
    pub(crate) fn hears_nothing(&self) -> bool {
        matches!(self.lock().counts, Counts::Not)
    }

    /// Another server has changed the state of a client.
    pub(crate) fn forget(&self, client: ClientId) {
        self.lock().entries.remove(&client);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose states a transaction changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    known: Arc<Known>,
    clients: Vec<ClientId>,
    commit: Commit,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Commit {
    #[default]
    NotBegun,
    /// How it ended is not known, or it failed.
    Begun,
    Done,
}

impl Changes {
    pub(crate) fn none(known: Arc<Known>) -> Self {
        Self { known, clients: Vec::new(), commit: Commit::NotBegun }
    }

    pub(crate) fn note(&mut self, client: ClientId) {
        self.clients.push(client);
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.clients.iter().copied()
    }

    pub(crate) fn commit_begins(&mut self) {
        self.commit = Commit::Begun;
    }

    pub(crate) fn commit_is_done(&mut self) {
        self.commit = Commit::Done;
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if self.clients.is_empty() || self.commit == Commit::NotBegun {
            return;
        }
        let mut inner = self.known.lock();
        for client in self.clients.drain(..) {
            match self.commit {
                Commit::Done => inner.entries.remove(&client),
                Commit::Begun | Commit::NotBegun => inner.entries.insert(client, Entry::Doubtful),
            };
        }
    }
}

impl Store {
    /// The state of a client: from memory, where it was asked for before and has not
    /// changed since.
    pub async fn client_state(
        &self,
        client: ClientId,
    ) -> Result<Option<Arc<ClientState>>, StoreError> {
        let reading = match self.known().glance(client) {
            Glance::Known(state) => return Ok(Some(state)),
            Glance::Unknown(reading) => reading,
        };
        let state = self.read().await?.client_state(client).await?.map(Arc::new);
        if let Some(reading) = reading {
            self.known().remember(client, reading, state.clone());
        }
        Ok(state)
    }
}

impl Snapshot {
    async fn client_state(&mut self, client: ClientId) -> Result<Option<ClientState>, StoreError> {
        let row = sqlx::query(
            "SELECT c.standing, c.fingerprint, c.key_hash, c.fetched, r.number, r.git_commit, \
             r.manifest_digest FROM clients c LEFT JOIN revisions r ON r.client_id = c.id AND r.number = \
             (SELECT MAX(number) FROM revisions WHERE client_id = $1) WHERE c.id = $1",
        )
        .bind(client.to_string())
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Columns::of("revisions", &row);
        let newest = match row.optional_revision("number")? {
            Some(number) => Some(NewestRevision {
                number,
                commit: row.parsed("git_commit")?,
                manifest_digest: row.parsed("manifest_digest")?,
            }),
            None => None,
        };
        Ok(Some(ClientState {
            standing: crate::clients::standing(&row)?,
            certificate: row.parsed("fingerprint")?,
            key: row.parsed("key_hash")?,
            newest,
            given: row.optional_revision("fetched")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    const HASH: Sha256 = Sha256::from_bytes([7; 32]);
    const APPROVED: ClientState = ClientState {
        standing: Standing::Approved,
        certificate: HASH,
        key: HASH,
        newest: None,
        given: None,
    };
    const REVOKED: ClientState = ClientState { standing: Standing::Revoked, ..APPROVED };

    fn client() -> ClientId {
        ClientId::from_uuid(Uuid::from_u128(7))
    }

    fn change(known: &Arc<Known>) -> Changes {
        let mut changes = Changes::none(Arc::clone(known));
        changes.note(client());
        changes
    }

    fn begin_to_read(known: &Known) -> u64 {
        match known.glance(client()) {
            Glance::Unknown(Some(reading)) => reading,
            Glance::Unknown(None) | Glance::Known(_) => panic!("nothing is known"),
        }
    }

    fn is_known(known: &Known) -> bool {
        matches!(known.glance(client()), Glance::Known(_))
    }

    #[test]
    fn a_state_is_known_until_a_change_is_committed() {
        let known = Arc::new(Known::default());
        known.remember(client(), begin_to_read(&known), Some(Arc::new(APPROVED)));
        assert!(is_known(&known));
        drop(change(&known));
        assert!(is_known(&known), "a change that is given up changes nothing");
        let mut changes = change(&known);
        changes.commit_begins();
        changes.commit_is_done();
        drop(changes);
        assert!(!is_known(&known));
    }

    #[test]
    fn a_state_that_changed_while_it_was_read_is_not_kept() {
        let known = Arc::new(Known::default());
        let reading = begin_to_read(&known);
        let mut changes = change(&known);
        changes.commit_begins();
        changes.commit_is_done();
        drop(changes);
        known.remember(client(), reading, Some(Arc::new(APPROVED)));
        assert!(!is_known(&known));
        let later = begin_to_read(&known);
        known.remember(client(), reading, Some(Arc::new(APPROVED)));
        assert!(!is_known(&known), "a late answer does not count as a newer one");
        let latest = begin_to_read(&known);
        assert!(later < latest);
        known.remember(client(), latest, Some(Arc::new(REVOKED)));
        assert!(matches!(known.glance(client()), Glance::Known(it) if *it == REVOKED));
    }

    #[test]
    fn after_a_commit_that_nobody_waited_for_nothing_is_kept_until_the_next_one() {
        let known = Arc::new(Known::default());
        known.remember(client(), begin_to_read(&known), Some(Arc::new(APPROVED)));
        let mut changes = change(&known);
        changes.commit_begins();
        drop(changes);
        assert!(matches!(known.glance(client()), Glance::Unknown(None)));
        let mut changes = change(&known);
        changes.commit_begins();
        changes.commit_is_done();
        drop(changes);
        known.remember(client(), begin_to_read(&known), Some(Arc::new(REVOKED)));
        assert!(is_known(&known));
    }

    #[test]
    fn what_is_known_counts_only_while_others_are_heard() {
        let known = Known::of_several_servers();
        assert!(matches!(known.glance(client()), Glance::Unknown(None)));
        known.others_are_heard_until(Instant::now() + Duration::from_secs(3600));
        known.remember(client(), begin_to_read(&known), Some(Arc::new(APPROVED)));
        assert!(is_known(&known));
        known.others_are_heard_until(Instant::now());
        assert!(!is_known(&known), "nobody was heard for too long");
        known.others_are_heard_until(Instant::now() + Duration::from_secs(3600));
        assert!(is_known(&known), "nothing was changed meanwhile");
        known.forget(client());
        assert!(!is_known(&known), "another server has changed it");
        let reading = begin_to_read(&known);
        known.others_are_not_heard();
        known.others_are_heard_until(Instant::now() + Duration::from_secs(3600));
        known.remember(client(), reading, Some(Arc::new(APPROVED)));
        assert!(!is_known(&known), "it may have changed since it was read");
    }

    #[test]
    fn a_client_that_does_not_exist_leaves_nothing_behind() {
        let known = Known::default();
        known.remember(client(), begin_to_read(&known), None);
        assert!(known.lock().entries.is_empty());
    }
}
