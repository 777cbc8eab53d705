//! What Git was given or will be asked for next, kept in memory: a device fetches what was published a
//! moment ago, and names the commit that it was given before. No row behind it ever changes, so what is
//! kept here stays true, and only makes room for what is newer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_domain::ids::{ClientId, ObjectId, RevisionNumber};
use hashlink::LruCache;

use crate::{GitObject, PackRange, Store, StoreError};

/// How many bytes of packs are kept. A fleet of ten thousand devices fetches a small change from it.
const MOST_BYTES: usize = 32 << 20;
/// What a pack takes in memory beside its entries, and an entry beside its bytes; about.
const PACK_OVERHEAD: usize = 256;
const ENTRY_OVERHEAD: usize = 40;
/// How many commits are kept with their revisions.
const MOST_COMMITS: usize = 1 << 15;

/// The entries of a whole pack, behind its header and before its checksum.
pub type PackEntries = Arc<[Vec<u8>]>;

#[derive(Debug)]
pub(crate) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    packs: LruCache<(ClientId, PackRange), PackEntries>,
    /// What the packs take.
    bytes: usize,
    revisions: LruCache<(ClientId, ObjectId), RevisionNumber>,
}

impl Default for Recent {
    fn default() -> Self {
        let packs = LruCache::new_unbounded();
        let revisions = LruCache::new(MOST_COMMITS);
        Self { inner: Mutex::new(Inner { packs, bytes: 0, revisions }) }
    }
}

impl Recent {
    /// Keeps what one revision added: its client will fetch just that.
    pub(crate) fn published(&self, client: ClientId, revision: &Published) {
        let number = revision.number.get();
        let range = PackRange { complete_at: None, added: number..=number };
        let mut inner = self.lock();
        inner.keep((client, range), Arc::from(revision.added.as_slice()));
        inner.revisions.insert((client, revision.commit.clone()), revision.number);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, key: (ClientId, PackRange), entries: PackEntries) {
        let size = size(&entries);
        if size > MOST_BYTES / 16 {
            return;
        }
        self.bytes += size;
        let former = self.packs.insert(key, entries);
        self.bytes -= former.as_ref().map_or(0, |it| self::size(it));
        while self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.packs.remove_lru() else { break };
            self.bytes -= self::size(&oldest);
        }
    }
}

fn size(entries: &[Vec<u8>]) -> usize {
    PACK_OVERHEAD + entries.iter().map(|it| it.len() + ENTRY_OVERHEAD).sum::<usize>()
}

/// What a revision brought, once it is committed.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) number: RevisionNumber,
    pub(crate) commit: ObjectId,
    /// The entries of the objects that it added.
    pub(crate) added: Vec<Vec<u8>>,
}

impl Published {
    /// Of the objects of a revision, those that are named were added by it.
    pub(crate) fn new(
        number: RevisionNumber,
        commit: &ObjectId,
        objects: &[GitObject],
        added: &[ObjectId],
    ) -> Self {
        // In the order of a pack that is read from the database: everybody gets the same bytes.
        let added: BTreeMap<&ObjectId, &GitObject> =
            objects.iter().filter(|it| added.contains(&it.id)).map(|it| (&it.id, it)).collect();
        let added = added.into_values().map(|it| it.entry.clone()).collect();
        Self { number, commit: commit.clone(), added }
    }
}

impl Store {
    /// The entries of a pack, if they are in memory.
    pub fn recent_pack(&self, client: ClientId, range: &PackRange) -> Option<PackEntries> {
        self.recent().lock().packs.get(&(client, range.clone())).cloned()
    }

    /// Keeps the entries of a pack, all of them, for who asks next.
    pub fn keep_pack(&self, client: ClientId, range: PackRange, entries: PackEntries) {
        self.recent().lock().keep((client, range), entries);
    }

    /// The revisions of those commits that are in the client's repository.
    pub async fn revisions_of_commits(
        &self,
        client: ClientId,
        commits: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, RevisionNumber>, StoreError> {
        let mut revisions = BTreeMap::new();
        let mut others = Vec::new();
        {
            let mut inner = self.recent().lock();
            for commit in commits {
                match inner.revisions.get(&(client, commit.clone())) {
                    Some(revision) => drop(revisions.insert(commit.clone(), *revision)),
                    None => others.push(commit.clone()),
                }
            }
        }
        if !others.is_empty() {
            let found = self.read().await?.revisions_of_commits(client, &others).await?;
            let mut inner = self.recent().lock();
            for (commit, revision) in found {
                inner.revisions.insert((client, commit.clone()), revision);
                revisions.insert(commit, revision);
            }
        }
        Ok(revisions)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(place: u64) -> (ClientId, PackRange) {
        let client = ClientId::from_uuid(Uuid::from_u128(u128::from(place)));
        (client, PackRange { complete_at: None, added: 1..=1 })
    }

    #[test]
    fn packs_make_room_for_newer_ones_and_the_bytes_are_counted() {
        let recent = Recent::default();
        let pack = || PackEntries::from([vec![7; 1 << 20]].as_slice());
        let mut inner = recent.lock();
        for place in 0..40 {
            inner.keep(key(place), pack());
            assert!(inner.packs.contains_key(&key(place)));
            assert!(inner.packs.get(&key(0)).is_some(), "what is asked for stays");
        }
        assert!(!inner.packs.contains_key(&key(1)), "the oldest has gone");
        inner.keep(key(39), pack());
        let counted: usize = inner.packs.iter().map(|(_, it)| size(it)).sum();
        assert_eq!(inner.bytes, counted);
        assert!(counted <= MOST_BYTES);
    }

    #[test]
    fn a_pack_that_would_push_out_many_is_not_kept() {
        let recent = Recent::default();
        let mut inner = recent.lock();
        inner.keep(key(1), PackEntries::from([vec![7; MOST_BYTES / 16]].as_slice()));
        assert!(inner.packs.is_empty());
        assert_eq!(inner.bytes, 0);
    }
}
