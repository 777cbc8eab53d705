//! What an operator orders for a device: what a deployment is made of, and other content for one that is
//! there. Everything is checked before anything is remembered, and all faults are told at once.

use std::collections::BTreeMap;

use fleet_domain::client::Standing;
use fleet_domain::deployment::ReorderRefused;
use fleet_domain::desired_state::{Document, Order, Ordered, OrderedDeployment, ParameterChange};
use fleet_domain::ids::{
    ApplicationId, ApplicationVersion, ClientId, ComponentName, DeploymentId, DeploymentName,
    DeviceId, OperatorName, Sha256,
};
use fleet_store::{
    Application, AuditNote, DeploymentEntry, DeviceEntry, Event, Snapshot, StoreError,
};
use margo_contract::application_deployment::{ApplicationDeployment, SetParameter};
use margo_contract::application_description::{ApplicationDescription, Profile, Target};
use margo_contract::component::{Component, ProfileType, Source};
use margo_contract::configuration::ParameterFault;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::device_constraints::DeviceConstraints;
use margo_contract::digest::Digest;

use super::applications::description;
use super::parameters::{
    GivenValue, Values, changes, immutable_faults, json, kept, set_over, without_nulls,
};
use super::{DeploymentView, Fleet, FleetError, Overtaken, ask_to_publish, overtaken};

/// What a deployment shall be made of.
#[derive(Debug, Clone)]
pub(crate) struct NewContent {
    pub(crate) version: Option<ApplicationVersion>,
    pub(crate) parameters: BTreeMap<String, GivenValue>,
    pub(crate) reason: Option<String>,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("there is no client {0}")]
    UnknownClient(ClientId),
    #[error("the client is {}; only an approved one can get deployments", .0.name())]
    NotApproved(Standing),
    #[error("there is no application {0}; add it first")]
    UnknownApplication(String),
    #[error("there is no deployment {0}")]
    UnknownDeployment(DeploymentId),
    #[error("the client has not reported any device yet; it does when it next calls")]
    NoDevice,
    #[error("the client speaks for {0}; say which one")]
    WhichDevice(String),
    #[error("the client has no device `{0}`")]
    UnknownDevice(DeviceId),
    #[error("no profile of the application fits the device `{device}`: {why}")]
    NotEligible { device: DeviceId, why: String },
    #[error("{} of the parameters cannot be as ordered", .0.len())]
    Parameters(Vec<ParameterFault>),
    #[error("the application is on this device already, as deployment {0}; update that one")]
    ApplicationAlreadyThere(DeploymentId, Box<Overtaken>),
    #[error("the name is taken by deployment {0}; choose another one")]
    NameTaken(DeploymentId),
    #[error("the id {0} is that of another order; choose another one")]
    IdTaken(DeploymentId),
    #[error("something else was ordered meanwhile; this order changes nothing")]
    Overtaken(Box<Overtaken>),
    #[error(transparent)]
    Reorder(#[from] ReorderRefused),
    #[error("the order could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

/// Everything that a document is made from.
pub(super) struct Content<'a> {
    pub(super) application: &'a Application,
    pub(super) description: &'a ApplicationDescription,
    pub(super) profile: &'a Profile,
    pub(super) device: &'a Device,
    pub(super) values: &'a Values,
}

/// A device as its client described it.
pub(super) struct Device {
    pub(super) id: DeviceId,
    capabilities: DeviceCapabilities,
    /// The client speaks for no other one.
    is_only: bool,
}

impl Device {
    /// The device of this name among those of a client; where none is named, the only one.
    pub(super) fn among(
        devices: &[DeviceEntry],
        named: Option<&DeviceId>,
    ) -> Result<Self, OrderError> {
        let entry = match (named, devices) {
            (Some(named), devices) => devices
                .iter()
                .find(|it| it.id == *named)
                .ok_or_else(|| OrderError::UnknownDevice(named.clone()))?,
            (None, []) => return Err(OrderError::NoDevice),
            (None, [only]) => only,
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|it| it.id.as_str()).collect();
                return Err(OrderError::WhichDevice(names.join(", ")));
            }
        };
        let capabilities = DeviceCapabilities::parse(entry.capabilities.as_bytes())
            .map_err(|_| FleetError::Corrupt("report of capabilities"))?;
        Ok(Self { id: entry.id.clone(), capabilities, is_only: devices.len() == 1 })
    }

    /// Why it cannot run components of this kind and with these needs, if it cannot.
    pub(super) fn lacks(&self, kind: ProfileType, constraints: &DeviceConstraints) -> Vec<String> {
        if self.capabilities.deployment_types.contains(&kind) {
            constraints.unmet_by(&self.capabilities)
        } else {
            vec![format!("the device does not run {} components", kind.name())]
        }
    }
}

