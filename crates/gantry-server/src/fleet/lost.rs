//! Makes up for versions that clients have seen and the store has lost, because it was restored from an
//! older backup. A device never takes a version that does not rise, so what the store holds is published
//! again above all that was lost: at the restore for every client, and whenever a client shows that it knows
//! of more. A client can raise its own versions in this way and nobody else's, no further than could be true.

use fleet_domain::ids::{ClientId, RevisionNumber, Sha256};
use fleet_publish::Lost;

use super::desired_state::publish;
use super::{Fleet, FleetError};

/// How many clients are written in one transaction of a restore.
const TOGETHER: u32 = 64;

impl Fleet {
    /// Publishes the client's desired state above a version that it says it has seen, unless the store knows
    /// of it.
    pub(super) async fn recover_above(
        &self,
        client: ClientId,
        seen: RevisionNumber,
        now: i64,
    ) -> Result<(), FleetError> {
        let newest = self.newest_number(client).await?;
        if newest.is_some_and(|newest| seen <= newest) {
            return Ok(());
        }
        if !Lost::is_credible(seen, newest, now) {
            self.inner.counters.incredible_versions.inc();
            tracing::warn!(%client, %seen, "the client says that it has seen what cannot be; passed over");
            return Ok(());
        }
        self.recover(client, Lost::UpTo(seen), now).await
    }

    /// As [`recover_above`](Self::recover_above), for a client that shows the digests of the manifests that
    /// it has and does not say which versions they are.
    pub(crate) async fn recover_from_manifests(
        &self,
        client: ClientId,
        held: &[Sha256],
        now: i64,
    ) -> Result<(), FleetError> {
        if held.is_empty() || !self.may_lack(client, now).await? {
            return Ok(());
        }
        let mut snapshot = self.inner.store.read().await?;
        for digest in held {
            if snapshot.has_manifest(client, digest).await? {
                return Ok(());
            }
        }
        drop(snapshot);
        self.recover(client, Lost::Unknown, now).await
    }

    /// Publishes the desired state of every client above all that can have been lost; of how many.
    pub(crate) async fn recover_all(&self, now: i64) -> Result<u64, FleetError> {
        let (mut after, mut recovered) = (None, 0);
        loop {
            let mut transaction = self.inner.store.begin().await?;
            let clients = transaction.published_clients(after, TOGETHER).await?;
            publish(&mut transaction, &clients, Some(Lost::Unknown), now).await?;
            transaction.commit().await?;
            recovered += clients.len() as u64;
            match clients.last() {
                Some(last) => after = Some(*last),
                None => return Ok(recovered),
            }
        }
    }

    async fn recover(&self, client: ClientId, lost: Lost, now: i64) -> Result<(), FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        let published = publish(&mut transaction, &[client], Some(lost), now).await?;
        transaction.commit().await?;
        self.count_publications(published);
        if published > 0 {
            self.inner.counters.recoveries.inc();
            tracing::warn!(
                %client,
                ?lost,
                "the client has seen versions that the database does not know; its desired state is \
                 published again above them"
            );
        }
        Ok(())
    }

    /// Whether something unknown that a client shows can be a sign of a loss. Of a client that says which
    /// version it has, that decides.
    async fn may_lack(&self, client: ClientId, now: i64) -> Result<bool, FleetError> {
        let said = self.inner.contacts.of(client).and_then(|it| it.announcement);
        if said.is_some_and(|it| it.revision.is_some()) {
            return Ok(false);
        }
        Ok(Lost::is_likely(self.newest_number(client).await?, now))
    }

    async fn newest_number(&self, client: ClientId) -> Result<Option<RevisionNumber>, FleetError> {
        let state = self.client_state(client).await?;
        Ok(state.and_then(|it| it.newest.as_ref().map(|newest| newest.number)))
    }
}
