//! Rolling back: a client shall run again what one of its revisions carried. Each of its deployments gets
//! back the document, version and values of then, or is withdrawn; all in one transaction or nothing.
//!
//! No two deployments get in each other's way: what one revision carried had names and places of its own,
//! and everything else is withdrawn first. Nor is a value that may not change a reason to refuse
//!, margo(CF-8): it is a return to what was.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::client::Standing;
use fleet_domain::desired_state::{Order, Ordered, OrderedDeployment};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ClientId, ComponentName, DeploymentId, DeploymentName,
    OperatorName, RevisionNumber,
};
use fleet_store::{
    Application, DeploymentEntry, Event, RevisedDeployment, Snapshot, StoreError, Transaction,
};
use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::component::Source;

use super::deployments::{let_go, view};
use super::order::{device, ordered};
use super::parameters::{Values, changes, kept};
use super::{
    DeploymentView, Fleet, FleetError, OrderError, Overtaken, ask_to_publish, audit, overtaken,
};

/// The content of this revision shall be the client's again.
#[derive(Debug, Clone)]
pub(crate) struct NewRollback {
    pub(crate) to: RevisionNumber,
    pub(crate) reason: String,
    /// The client's newest order, as far as the operator has seen; refused where there is a newer one.
    pub(crate) seen: Option<u64>,
    /// Only find out what would change.
    pub(crate) dry_run: bool,
}

/// What a rollback has changed, or would change.
pub(crate) struct Rollback {
    /// By name.
    pub(crate) differences: Vec<Difference>,
    /// The deployments that it changed, as they are now. None where it changed nothing.
    pub(crate) deployments: Vec<DeploymentView>,
    /// The number of the client's newest order, this one included.
    pub(crate) newest_order: u64,
}

/// A deployment before and after; nothing where it is not wanted.
pub(crate) struct Difference {
    pub(crate) before: Option<RevisedDeployment>,
    pub(crate) after: Option<RevisedDeployment>,
}

/// Why nothing was rolled back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RollbackError {
    #[error("there is no such client")]
    UnknownClient,
    #[error("the client has no such revision")]
    UnknownRevision,
    #[error("the client is {}; only an approved one can be rolled back", .0.name())]
    NotApproved(Standing),
    #[error(
        "{name} was made of {application} {version}, which is no longer in the catalogue; add that package again"
    )]
    ApplicationGone {
        name: DeploymentName,
        application: ApplicationId,
        version: ApplicationVersion,
    },
    #[error(
        "{name} was made of another {application} {version} than the one in the catalogue; its package {digest} is gone"
    )]
    PackageGone {
        name: DeploymentName,
        application: ApplicationId,
        version: ApplicationVersion,
        digest: String,
    },
    #[error("{name} cannot run on its device again: {why}")]
    Device { name: DeploymentName, why: String },
    #[error("something else was ordered meanwhile; nothing is rolled back")]
    Overtaken(Box<Overtaken>),
    #[error("the rollback could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for RollbackError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

/// What has to be done.
#[derive(Default)]
struct Plan {
    withdrawals: Vec<DeploymentEntry>,
    returns: Vec<Return>,
}

/// A deployment that shall be what it was.
struct Return {
    entry: DeploymentEntry,
    was: RevisedDeployment,
    components: Vec<ComponentName>,
}

impl Fleet {
    /// Orders for a client what one of its revisions carried. What it is to run already is no change.
    pub(crate) async fn roll_back(
        &self,
        operator: &OperatorName,
        client: ClientId,
        rollback: NewRollback,
        now: i64,
    ) -> Result<Rollback, RollbackError> {
        let NewRollback { to, reason, seen, dry_run } = rollback;
        let mut transaction = self.inner.store.begin().await?;
        let standing = transaction.client(client).await?.map(|it| it.client.standing);
        match standing.ok_or(RollbackError::UnknownClient)? {
            Standing::Approved => {}
            other => return Err(RollbackError::NotApproved(other)),
        }
        if let Some(overtaken) = overtaken::since_order(&mut transaction, client, seen).await? {
            return Err(RollbackError::Overtaken(overtaken));
        }
        let plan = plan(&mut transaction, client, to).await?;
        let differences = plan.differences();
        if dry_run || differences.is_empty() {
            let newest_order = transaction.newest_order(client).await?;
            return Ok(Rollback { differences, deployments: Vec::new(), newest_order });
        }
        let what = plan.ordered(to)?;
        let detail = format!("to revision {to}: {reason}");
        let order = Order { operator: operator.clone(), at: now, what, reason: Some(reason) };
        let entries = carry_out(&mut transaction, plan, operator, now).await?;
        audit(&mut transaction, now, operator, "client.roll-back", client, detail).await?;
        transaction.append_order(client, &order).await?;
        ask_to_publish(&mut transaction, client, now).await?;
        let mut deployments = Vec::new();
        for entry in entries {
            deployments.push(view(&mut transaction, entry).await?);
        }
        let newest_order = transaction.newest_order(client).await?;
        self.commit(transaction).await?;
        tracing::info!(%client, %operator, revision = %to, "an operator rolls back");
        Ok(Rollback { differences, deployments, newest_order })
    }
}

