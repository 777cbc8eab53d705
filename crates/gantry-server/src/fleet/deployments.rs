//! Deployments after their order: how they end, and what operators see.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::deployment::DeploymentRecord;
use fleet_domain::desired_state::{Order, Ordered};
use fleet_domain::ids::{ClientId, ComponentName, DeploymentId, OperatorName, RevisionNumber};
use fleet_store::{
    DeploymentEntry, DeploymentEvent, Event, KEPT_EVENTS, Snapshot, StoreError, Transaction,
};
use serde_json::Value;

use super::order::ordered;
use super::parameters::kept;
use super::{Fleet, FleetError, LONGEST_LIST, Overtaken, ask_to_publish, audit, overtaken};
use crate::identity::VerifiedClient;

/// How many are ended in one transaction: others that want to write do not wait for a large fleet.
const ENDED_TOGETHER: u32 = 100;

/// So many deployments are read with one statement.
const READ_TOGETHER: usize = 200;

/// A deployment with all that operators see of it.
pub(crate) struct DeploymentView {
    pub(crate) entry: DeploymentEntry,
    pub(crate) parameters: BTreeMap<String, Value>,
    /// The number of the event of the newest order.
    pub(crate) ordered_event: u64,
}

/// What a report about a deployment has to fit.
pub(crate) struct Reportable {
    pub(crate) components: BTreeSet<ComponentName>,
    /// Those of the content before, of which the device may still speak; mostly none.
    pub(crate) former_components: BTreeSet<ComponentName>,
    /// The newest revision that the device can know of.
    pub(crate) newest: RevisionNumber,
}

/// Why a deployment was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WithdrawError {
    #[error("there is no such deployment")]
    Unknown,
    #[error("something else was ordered meanwhile")]
    Overtaken(Box<Overtaken>),
    #[error("the withdrawal could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for WithdrawError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// What a report of the client about a deployment has to fit; none where it has no such one.
    pub(crate) async fn reportable(
        &self,
        client: &VerifiedClient,
        id: DeploymentId,
    ) -> Result<Option<Reportable>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let Some(entry) = snapshot.deployment(id).await?.filter(|it| it.client == client.id())
        else {
            return Ok(None);
        };
        let state = self.client_state(client.id()).await?;
        let newest = state.as_ref().and_then(|it| it.newest.as_ref());
        let newest = newest.map_or(RevisionNumber::first(), |it| it.number);
        let DeploymentRecord { components, former_components, .. } = entry.deployment.record();
        Ok(Some(Reportable { components, former_components, newest }))
    }

    /// An operator no longer wants a deployment. Saying so twice is once. Refused where an order is newer
    /// than the one that was seen, if one is named.
    pub(crate) async fn withdraw(
        &self,
        operator: &OperatorName,
        id: DeploymentId,
        seen: Option<u64>,
        reason: Option<String>,
        now: i64,
    ) -> Result<DeploymentView, WithdrawError> {
        let mut transaction = self.inner.store.begin().await?;
        let mut entry = transaction.deployment(id).await?.ok_or(WithdrawError::Unknown)?;
        if let Some(overtaken) = overtaken::since(&mut transaction, &entry, seen).await? {
            return Err(WithdrawError::Overtaken(overtaken));
        }
        if entry.deployment.is_wanted() {
            let_go(&mut transaction, &mut entry, operator, now).await?;
            let detail = reason.clone().unwrap_or_default();
            audit(&mut transaction, now, operator, "deployment.withdraw", id, detail).await?;
            let what = Ordered::Remove { deployment: ordered(&entry, Vec::new()) };
            let order = Order { operator: operator.clone(), at: now, what, reason };
            transaction.append_order(entry.client, &order).await?;
            ask_to_publish(&mut transaction, entry.client, now).await?;
        }
        let view = view(&mut transaction, entry).await?;
        self.commit(transaction).await?;
        Ok(view)
    }

    /// Ends withdrawn deployments that their clients were told of and never had: the answer was lost on its
    /// way, and the next one no longer named them. What a client has said counts once it is written down, so
    /// that what it may have reported with the same request is heard before.
    pub(crate) async fn end_what_nobody_had(&self, now: i64) -> Result<(), FleetError> {
        let found = self.inner.store.read().await?.withdrawn_and_never_had(1).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut transaction = self.inner.store.begin().await?;
        for mut entry in transaction.withdrawn_and_never_had(ENDED_TOGETHER).await? {
            if entry.deployment.forget_untold() {
                transaction.save_deployment(&entry).await?;
                transaction.append_event(entry.deployment.id(), now, &Event::Forgotten).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The deployments of a client, the newest order first.
    pub(crate) async fn deployments_of(
        &self,
        client: ClientId,
    ) -> Result<Vec<DeploymentView>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let entries = snapshot.deployments_of(client, LONGEST_LIST).await?;
        views(&mut snapshot, entries).await
    }

    /// The deployments of all clients, the newest order first, from the first on or from the one behind this
    /// one, which was ordered then. Fewer than the limit are the last ones.
    pub(crate) async fn deployments(
        &self,
        after: Option<(i64, DeploymentId)>,
        limit: u32,
    ) -> Result<Vec<DeploymentView>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let entries = snapshot.deployments(after, limit).await?;
        views(&mut snapshot, entries).await
    }

    pub(crate) async fn deployment(
        &self,
        id: DeploymentId,
    ) -> Result<Option<DeploymentView>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        match snapshot.deployment(id).await? {
            Some(entry) => Ok(Some(view(&mut snapshot, entry).await?)),
            None => Ok(None),
        }
    }

    /// What happened to a deployment after an event, the oldest first; nothing for an unknown one.
    pub(crate) async fn deployment_events(
        &self,
        id: DeploymentId,
        after: u64,
    ) -> Result<Option<Vec<DeploymentEvent>>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        if snapshot.deployment(id).await?.is_none() {
            return Ok(None);
        }
        // All that are kept.
        Ok(Some(snapshot.deployment_events(id, after, KEPT_EVENTS + 1).await?))
    }
}

/// Nobody wants the deployment any more.
pub(super) async fn let_go(
    transaction: &mut Transaction,
    entry: &mut DeploymentEntry,
    operator: &OperatorName,
    now: i64,
) -> Result<(), StoreError> {
    entry.deployment.withdraw();
    entry.deployment.forget_unpublished();
    transaction.save_deployment(entry).await?;
    let event = Event::Withdrawn { by: operator.clone() };
    transaction.append_event(entry.deployment.id(), now, &event).await.map(drop)
}

pub(super) async fn view(
    snapshot: &mut Snapshot,
    entry: DeploymentEntry,
) -> Result<DeploymentView, FleetError> {
    let mut views = views(snapshot, vec![entry]).await?;
    views.pop().ok_or(FleetError::Corrupt("deployment"))
}

/// As [`view`], of several.
async fn views(
    snapshot: &mut Snapshot,
    entries: Vec<DeploymentEntry>,
) -> Result<Vec<DeploymentView>, FleetError> {
    let mut views = Vec::with_capacity(entries.len());
    let mut ordered_events = BTreeMap::new();
    for some in entries.chunks(READ_TOGETHER) {
        let ids: Vec<DeploymentId> = some.iter().map(|it| it.deployment.id()).collect();
        ordered_events.extend(snapshot.newest_order_events(&ids).await?);
    }
    for entry in entries {
        let ordered_event = ordered_events.remove(&entry.deployment.id()).unwrap_or_default();
        views.push(DeploymentView { parameters: kept(&entry.parameters)?, ordered_event, entry });
    }
    Ok(views)
}
