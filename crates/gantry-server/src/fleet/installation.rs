//! Ordering an application where it is not yet: on one device, or on many at once. Many share the ways to
//! the database and the wait for the disk; each is decided for itself all the same.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::client::Standing;
use fleet_domain::deployment::Deployment;
use fleet_domain::desired_state::{Order, Ordered};
use fleet_domain::ids::{
    ApplicationId, ClientId, DeploymentId, DeploymentName, DeviceId, OperatorName,
};
use fleet_store::{
    AddDeployment, Application, AuditNote, DeploymentEntry, DeviceEntry, Event, Transaction,
};
use margo_contract::application_description::ApplicationDescription;
use uuid::Uuid;

use super::applications::description;
use super::order::{
    Content, Device, NewContent, OrderError, application, components, fitting_profile, noted,
    ordered,
};
use super::parameters::{Values, changes, json, set_over, without_nulls};
use super::{DeploymentView, Fleet, FleetError, PUBLISH, overtaken};

/// So many places share a transaction. Whoever else wants to write waits for no more of them.
const TOGETHER: usize = 64;

/// An application that somebody wants.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) application: ApplicationId,
    pub(crate) name: Option<DeploymentName>,
    pub(crate) content: NewContent,
}

/// Where it is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Chosen by the caller, so that an order whose answer got lost can be sent again.
    pub(crate) id: Option<DeploymentId>,
    pub(crate) client: ClientId,
    /// Where the client speaks for one device only, that one.
    pub(crate) device: Option<DeviceId>,
}

/// What came of an order for one place: the deployment, or why nothing was ordered there.
type Outcome = Result<DeploymentEntry, OrderError>;

/// What all places get.
struct Wanted<'a> {
    application: &'a Application,
    description: &'a ApplicationDescription,
    name: DeploymentName,
    /// What the operator gave, and with it the application's own.
    given: Values,
    values: Values,
}

/// What is known of the places before anything is decided.
struct Known {
    deployments: BTreeMap<DeploymentId, DeploymentEntry>,
    standings: BTreeMap<ClientId, Standing>,
    devices: BTreeMap<ClientId, Vec<DeviceEntry>>,
}

impl Fleet {
    /// Orders an application on a device of a client.
    pub(crate) async fn order(
        &self,
        operator: &OperatorName,
        order: &NewOrder,
        place: Place,
        now: i64,
    ) -> Result<DeploymentView, OrderError> {
        let mut transaction = self.inner.store.begin().await?;
        let places = std::slice::from_ref(&place);
        let outcome = self.order_at(&mut transaction, operator, order, places, now).await?.pop();
        let entry = outcome.ok_or(FleetError::Corrupt("order for one place"))??;
        let view = super::deployments::view(&mut transaction, entry).await?;
        self.commit(transaction).await?;
        Ok(view)
    }

    /// Orders an application in many places, of which no two have the same id: what came of each, in the same
    /// order. All that is ordered is durable when this returns. Where it fails some of it may be; sent again
    /// with the same ids nothing is ordered twice.
    pub(crate) async fn order_all(
        &self,
        operator: &OperatorName,
        order: &NewOrder,
        places: &[Place],
        now: i64,
    ) -> Result<Vec<Result<DeploymentId, OrderError>>, OrderError> {
        let mut outcomes = Vec::with_capacity(places.len());
        for some in places.chunks(TOGETHER) {
            let mut transaction = self.inner.store.begin().await?;
            let some = self.order_at(&mut transaction, operator, order, some, now).await?;
            self.commit(transaction).await?;
            let ids = some.into_iter().map(|it| it.map(|entry| entry.deployment.id()));
            outcomes.extend(ids);
        }
        Ok(outcomes)
    }

    async fn order_at(
        &self,
        transaction: &mut Transaction,
        operator: &OperatorName,
        order: &NewOrder,
        places: &[Place],
        now: i64,
    ) -> Result<Vec<Outcome>, OrderError> {
        let mut known = known(transaction, places).await?;
        let is_sent_again =
            |it: &Place| it.id.is_some_and(|id| known.deployments.contains_key(&id));
        if places.iter().all(is_sent_again) {
            return Ok(places.iter().filter_map(|it| sent_again(&mut known, it, order)).collect());
        }
        let version = order.content.version.as_ref();
        let application = application(transaction, &order.application, version).await?;
        let description = description(&application)?;
        let given = set_over(&Values::new(), &description, &order.content.parameters);
        let values = description.effective_values(&given).map_err(OrderError::Parameters)?;
        let name = order.name.clone().unwrap_or_else(|| default_name(&order.application));
        let wanted = Wanted {
            application: &application,
            description: &description,
            name,
            given: without_nulls(given),
            values,
        };
        let mut decided = Vec::with_capacity(places.len());
        for place in places {
            decided.push(match sent_again(&mut known, place, order) {
                Some(outcome) => Decided::Before(outcome),
                None => match self.decide_on(&wanted, &known, place, operator, now) {
                    Ok(entry) => Decided::New(entry),
                    Err(refused) => Decided::Before(Err(refused)),
                },
            });
        }
        add(transaction, operator, &order.content, &wanted, decided, now).await
    }

