//! Clients: they ask to be let in, operators decide, devices are reported.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fleet_domain::client::{Client, Outcome, Standing, Verdict, VerdictRefused};
use fleet_domain::contact::Contact;
use fleet_domain::desired_state::{Order, Ordered};
use fleet_domain::ids::{ClientId, DeviceId, OperatorName, RevisionNumber};
use fleet_store::{
    AuditNote, ClientEntry, Decision, DeviceEntry, SecurityEvent, Snapshot, StoreError,
};
use uuid::Uuid;

use super::{Fleet, FleetError, LONGEST_LIST, ask_to_publish, audit};
use crate::identity::{PresentedCertificate, VerifiedClient};

/// More strangers than this do not wait at a time: each costs room in the store.
const MOST_WAITING: u64 = 10_000;
/// How often a client's refusals go into the audit log, in seconds.
const SECURITY_EVENT_RESOLUTION: i64 = 60;

/// The newest revision that each client was given, as far as it is written down.
pub(super) type GivenRevisions = Mutex<HashMap<ClientId, RevisionNumber>>;

/// What became of a client that asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onboarding {
    Accepted(ClientId),
    Waiting,
    Refused,
    TooManyWaiting,
}

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

/// Why a device was not remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordCapabilitiesError {
    #[error("the gateway `{0}` has to be reported before what stands behind it")]
    UnknownGateway(DeviceId),
    #[error("the device could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for RecordCapabilitiesError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl From<StoreError> for DecideError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// A client that holds the key of this certificate asks to be let in. The same certificate is the
    /// same client.
    pub(crate) async fn onboard(
        &self,
        certificate: PresentedCertificate,
        now: i64,
    ) -> Result<Onboarding, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let known = snapshot.client_by_fingerprint(&certificate.fingerprint).await?;
        drop(snapshot);
        if let Some(entry) = known {
            return Ok(match entry.client.standing {
                Standing::Approved => Onboarding::Accepted(entry.client.id),
                Standing::Waiting => Onboarding::Waiting,
                Standing::Rejected | Standing::Revoked => Onboarding::Refused,
            });
        }

        let open = self.inner.options.open_onboarding;
        let client = Client {
            id: ClientId::from_uuid(Uuid::new_v4()),
            fingerprint: certificate.fingerprint,
            certificate_der: certificate.der,
            name: certificate.common_name,
            standing: if open { Standing::Approved } else { Standing::Waiting },
        };
        let mut transaction = self.inner.store.begin().await?;
        if transaction.count_clients(Standing::Waiting).await? >= MOST_WAITING {
            return Ok(Onboarding::TooManyWaiting);
        }
        transaction.add_client(&client, now).await?;
        if open {
            ask_to_publish(&mut transaction, client.id, now).await?;
        }
        self.commit(transaction).await?;
        tracing::info!(client = %client.id, name = client.name, standing = client.standing.name(), "a new client onboards");
        Ok(if open { Onboarding::Accepted(client.id) } else { Onboarding::Waiting })
    }

    pub(crate) async fn client(&self, id: ClientId) -> Result<Option<Client>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        Ok(snapshot.client(id).await?.map(|it| it.client))
    }

    /// Writes down that a client is about to be given a revision: what is withdrawn before it was given
    /// needs no word from the device.
    pub(super) async fn note_given(
        &self,
        client: ClientId,
        revision: RevisionNumber,
    ) -> Result<(), FleetError> {
        let known =
            self.inner.given.lock().unwrap_or_else(PoisonError::into_inner).get(&client).copied();
        if known.is_some_and(|known| known >= revision) {
            return Ok(());
        }
        let mut transaction = self.inner.store.begin().await?;
        transaction.note_fetched(client, revision).await?;
        transaction.commit().await?;
        self.inner.given.lock().unwrap_or_else(PoisonError::into_inner).insert(client, revision);
        Ok(())
    }

    /// Remembers what a client says of a device, as it says it.
    pub(crate) async fn record_capabilities(
        &self,
        client: &VerifiedClient,
        device: DeviceId,
        reported: &str,
        now: i64,
    ) -> Result<(), RecordCapabilitiesError> {
        let mut transaction = self.begin_signed(client, now).await?;
        let client = client.id();
        // margo(C-6).
        if let Some(gateway) = device.gateway()
            && transaction.device(client, &gateway).await?.is_none()
        {
            return Err(RecordCapabilitiesError::UnknownGateway(gateway));
        }
        let entry = DeviceEntry { id: device, capabilities: reported.to_owned(), reported_at: now };
        transaction.record_device(client, &entry).await?;
        Ok(self.commit(transaction).await?)
    }

    /// Forgets a device; whether there was one.
    pub(crate) async fn forget_device(
        &self,
        client: &VerifiedClient,
        device: &DeviceId,
        now: i64,
    ) -> Result<bool, FleetError> {
        let mut transaction = self.begin_signed(client, now).await?;
        let client = client.id();
        let known = transaction.forget_device(client, device).await?;
        self.commit(transaction).await?;
        Ok(known)
    }

    /// Remembers that a client refused a desired state. The audit log takes one such entry of a client in
    /// a while, whatever the client says.
    pub(crate) async fn record_security_event(
        &self,
        client: &VerifiedClient,
        what: String,
        now: i64,
    ) -> Result<(), FleetError> {
        let mut transaction = self.begin_signed(client, now).await?;
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
            transaction.append_audit(&note).await?;
        }
        transaction.commit().await?;
        tracing::warn!(%client, security_event = true, what = event.what, "a client refuses its desired state");
        Ok(())
    }

    /// All clients, the oldest first.
    pub(crate) async fn clients(&self) -> Result<Vec<ClientView>, FleetError> {
        let mut unwritten = self.inner.contacts.all();
        let mut snapshot = self.inner.store.read().await?;
        let mut views = Vec::new();
        for entry in snapshot.clients(LONGEST_LIST).await? {
            let contact = unwritten.remove(&entry.client.id);
            views.push(view(&mut snapshot, entry, contact).await?);
        }
        Ok(views)
    }

    pub(crate) async fn client_view(&self, id: ClientId) -> Result<Option<ClientView>, FleetError> {
        let contact = self.inner.contacts.of(id);
        let mut snapshot = self.inner.store.read().await?;
        match snapshot.client(id).await? {
            Some(entry) => Ok(Some(view(&mut snapshot, entry, contact).await?)),
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
    mut entry: ClientEntry,
    unwritten: Option<Contact>,
) -> Result<ClientView, StoreError> {
    entry.contact = match (entry.contact.take(), unwritten) {
        (Some(written), Some(unwritten)) => Some(written.and(unwritten)),
        (written, unwritten) => written.or(unwritten),
    };
    let devices = snapshot.devices(entry.client.id).await?;
    let revision = snapshot.newest_revision(entry.client.id).await?.map(|it| it.number);
    Ok(ClientView { entry, devices, revision })
}
