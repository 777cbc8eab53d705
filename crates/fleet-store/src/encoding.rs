//! How domain values without columns of their own are written into one: as JSON, by structs that are
//! nobody else's. What they accept must keep accepting what older versions wrote.

use std::collections::BTreeMap;

use fleet_domain::deployment::{Failure, Progress, Report};
use fleet_domain::desired_state::{Ordered, OrderedDeployment, ParameterChange};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ComponentName, DeploymentId, DeploymentName, RevisionNumber,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::columns::Columns;

pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("text, numbers and lists always become JSON")
}

pub(crate) fn from_json<T: for<'de> Deserialize<'de>>(
    row: &Columns<'_>,
    column: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(&row.text(column)?).map_err(|cause| row.corrupt(column, cause))
}

pub(crate) fn optional_report(
    row: &Columns<'_>,
    column: &'static str,
) -> Result<Option<Report>, StoreError> {
    let Some(json) = row.optional_text(column)? else { return Ok(None) };
    let stored: StoredReport =
        serde_json::from_str(&json).map_err(|cause| row.corrupt(column, cause))?;
    let components = stored.components.into_iter().map(|(name, it)| (name, it.into()));
    Report::new(stored.overall.into(), components)
        .map(Some)
        .map_err(|cause| row.corrupt(column, cause))
}

pub(crate) fn report_json(report: &Report) -> String {
    to_json(&StoredReport {
        overall: report.overall().into(),
        components: report
            .components()
            .iter()
            .map(|(name, it)| (name.clone(), it.into()))
            .collect(),
    })
}

#[derive(Serialize, Deserialize)]
struct StoredReport {
    overall: StoredProgress,
    components: BTreeMap<ComponentName, StoredProgress>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum StoredProgress {
    Pending,
    Installing,
    Installed,
    Removing,
    Removed,
    Failed { code: String, source: String, message: String },
}

impl From<&Progress> for StoredProgress {
    fn from(progress: &Progress) -> Self {
        match progress {
            Progress::Pending => Self::Pending,
            Progress::Installing => Self::Installing,
            Progress::Installed => Self::Installed,
            Progress::Removing => Self::Removing,
            Progress::Removed => Self::Removed,
            Progress::Failed(Failure { code, source, message }) => Self::Failed {
                code: code.clone(),
                source: source.clone(),
                message: message.clone(),
            },
        }
    }
}

impl From<StoredProgress> for Progress {
    fn from(stored: StoredProgress) -> Self {
        match stored {
            StoredProgress::Pending => Self::Pending,
            StoredProgress::Installing => Self::Installing,
            StoredProgress::Installed => Self::Installed,
            StoredProgress::Removing => Self::Removing,
            StoredProgress::Removed => Self::Removed,
            StoredProgress::Failed { code, source, message } => {
                Self::Failed(Failure { code, source, message })
            }
        }
    }
}

/// [`Ordered`] as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(crate) enum StoredOrdered {
    Admit { client: String },
    Install(StoredOrderedDeployment),
    Update(StoredOrderedDeployment),
    Remove(StoredOrderedDeployment),
    RollBack(StoredRollBack),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRollBack {
    to: RevisionNumber,
    installed: Vec<StoredOrderedDeployment>,
    updated: Vec<StoredOrderedDeployment>,
    removed: Vec<StoredOrderedDeployment>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredOrderedDeployment {
    id: DeploymentId,
    name: DeploymentName,
    application: ApplicationId,
    version: ApplicationVersion,
    changes: Vec<StoredChange>,
}

#[derive(Serialize, Deserialize)]
struct StoredChange {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<&Ordered> for StoredOrdered {
    fn from(ordered: &Ordered) -> Self {
        match ordered {
            Ordered::Admit { client } => Self::Admit { client: client.clone() },
            Ordered::Install { deployment } => Self::Install(deployment.into()),
            Ordered::Update { deployment } => Self::Update(deployment.into()),
            Ordered::Remove { deployment } => Self::Remove(deployment.into()),
            Ordered::RollBack { to, installed, updated, removed } => {
                let stored = |them: &[OrderedDeployment]| them.iter().map(Into::into).collect();
                Self::RollBack(StoredRollBack {
                    to: *to,
                    installed: stored(installed),
                    updated: stored(updated),
                    removed: stored(removed),
                })
            }
        }
    }
}

impl From<StoredOrdered> for Ordered {
    fn from(stored: StoredOrdered) -> Self {
        match stored {
            StoredOrdered::Admit { client } => Self::Admit { client },
            StoredOrdered::Install(it) => Self::Install { deployment: it.into() },
            StoredOrdered::Update(it) => Self::Update { deployment: it.into() },
            StoredOrdered::Remove(it) => Self::Remove { deployment: it.into() },
            StoredOrdered::RollBack(StoredRollBack { to, installed, updated, removed }) => {
                let read =
                    |them: Vec<StoredOrderedDeployment>| them.into_iter().map(Into::into).collect();
                let (installed, updated) = (read(installed), read(updated));
                Self::RollBack { to, installed, updated, removed: read(removed) }
            }
        }
    }
}

impl From<&OrderedDeployment> for StoredOrderedDeployment {
    fn from(ordered: &OrderedDeployment) -> Self {
        let changes = ordered.changes.iter().map(|change| StoredChange {
            name: change.name.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        });
        Self {
            id: ordered.id,
            name: ordered.name.clone(),
            application: ordered.application.clone(),
            version: ordered.version.clone(),
            changes: changes.collect(),
        }
    }
}

impl From<StoredOrderedDeployment> for OrderedDeployment {
    fn from(stored: StoredOrderedDeployment) -> Self {
        let changes = stored.changes.into_iter().map(|change| ParameterChange {
            name: change.name,
            before: change.before,
            after: change.after,
        });
        Self {
            id: stored.id,
            name: stored.name,
            application: stored.application,
            version: stored.version,
            changes: changes.collect(),
        }
    }
}