impl Fleet {
    /// Orders other content for a deployment; what is not given stays. The same content again is no
    /// change. Refused where an order is newer than the one that was seen, if one is named.
    pub(crate) async fn update(
        &self,
        operator: &OperatorName,
        id: DeploymentId,
        seen: Option<u64>,
        content: NewContent,
        now: i64,
    ) -> Result<DeploymentView, OrderError> {
        let mut transaction = self.inner.store.begin().await?;
        let entry = transaction.deployment(id).await?.ok_or(OrderError::UnknownDeployment(id))?;
        if let Some(overtaken) = overtaken::since(&mut transaction, &entry, seen).await? {
            return Err(OrderError::Overtaken(overtaken));
        }
        if !entry.deployment.is_wanted() {
            return Err(ReorderRefused::Withdrawn.into());
        }
        let installed =
            application(&mut transaction, &entry.application, Some(&entry.version)).await?;
        let installed = description(&installed)?;
        let version = content.version.as_ref().unwrap_or(&entry.version);
        let application = application(&mut transaction, &entry.application, Some(version)).await?;
        let description = description(&application)?;
        let device = device(&mut transaction, entry.client, Some(&entry.device)).await?;
        let profile = fitting_profile(&description, &device)?;
        let before = kept(&entry.parameters)?;
        let given = set_over(&before, &description, &content.parameters);
        let values = checked((&installed, &before), (&description, &given))?;
        let given = without_nulls(given);

        let made_of = Content {
            application: &application,
            description: &description,
            profile,
            device: &device,
            values: &values,
        };
        let document = self.document_of(id, &entry.name, entry.client, &made_of)?;
        let is_same = application.version == entry.version && given == before;
        if is_same && document.digest == entry.document.digest {
            return Ok(super::deployments::view(&mut transaction, entry).await?);
        }
        let mut entry = DeploymentEntry {
            version: application.version.clone(),
            parameters: json(&given),
            document,
            ordered_by: operator.clone(),
            ordered_at: now,
            ..entry
        };
        entry.deployment.reorder(components(profile))?;
        transaction.save_deployment(&entry).await?;
        let what = Ordered::Update { deployment: ordered(&entry, changes(&before, &given)) };
        let order = Order { operator: operator.clone(), at: now, what, reason: content.reason };
        let event = Event::Updated { by: operator.clone() };
        transaction.append_audit(&[noted(&entry, operator, "deployment.update", now)]).await?;
        transaction.append_order(entry.client, &order).await?;
        transaction.append_event(id, now, &event).await?;
        ask_to_publish(&mut transaction, entry.client, now).await?;
        let view = super::deployments::view(&mut transaction, entry).await?;
        self.commit(transaction).await?;
        Ok(view)
    }

    /// The document that tells the device. Its bytes are kept and served as they are, margo(AD-5, SP-9).
    pub(super) fn document_of(
        &self,
        id: DeploymentId,
        name: &DeploymentName,
        client: ClientId,
        content: &Content<'_>,
    ) -> Result<Document, FleetError> {
        let components = content.profile.components.iter().map(|component| {
            let source = match &component.source {
                Source::Package { location, key_location } => Source::Package {
                    location: self.location(location, client, content.application),
                    key_location: key_location.clone(),
                },
                elsewhere @ (Source::Registry { .. } | Source::ChartRepository { .. }) => {
                    elsewhere.clone()
                }
            };
            Component { source, ..component.clone() }
        });
        let document = ApplicationDeployment {
            id: id.as_uuid(),
            application_id: content.application.id.to_string(),
            name: name.to_string(),
            namespace: "default".to_owned(),
            // margo(D-1, DD-2, SP-54): the signed profile leaves it out where it is not in question.
            device_id: (!content.device.is_only).then(|| content.device.id.to_string()),
            kind: content.profile.kind,
            components: components.collect(),
            constraints: content.profile.constraints.clone(),
            constraints_as_written: content.profile.constraints_as_written.clone(),
            profile_extensions: content.profile.extensions.clone(),
            parameters: set_parameters(content),
        };
        let bytes = document.to_yaml()?.into_bytes();
        let digest = Sha256::from_bytes(*Digest::of(&bytes).as_bytes());
        Ok(Document { digest, bytes })
    }

