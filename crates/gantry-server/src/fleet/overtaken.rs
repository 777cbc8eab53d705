//! Two operators at once: an order may say which order before it the operator has seen. If there is a newer
//! one by now nothing is ordered, and the operator is told who ordered what meanwhile. Transactions come one
//! after the other, so of two that have seen the same order one is carried out, never both.
//!
//! A deployment's version is the number of the event of its newest order, and that of all that a client is to
//! run the number of its newest order. What devices report changes neither: an operator cannot be overtaken
//! by a device.

use fleet_domain::desired_state::{Order, Ordered, OrderedDeployment, ParameterChange};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ClientId, DeploymentId, DeploymentName, OperatorName,
    RevisionNumber,
};
use fleet_store::{DeploymentEntry, Snapshot, StoreError};

/// So many orders are told at most, the newest ones.
const MOST_TOLD: u32 = 10;

/// Something was ordered that the operator has not seen.
#[derive(Debug)]
pub(crate) struct Overtaken {
    /// What would have had to be seen.
    pub(crate) present: u64,
    /// The oldest first.
    pub(crate) meanwhile: Vec<OrderMeanwhile>,
}

/// What somebody ordered meanwhile about one deployment.
#[derive(Debug)]
pub(crate) struct OrderMeanwhile {
    pub(crate) at: i64,
    pub(crate) by: OperatorName,
    pub(crate) reason: Option<String>,
    pub(crate) what: What,
    pub(crate) deployment: DeploymentId,
    pub(crate) name: DeploymentName,
    pub(crate) application: ApplicationId,
    pub(crate) version: ApplicationVersion,
    pub(crate) changes: Vec<ParameterChange>,
    /// The revision to which the order returned, if it did.
    pub(crate) returned_to: Option<RevisionNumber>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Ordered,
    Updated,
    Withdrawn,
}

/// Whether an order about the deployment is newer than the one that was seen. Who has looked at nothing
/// orders whatever there is.
pub(super) async fn since(
    snapshot: &mut Snapshot,
    entry: &DeploymentEntry,
    seen: Option<u64>,
) -> Result<Option<Box<Overtaken>>, StoreError> {
    let id = entry.deployment.id();
    let present = snapshot.newest_order_event(id).await?;
    match seen {
        Some(seen) if seen != present => {
            let newer = snapshot.count_orders_after(id, seen).await?;
            newest(snapshot, entry, newer).await.map(|it| Some(Box::new(it)))
        }
        _ => Ok(None),
    }
}

/// The newest orders about a deployment, as many as this.
pub(super) async fn newest(
    snapshot: &mut Snapshot,
    entry: &DeploymentEntry,
    count: u64,
) -> Result<Overtaken, StoreError> {
    let id = entry.deployment.id();
    let count = u32::try_from(count).unwrap_or(MOST_TOLD).min(MOST_TOLD);
    let orders = snapshot.orders_about(entry.client, id, count).await?;
    let mut meanwhile = told(orders);
    meanwhile.retain(|it| it.deployment == id);
    Ok(Overtaken { present: snapshot.newest_order_event(id).await?, meanwhile })
}

/// Whether an order for the client is newer than the one that was seen.
pub(super) async fn since_order(
    snapshot: &mut Snapshot,
    client: ClientId,
    seen: Option<u64>,
) -> Result<Option<Box<Overtaken>>, StoreError> {
    let present = snapshot.newest_order(client).await?;
    match seen {
        Some(seen) if seen != present => {
            let orders = snapshot.orders_after(client, seen, MOST_TOLD).await?;
            Ok(Some(Box::new(Overtaken { present, meanwhile: told(orders) })))
        }
        _ => Ok(None),
    }
}

/// From the newest first to the oldest first.
fn told(orders: Vec<Order>) -> Vec<OrderMeanwhile> {
    orders.into_iter().rev().flat_map(of_deployments).collect()
}

fn of_deployments(order: Order) -> Vec<OrderMeanwhile> {
    let Order { operator, at, what, reason } = order;
    let (returned_to, deployments) = match what {
        Ordered::Admit { .. } => (None, Vec::new()),
        Ordered::Install { deployment } => (None, vec![(What::Ordered, deployment)]),
        Ordered::Update { deployment } => (None, vec![(What::Updated, deployment)]),
        Ordered::Remove { deployment } => (None, vec![(What::Withdrawn, deployment)]),
        Ordered::RollBack { to, installed, updated, removed } => {
            let lists =
                [(What::Ordered, installed), (What::Updated, updated), (What::Withdrawn, removed)];
            let deployments = lists
                .into_iter()
                .flat_map(|(what, list)| list.into_iter().map(move |it| (what, it)));
            (Some(to), deployments.collect())
        }
    };
    let one = |(what, deployment)| {
        let OrderedDeployment { id, name, application, version, changes } = deployment;
        OrderMeanwhile {
            at,
            by: operator.clone(),
            reason: reason.clone(),
            what,
            deployment: id,
            name,
            application,
            version,
            changes,
            returned_to,
        }
    };
    deployments.into_iter().map(one).collect()
}
