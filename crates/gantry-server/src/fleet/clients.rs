//! Clients: they ask to be let in, operators decide, devices are reported.

use std::sync::Arc;

use fleet_domain::client::{Client, Outcome, Verdict, VerdictRefused};
use fleet_domain::contact::Contact;
use fleet_domain::desired_state::{Order, Ordered};
use fleet_domain::ids::{ClientId, OperatorName, RevisionNumber};
use fleet_store::{
    AuditNote, ClientEntry, ClientState, Decision, DeviceEntry, SecurityEvent, Snapshot, StoreError,
};

use super::{Fleet, FleetError, ask_to_publish, audit};
use crate::identity::VerifiedClient;

/// So many clients are read with one statement.
const CLIENTS_AT_A_TIME: usize = 200;

/// How often a client's refusals go into the audit log, in seconds.
const SECURITY_EVENT_RESOLUTION: i64 = 60;

/// A client with all that operators see of it.
pub(crate) struct ClientView {
    pub(crate) entry: ClientEntry,
    pub(crate) devices: Vec<DeviceEntry>,
    pub(crate) revision: Option<RevisionNumber>,
}

/// Why a verdict was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecideError {
    #[error("there is no such client")]
    Unknown,
    #[error(transparent)]
    Refused(#[from] VerdictRefused),
    #[error("the verdict could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for DecideError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// What every request of a client asks: from memory, where it was asked for before.
    pub(crate) async fn client_state(
        &self,
        id: ClientId,
    ) -> Result<Option<Arc<ClientState>>, FleetError> {
        Ok(self.inner.store.client_state(id).await?)
    }

    pub(crate) async fn client(&self, id: ClientId) -> Result<Option<Client>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        Ok(snapshot.client(id).await?.map(|it| it.client))
    }

    /// The newest revision that a client was given.
    pub(super) async fn given_to(
        &self,
        client: ClientId,
    ) -> Result<Option<RevisionNumber>, FleetError> {
        Ok(self.client_state(client).await?.and_then(|it| it.given))
    }

    /// Remembers that a client refused a desired state. The audit log takes one such entry of a client in
    /// a while, whatever the client says.
    pub(crate) async fn record_security_event(
        &self,
        client: &VerifiedClient,
        what: String,
        now: i64,
    ) -> Result<(), FleetError> {
        let mut transaction = self.begin_signed(client).await?;
        let client = client.id();
        let before = transaction.client(client).await?.and_then(|it| it.security_event);
        let event = SecurityEvent { at: now, what };
        transaction.note_security_event(client, &event).await?;
        if before.is_none_or(|it| now - it.at >= SECURITY_EVENT_RESOLUTION) {
            let note = AuditNote {
                at: now,
                actor: client.to_string(),
                action: "client.security-event".to_owned(),
                subject: client.to_string(),
                detail: event.what.clone(),
            };
            transaction.append_audit(&[note]).await?;
        }
        transaction.commit().await?;
        tracing::warn!(%client, security_event = true, what = event.what, "a client refuses its desired state");
        Ok(())
    }

    /// Clients, the oldest first, from the first on or from the one behind this one. Fewer than the limit
    /// are the last ones.
    pub(crate) async fn clients(
        &self,
        after: Option<ClientId>,
        limit: u32,
    ) -> Result<Vec<ClientView>, FleetError> {
        let mut unwritten = self.inner.contacts.all();
        let mut snapshot = self.inner.store.read().await?;
        let mut views = Vec::new();
        for some in snapshot.clients(after, limit).await?.chunks(CLIENTS_AT_A_TIME) {
            views.extend(self::views(&mut snapshot, some, |id| unwritten.remove(id)).await?);
        }
        Ok(views)
    }

    pub(crate) async fn client_view(&self, id: ClientId) -> Result<Option<ClientView>, FleetError> {
        let contact = self.inner.contacts.of(id);
        let mut snapshot = self.inner.store.read().await?;
        match snapshot.client(id).await? {
            Some(entry) => Ok(Some(view(&mut snapshot, &entry, contact).await?)),
            None => Ok(None),
        }
    }

    /// An operator lets a client in, or not.
    pub(crate) async fn decide(
        &self,
        operator: &OperatorName,
        id: ClientId,
        verdict: Verdict,
        reason: Option<String>,
        now: i64,
    ) -> Result<ClientView, DecideError> {
        let mut transaction = self.inner.store.begin().await?;
        let mut client = transaction.client(id).await?.ok_or(DecideError::Unknown)?.client;
        if client.decide(verdict)? == Outcome::Changed {
            let decision = Decision { by: operator.clone(), at: now };
            transaction.save_standing(&client, &decision).await?;
            let action = match verdict {
                Verdict::Approve => "client.approve",
                Verdict::Reject => "client.reject",
                Verdict::Revoke => "client.revoke",
            };
            let detail = reason.clone().unwrap_or_default();
            audit(&mut transaction, now, operator, action, id, detail).await?;
            if verdict == Verdict::Approve {
                let what = Ordered::Admit { client: client.name.clone() };
                let order = Order { operator: operator.clone(), at: now, what, reason };
                transaction.append_order(id, &order).await?;
                ask_to_publish(&mut transaction, id, now).await?;
            }
            self.commit(transaction).await?;
            tracing::info!(client = %id, %operator, standing = client.standing.name(), "an operator decides");
        } else {
            drop(transaction);
        }
        self.client_view(id).await?.ok_or(DecideError::Unknown)
    }
}

/// What is seen of a client, with the contact that is not written down.
async fn view(
    snapshot: &mut Snapshot,
    entry: &ClientEntry,
    unwritten: Option<Contact>,
) -> Result<ClientView, FleetError> {
    let mut unwritten = unwritten;
    let views = views(snapshot, std::slice::from_ref(entry), |_| unwritten.take()).await?;
    views.into_iter().next().ok_or(FleetError::Corrupt("client"))
}

/// As [`view`], of several.
async fn views(
    snapshot: &mut Snapshot,
    entries: &[ClientEntry],
    mut unwritten: impl FnMut(&ClientId) -> Option<Contact>,
) -> Result<Vec<ClientView>, StoreError> {
    let ids: Vec<ClientId> = entries.iter().map(|it| it.client.id).collect();
    let mut devices = snapshot.devices_of(&ids).await?;
    let mut revisions = snapshot.newest_revisions(&ids).await?;
    let view = |entry: &ClientEntry| {
        let id = entry.client.id;
        let contact = match (entry.contact.clone(), unwritten(&id)) {
            (Some(written), Some(unwritten)) => Some(written.and(unwritten)),
            (written, unwritten) => written.or(unwritten),
        };
        ClientView {
            entry: ClientEntry { contact, ..entry.clone() },
            devices: devices.remove(&id).unwrap_or_default(),
            revision: revisions.remove(&id).map(|it| it.number),
        }
    };
    Ok(entries.iter().map(view).collect())
}