    /// Where a device finds a package: here, if the application brought it along.
    fn location(&self, location: &str, client: ClientId, application: &Application) -> String {
        match application.packages.get(location) {
            Some(digest) => {
                format!("{}/api/v1/clients/{client}/packages/{digest}", self.inner.options.origin)
            }
            None => location.to_owned(),
        }
    }
}

/// Values with their targets in the chosen profile, margo(AD-3).
fn set_parameters(content: &Content<'_>) -> BTreeMap<String, SetParameter> {
    let has = |name: &String| content.profile.components.iter().any(|it| it.name == *name);
    let mut parameters = BTreeMap::new();
    for (name, value) in content.values {
        let Some(parameter) = content.description.parameters.get(name) else { continue };
        let targets: Vec<Target> = parameter
            .targets
            .iter()
            .map(|target| Target {
                pointer: target.pointer.clone(),
                components: target.components.iter().filter(|it| has(it)).cloned().collect(),
            })
            .filter(|target| !target.components.is_empty())
            .collect();
        if !targets.is_empty() {
            parameters.insert(name.clone(), SetParameter { value: value.clone(), targets });
        }
    }
    parameters
}

/// What is written down of an order.
pub(super) fn noted(
    entry: &DeploymentEntry,
    operator: &OperatorName,
    action: &str,
    at: i64,
) -> AuditNote {
    AuditNote {
        at,
        actor: operator.to_string(),
        action: action.to_owned(),
        subject: entry.deployment.id().to_string(),
        detail: format!("{} {} on {}", entry.application, entry.version, entry.device),
    }
}

/// What a deployment is called in the history.
pub(super) fn ordered(entry: &DeploymentEntry, changes: Vec<ParameterChange>) -> OrderedDeployment {
    OrderedDeployment {
        id: entry.deployment.id(),
        name: entry.name.clone(),
        application: entry.application.clone(),
        version: entry.version.clone(),
        changes,
    }
}

pub(super) async fn application(
    snapshot: &mut Snapshot,
    id: &ApplicationId,
    version: Option<&ApplicationVersion>,
) -> Result<Application, OrderError> {
    let found = match version {
        Some(version) => snapshot.application(id, version).await?,
        None => snapshot.versions(id, 1).await?.pop(),
    };
    let name = || version.map_or_else(|| id.to_string(), |version| format!("{id}@{version}"));
    found.ok_or_else(|| OrderError::UnknownApplication(name()))
}

pub(super) async fn device(
    snapshot: &mut Snapshot,
    client: ClientId,
    named: Option<&DeviceId>,
) -> Result<Device, OrderError> {
    Device::among(&snapshot.devices(client).await?, named)
}

/// The values of an update, if they may take the place of those that are there.
fn checked(
    installed: (&ApplicationDescription, &Values),
    wanted: (&ApplicationDescription, &Values),
) -> Result<Values, OrderError> {
    let mut faults = immutable_faults(installed, wanted);
    match wanted.0.effective_values(wanted.1) {
        Ok(values) if faults.is_empty() => return Ok(values),
        Ok(_) => {}
        Err(others) => faults.extend(others),
    }
    Err(OrderError::Parameters(faults))
}

/// The first profile that the device can run, margo(AP-1, AP-2, AP-5, EL-1, EL-2).
pub(super) fn fitting_profile<'a>(
    description: &'a ApplicationDescription,
    device: &Device,
) -> Result<&'a Profile, OrderError> {
    let mut why = Vec::new();
    for profile in &description.profiles {
        let unmet = device.lacks(profile.kind, &profile.constraints);
        if unmet.is_empty() {
            return Ok(profile);
        }
        why.push(format!("{}: {}", profile.id, unmet.join(", ")));
    }
    Err(OrderError::NotEligible { device: device.id.clone(), why: why.join("; ") })
}

pub(super) fn components(profile: &Profile) -> Vec<ComponentName> {
    profile.components.iter().filter_map(|it| it.name.parse().ok()).collect()
}
