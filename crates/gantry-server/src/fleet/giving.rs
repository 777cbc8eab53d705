//! Writes down which revision a client is about to be given, before it is: what is withdrawn before it was
//! given needs no word from the device. After an order for many clients all of them come for their own, so
//! those that come together are written down together: one statement, and one wait for the disk.

use std::collections::BTreeMap;

use fleet_domain::ids::{ClientId, RevisionNumber};
use fleet_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::{Fleet, FleetError};

/// How many are written down together at most.
const TOGETHER: usize = 256;
/// How many can wait before others wait for a place.
pub(super) const LINE: usize = 1024;

/// A client that waits for its revision.
pub(super) struct Giving {
    client: ClientId,
    revision: RevisionNumber,
    written: oneshot::Sender<Result<(), StoreError>>,
}

impl Fleet {
    /// Returns when it is written down that the client is given this revision.
    pub(super) async fn note_given(
        &self,
        client: ClientId,
        revision: RevisionNumber,
    ) -> Result<(), FleetError> {
        if self.given_to(client).await?.is_some_and(|given| given >= revision) {
            return Ok(());
        }
        let (written, told) = oneshot::channel();
        let giving = Giving { client, revision, written };
        self.inner.given.send(giving).await.map_err(|_| StoreError::closed())?;
        told.await.map_err(|_| StoreError::closed())??;
        Ok(())
    }
}

/// Writes down, as long as somebody can come.
pub(super) async fn write_all(store: &Store, mut line: mpsc::Receiver<Giving>) {
    let mut together = Vec::with_capacity(TOGETHER);
    while line.recv_many(&mut together, TOGETHER).await > 0 {
        let written = write_together(store, &together).await;
        for giving in together.drain(..) {
            // Who has hung up meanwhile comes again.
            drop(giving.written.send(written.clone()));
        }
    }
}

async fn write_together(store: &Store, together: &[Giving]) -> Result<(), StoreError> {
    let mut given = BTreeMap::new();
    for giving in together {
        let newest = given.entry(giving.client).or_insert(giving.revision);
        *newest = giving.revision.max(*newest);
    }
    let mut transaction = store.begin().await?;
    transaction.note_fetched(&given).await?;
    // A newer revision may have been published since this one was looked up, and what is withdrawn with it
    // counted as untold.
    for mut entry in transaction.gone_unheard(&given).await? {
        if entry.deployment.tell_after_all() {
            transaction.save_deployment(&entry).await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use fleet_domain::client::{Client, Standing};
    use fleet_domain::ids::Sha256;
    use fleet_store::{Database, StoreOptions};
    use uuid::Uuid;

    use super::*;

    fn id(number: u8) -> ClientId {
        ClientId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    #[tokio::test]
    async fn who_comes_together_is_written_down_with_the_newest_that_each_is_given() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let database = Database::sqlite(&folder.path().join("fleet.db"));
        let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
        let mut transaction = store.begin().await.expect("nobody else writes");
        for number in 1..=3 {
            let client = Client {
                id: id(number),
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

        let (sender, line) = mpsc::channel(LINE);
        let mut told = Vec::new();
        for (number, revision) in [(1, 2), (2, 7), (2, 6), (1, 1)] {
            let revision = RevisionNumber::new(revision).expect("it is not 0");
            let (written, hears) = oneshot::channel();
            let giving = Giving { client: id(number), revision, written };
            sender.send(giving).await.expect("there is a place in the line");
            told.push(hears);
        }
        drop(sender);
        write_all(&store, line).await;
        for hears in told {
            hears.await.expect("each is told").expect("there is room on the disk");
        }
        for (number, expected) in [(1, Some(2)), (2, Some(7)), (3, None)] {
            let state = store.client_state(id(number)).await.expect("the store answers");
            let given = state.and_then(|it| it.given).map(RevisionNumber::get);
            assert_eq!(given, expected, "client {number}");
        }
    }
}