    /// What a place gets, if it may get anything.
    fn decide_on(
        &self,
        wanted: &Wanted<'_>,
        known: &Known,
        place: &Place,
        operator: &OperatorName,
        now: i64,
    ) -> Result<DeploymentEntry, OrderError> {
        let standing = known.standings.get(&place.client).copied();
        match standing.ok_or(OrderError::UnknownClient(place.client))? {
            Standing::Approved => {}
            other => return Err(OrderError::NotApproved(other)),
        }
        let devices = known.devices.get(&place.client).map(Vec::as_slice).unwrap_or_default();
        let device = Device::among(devices, place.device.as_ref())?;
        let profile = fitting_profile(wanted.description, &device)?;
        let id = place.id.unwrap_or_else(|| DeploymentId::from_uuid(Uuid::new_v4()));
        let content = Content {
            application: wanted.application,
            description: wanted.description,
            profile,
            device: &device,
            values: &wanted.values,
        };
        let document = self.document_of(id, &wanted.name, place.client, &content)?;
        let deployment = Deployment::order(id, components(profile))
            .map_err(|_| FleetError::Corrupt("profile without components"))?;
        Ok(DeploymentEntry {
            deployment,
            client: place.client,
            device: device.id,
            name: wanted.name.clone(),
            application: wanted.application.id.clone(),
            version: wanted.application.version.clone(),
            parameters: json(&wanted.given),
            document,
            ordered_by: operator.clone(),
            ordered_at: now,
            heard_at: None,
        })
    }
}

/// What a place gets, and whether that is to be remembered.
enum Decided {
    Before(Outcome),
    New(DeploymentEntry),
}

async fn known(transaction: &mut Transaction, places: &[Place]) -> Result<Known, FleetError> {
    let ids: Vec<DeploymentId> = places.iter().filter_map(|it| it.id).collect();
    let clients: BTreeSet<ClientId> = places.iter().map(|it| it.client).collect();
    let clients: Vec<ClientId> = clients.into_iter().collect();
    let deployments = transaction.deployments_with_ids(&ids).await?;
    Ok(Known {
        deployments: deployments.into_iter().map(|it| (it.deployment.id(), it)).collect(),
        standings: transaction.standings(&clients).await?,
        devices: transaction.devices_of(&clients).await?,
    })
}

/// The deployment that was ordered under the same id before, if there is one.
fn sent_again(known: &mut Known, place: &Place, order: &NewOrder) -> Option<Outcome> {
    let id = place.id?;
    let entry = known.deployments.remove(&id)?;
    let is_same = entry.client == place.client && entry.application == order.application;
    Some(if is_same { Ok(entry) } else { Err(OrderError::IdTaken(id)) })
}

/// Remembers what is new, with its order, its place in the history and the job that publishes it.
async fn add(
    transaction: &mut Transaction,
    operator: &OperatorName,
    content: &NewContent,
    wanted: &Wanted<'_>,
    decided: Vec<Decided>,
    now: i64,
) -> Result<Vec<Outcome>, OrderError> {
    let new = decided.iter().filter_map(|it| match it {
        Decided::New(entry) => Some(entry.clone()),
        Decided::Before(_) => None,
    });
    let new: Vec<DeploymentEntry> = new.collect();
    let mut added = transaction.add_deployments(&new).await?.into_iter();
    let mut outcomes = Vec::with_capacity(decided.len());
    let (mut notes, mut orders) = (Vec::<AuditNote>::new(), Vec::new());
    let (mut placed, mut subjects) = (Vec::new(), BTreeSet::new());
    for decided in decided {
        let entry = match decided {
            Decided::New(entry) => entry,
            Decided::Before(outcome) => {
                outcomes.push(outcome);
                continue;
            }
        };
        let outcome = added.next().ok_or(FleetError::Corrupt("answer about a new deployment"))?;
        if let Err(refused) = in_the_way(transaction, outcome).await? {
            outcomes.push(Err(refused));
            continue;
        }
        let deployment = ordered(&entry, changes(&Values::new(), &wanted.given));
        let what = Ordered::Install { deployment };
        let reason = content.reason.clone();
        notes.push(noted(&entry, operator, "deployment.order", now));
        orders.push((entry.client, Order { operator: operator.clone(), at: now, what, reason }));
        placed.push(entry.deployment.id());
        subjects.insert(entry.client.to_string());
        outcomes.push(Ok(entry));
    }
    if placed.is_empty() {
        return Ok(outcomes);
    }
    let event = Event::Ordered { by: operator.clone() };
    let events: Vec<(DeploymentId, &Event)> = placed.iter().map(|id| (*id, &event)).collect();
    let orders: Vec<(ClientId, &Order)> = orders.iter().map(|(id, order)| (*id, order)).collect();
    transaction.append_audit(&notes).await?;
    transaction.append_orders(&orders).await?;
    transaction.append_events(now, &events).await?;
    transaction.enqueue_jobs(PUBLISH, &subjects, now).await?;
    Ok(outcomes)
}

/// Why a deployment was not added, if it was not.
async fn in_the_way(
    transaction: &mut Transaction,
    outcome: AddDeployment,
) -> Result<Result<(), OrderError>, OrderError> {
    Ok(match outcome {
        AddDeployment::Added => Ok(()),
        AddDeployment::NameTaken(id) => Err(OrderError::NameTaken(id)),
        AddDeployment::ApplicationAlreadyThere(id) => {
            let there = transaction.deployment(id).await?;
            let there = there.ok_or(FleetError::Corrupt("deployment of an application"))?;
            let newest = overtaken::newest(transaction, &there, 1).await?;
            Err(OrderError::ApplicationAlreadyThere(id, Box::new(newest)))
        }
    })
}

fn default_name(application: &ApplicationId) -> DeploymentName {
    let cut: String = application.as_str().trim_matches('-').chars().take(63).collect();
    let cut = cut.trim_matches('-');
    let name = if cut.is_empty() { "application" } else { cut };
    name.parse().expect("an application id without dashes at its ends is a name")
}