/// Compares what is wanted, published or not, with what the revision carried.
async fn plan(
    snapshot: &mut Snapshot,
    client: ClientId,
    to: RevisionNumber,
) -> Result<Plan, RollbackError> {
    snapshot.revision(client, to).await?.ok_or(RollbackError::UnknownRevision)?;
    let revised = snapshot.revised_deployments(client, to).await?;
    let mut revised: BTreeMap<DeploymentId, RevisedDeployment> =
        revised.into_iter().map(|it| (it.id, it)).collect();
    let wanted =
        snapshot.desired_states(&[client]).await?.remove(&client).unwrap_or_default().documents;
    let ids: BTreeSet<DeploymentId> = wanted.keys().chain(revised.keys()).copied().collect();
    let mut plan = Plan::default();
    for id in ids {
        let entry = snapshot.deployment(id).await?;
        let entry = entry.ok_or(FleetError::Corrupt("deployment of a revision"))?;
        match revised.remove(&id) {
            None => plan.withdrawals.push(entry),
            // What the device is told is the same, whatever version and values it came of since.
            Some(was) if wanted.get(&id) == Some(&was.document) => {}
            Some(was) => plan.returns.push(possible(snapshot, entry, was).await?),
        }
    }
    Ok(plan)
}

/// Checks that a deployment can be what it was: a device could not fetch a package that is gone.
async fn possible(
    snapshot: &mut Snapshot,
    entry: DeploymentEntry,
    was: RevisedDeployment,
) -> Result<Return, RollbackError> {
    let RevisedDeployment { name, application, version, .. } = was.clone();
    let document = ApplicationDeployment::parse(&was.document.bytes)
        .map_err(|_| FleetError::Corrupt("document of a deployment"))?;
    let Some(catalogued) = snapshot.application(&application, &version).await? else {
        return Err(RollbackError::ApplicationGone { name, application, version });
    };
    if let Some(digest) = missing_package(&document, entry.client, &catalogued) {
        return Err(RollbackError::PackageGone { name, application, version, digest });
    }
    let device = device(snapshot, entry.client, Some(&entry.device)).await;
    let device = device.map_err(|error| match error {
        OrderError::Fleet(error) => RollbackError::Fleet(error),
        other => RollbackError::Device { name: name.clone(), why: other.to_string() },
    })?;
    let lacks = device.lacks(document.kind, &document.constraints);
    if !lacks.is_empty() {
        return Err(RollbackError::Device { name, why: lacks.join(", ") });
    }
    let components = document.components.iter().filter_map(|it| it.name.parse().ok());
    Ok(Return { entry, was, components: components.collect() })
}

/// A package that the document says is kept here, and that the application does not have.
fn missing_package(
    document: &ApplicationDeployment,
    client: ClientId,
    application: &Application,
) -> Option<String> {
    let kept_here = format!("/api/v1/clients/{client}/packages/");
    let digests = document.components.iter().filter_map(|component| match &component.source {
        Source::Package { location, .. } => location.split_once(&kept_here).map(|(_, it)| it),
        Source::Registry { .. } | Source::ChartRepository { .. } => None,
    });
    let has = |digest: &str| application.packages.values().any(|it| it.to_string() == digest);
    digests.filter(|digest| !has(digest)).map(str::to_owned).next()
}

/// What is wanted of a deployment now, if it is wanted.
fn wanted_as(entry: &DeploymentEntry) -> Option<RevisedDeployment> {
    entry.deployment.is_wanted().then(|| RevisedDeployment::from(entry))
}

impl Plan {
    fn differences(&self) -> Vec<Difference> {
        let withdrawals =
            self.withdrawals.iter().map(|it| Difference { before: wanted_as(it), after: None });
        let returns = self
            .returns
            .iter()
            .map(|it| Difference { before: wanted_as(&it.entry), after: Some(it.was.clone()) });
        let mut differences: Vec<Difference> = withdrawals.chain(returns).collect();
        differences.sort_by_cached_key(|it| {
            it.after.as_ref().or(it.before.as_ref()).map(|it| it.name.clone())
        });
        differences
    }

    /// What the history tells of it.
    fn ordered(&self, to: RevisionNumber) -> Result<Ordered, FleetError> {
        let (mut installed, mut updated) = (Vec::new(), Vec::new());
        for Return { entry, was, .. } in &self.returns {
            let (list, before) = match entry.deployment.is_wanted() {
                true => (&mut updated, kept(&entry.parameters)?),
                false => (&mut installed, Values::new()),
            };
            list.push(OrderedDeployment {
                version: was.version.clone(),
                ..ordered(entry, changes(&before, &kept(&was.parameters)?))
            });
        }
        let removed = self.withdrawals.iter().map(|it| ordered(it, Vec::new())).collect();
        Ok(Ordered::RollBack { to, installed, updated, removed })
    }
}

/// Withdraws first: that makes room for names and applications that come back.
async fn carry_out(
    transaction: &mut Transaction,
    plan: Plan,
    operator: &OperatorName,
    now: i64,
) -> Result<Vec<DeploymentEntry>, RollbackError> {
    let mut entries = Vec::new();
    for mut entry in plan.withdrawals {
        let_go(transaction, &mut entry, operator, now).await?;
        entries.push(entry);
    }
    for Return { mut entry, was, components } in plan.returns {
        let by = operator.clone();
        let event = match entry.deployment.is_wanted() {
            true => Event::Updated { by },
            false => Event::Ordered { by },
        };
        let nothing = |_| FleetError::Corrupt("document without components");
        entry.deployment.return_to(components).map_err(nothing)?;
        let entry = DeploymentEntry {
            version: was.version,
            parameters: was.parameters,
            document: was.document,
            ordered_by: operator.clone(),
            ordered_at: now,
            ..entry
        };
        transaction.save_deployment(&entry).await?;
        transaction.append_event(entry.deployment.id(), now, &event).await?;
        entries.push(entry);
    }
    Ok(entries)
}
