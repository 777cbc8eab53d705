//! When clients were heard of. A poll is answered from memory, so it must not wait for a disk: contacts
//! are kept here and written down together from time to time. Whoever looks sees both; a server that is
//! killed forgets those since the last time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fleet_domain::client::Standing;
use fleet_domain::contact::{Announcement, Contact, ContactStanding};
use fleet_domain::ids::ClientId;

use super::{Fleet, FleetError};

/// How many are written in one transaction: others that want to write do not wait for a large fleet.
const WRITTEN_TOGETHER: usize = 1000;

/// Contacts that are not written down, one of each client at most.
#[derive(Default)]
pub(super) struct UnwrittenContacts(Mutex<HashMap<ClientId, Contact>>);

impl UnwrittenContacts {
    fn note(&self, client: ClientId, contact: Contact) {
        let mut contacts = self.lock();
        let contact = match contacts.remove(&client) {
            Some(before) => before.and(contact),
            None => contact,
        };
        contacts.insert(client, contact);
    }

    /// Forgets what is written down, where nothing came after it.
    fn forget(&self, written: &[(ClientId, Contact)]) {
        let mut contacts = self.lock();
        for (client, contact) in written {
            if contacts.get(client) == Some(contact) {
                contacts.remove(client);
            }
        }
    }

    /// The contact of one client. To be asked for before the store is: else one that is written down in
    /// between is seen in neither.
    pub(super) fn of(&self, client: ClientId) -> Option<Contact> {
        self.lock().get(&client).cloned()
    }

    /// As [`of`](Self::of), of all clients.
    pub(super) fn all(&self) -> HashMap<ClientId, Contact> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many clients should have called by now: those that the store knows of, unless they have called since
/// that was written down, and those that have not kept what they said after it.
pub(super) fn count_overdue(
    stored: &[ClientId],
    unwritten: &HashMap<ClientId, Contact>,
    now: i64,
) -> usize {
    let is_overdue = |contact: &&Contact| {
        let standing = ContactStanding::of(Standing::Approved, Some(*contact), now);
        matches!(standing, ContactStanding::Overdue { .. })
    };
    let silent = stored.iter().filter(|it| !unwritten.contains_key(*it));
    silent.count() + unwritten.values().filter(is_overdue).count()
}

impl Fleet {
    /// Notes that a client was heard of, and what it said, and makes up for what it has seen and the store has
    /// lost. The caller has verified that it was this client.
    pub(crate) async fn hear_contact(
        &self,
        client: ClientId,
        announcement: Option<Announcement>,
        now: i64,
    ) -> Result<(), FleetError> {
        let seen = announcement.as_ref().and_then(|it| it.revision);
        self.note_contact(client, announcement, now);
        match seen {
            Some(seen) => self.recover_above(client, seen, now).await,
            None => Ok(()),
        }
    }

    fn note_contact(&self, client: ClientId, announcement: Option<Announcement>, now: i64) {
        self.inner.contacts.note(client, Contact { last: now, announcement });
    }

    /// Writes down the contacts since the last time.
    pub(crate) async fn write_contacts_down(&self) -> Result<(), FleetError> {
        let contacts: Vec<(ClientId, Contact)> = self.inner.contacts.all().into_iter().collect();
        for some in contacts.chunks(WRITTEN_TOGETHER) {
            let mut transaction = self.inner.store.begin().await?;
            transaction.save_contacts(some).await?;
            transaction.commit().await?;
            self.inner.contacts.forget(some);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use fleet_domain::client::{Client, OnboardingPolicy};
    use fleet_domain::ids::Sha256;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::super::FleetOptions;
    use super::*;

    pub(in crate::fleet) fn id(number: u128) -> ClientId {
        ClientId::from_uuid(Uuid::from_u128(number))
    }

    fn said(next: i64) -> Announcement {
        Announcement { next, by: next, quiet: None, revision: None, undelivered: 0 }
    }

    async fn open(folder: &Path) -> Fleet {
        let options = FleetOptions {
            onboarding: OnboardingPolicy::Approve,
            origin: "https://localhost".to_owned(),
        };
        Fleet::open(&fleet_store::Database::sqlite(&folder.join("fleet.db")), options)
            .await
            .expect("the database opens")
    }

    /// A fleet with clients of these numbers.
    pub(in crate::fleet) async fn fleet_with(numbers: std::ops::Range<u8>) -> (Fleet, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let fleet = open(folder.path()).await;
        let mut transaction = fleet.inner.store.begin().await.expect("nobody else writes");
        for number in numbers {
            let client = Client {
                id: id(u128::from(number)),
                fingerprint: Sha256::from_bytes([number; 32]),
                key: Sha256::from_bytes([number; 32]),
                issued_as: None,
                certificate_der: vec![0x30],
                name: "press-7".to_owned(),
                standing: Standing::Approved,
            };
            transaction.add_client(&client, 0).await.expect("the client is new");
        }
        transaction.commit().await.expect("there is room on the disk");
        (fleet, folder)
    }

    async fn seen(fleet: &Fleet, client: ClientId) -> Option<Contact> {
        let view = fleet.client_view(client).await.expect("the store answers");
        let contact = view.expect("the client is there").entry.contact;
        let listed = fleet.clients(None, 10).await.expect("the store answers");
        let listed = listed.into_iter().find(|it| it.entry.client.id == client);
        assert_eq!(listed.expect("the client is there").entry.contact, contact);
        contact
    }

    #[tokio::test]
    async fn a_contact_is_seen_before_and_after_it_is_written_down() {
        let (fleet, folder) = fleet_with(1..3).await;
        let neighbour = open(folder.path()).await;
        fleet.note_contact(id(1), Some(said(160)), 100);
        let first = Some(Contact { last: 100, announcement: Some(said(160)) });
        assert_eq!(seen(&fleet, id(1)).await, first);
        assert_eq!(seen(&fleet, id(2)).await, None);
        assert_eq!(seen(&neighbour, id(1)).await, None);

        fleet.write_contacts_down().await.expect("there is room on the disk");
        assert!(fleet.inner.contacts.all().is_empty());
        assert_eq!(seen(&fleet, id(1)).await, first);
        assert_eq!(seen(&neighbour, id(1)).await, first);

        fleet.note_contact(id(1), None, 130);
        let second = Some(Contact { last: 130, announcement: Some(said(160)) });
        assert_eq!(seen(&fleet, id(1)).await, second);
        fleet.write_contacts_down().await.expect("there is room on the disk");
        assert_eq!(seen(&neighbour, id(1)).await, second);
    }

    #[tokio::test]
    async fn who_should_have_called_is_counted_before_and_after_it_is_written_down() {
        let (fleet, _folder) = fleet_with(1..3).await;
        let overdue = async |now| fleet.counts(now).await.expect("the store answers").1;
        fleet.note_contact(id(1), Some(said(160)), 100);
        fleet.note_contact(id(2), None, 100);
        assert_eq!((overdue(160).await, overdue(161).await), (0, 1));
        fleet.write_contacts_down().await.expect("there is room on the disk");
        assert_eq!((overdue(160).await, overdue(161).await), (0, 1));
        fleet.note_contact(id(1), Some(said(300)), 200);
        assert_eq!((overdue(201).await, overdue(301).await), (0, 1));
    }

    #[tokio::test]
    async fn contacts_are_written_down_by_themselves() {
        let (fleet, folder) = fleet_with(1..2).await;
        fleet.note_contact(id(1), None, 100);
        let interval = Duration::from_millis(1);
        let task = tokio::spawn(crate::jobs::keep_house(fleet.clone(), interval));
        let written = async {
            while !fleet.inner.contacts.all().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), written).await.expect("it is written");
        task.abort();
        let contact = Some(Contact { last: 100, announcement: None });
        assert_eq!(seen(&open(folder.path()).await, id(1)).await, contact);
    }

    #[test]
    fn what_comes_while_others_are_written_is_kept() {
        let contacts = UnwrittenContacts::default();
        let at = |last| Contact { last, announcement: None };
        contacts.note(id(1), at(100));
        contacts.note(id(2), at(100));
        let written: Vec<_> = contacts.all().into_iter().collect();
        contacts.note(id(2), at(101));
        contacts.forget(&written);
        assert_eq!(contacts.all(), HashMap::from([(id(2), at(101))]));
    }
}
