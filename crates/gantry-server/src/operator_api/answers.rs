//! Domain values as operators read them.

use fleet_domain::client::Standing;
use fleet_domain::contact::{ContactStanding, Quiet};
use fleet_domain::deployment::{Deployment, Life, Progress, Report};
use fleet_domain::desired_state::ParameterChange;
use fleet_domain::ids::{ClientId, RevisionNumber};
use fleet_store::{ClientEntry, DeploymentEvent, Event, RevisedDeployment};
use margo_contract::application_description::ApplicationDescription;
use operator_api as api;
use serde_json::Value;

use crate::certificate;
use crate::clock::rfc3339;
use crate::fleet::{
    ClientView, DeploymentView, KeptReport, Overtaken, RepositoryAccess, RevisionView, Rollback,
    What,
};

pub(super) fn client(view: &ClientView, now: i64) -> api::Client {
    let entry = &view.entry;
    let devices = view.devices.iter().map(|device| api::Device {
        id: device.id.to_string(),
        capabilities: serde_json::from_str(&device.capabilities).unwrap_or(Value::Null),
        reported_at: rfc3339(device.reported_at),
    });
    api::Client {
        id: entry.client.id.to_string(),
        name: entry.client.name.clone(),
        standing: match entry.client.standing {
            Standing::Waiting => api::Standing::Waiting,
            Standing::Approved => api::Standing::Approved,
            Standing::Rejected => api::Standing::Rejected,
            Standing::Revoked => api::Standing::Revoked,
        },
        certificate_fingerprint: entry.client.fingerprint.to_string(),
        certificate_expires_at: certificate::expiry(&entry.client.certificate_der).map(rfc3339),
        expected_fingerprint: entry.expected_fingerprint.map(|it| it.to_string()),
        onboarded_at: rfc3339(entry.onboarded_at),
        decided_by: entry.decision.as_ref().map(|it| it.by.to_string()),
        decided_at: entry.decision.as_ref().map(|it| rfc3339(it.at)),
        contact: contact(entry, now),
        revision: view.revision.map(RevisionNumber::get),
        security_event: entry
            .security_event
            .as_ref()
            .map(|it| api::SecurityEvent { at: rfc3339(it.at), what: it.what.clone() }),
        devices: devices.collect(),
    }
}

pub(super) fn report(kept: &KeptReport) -> api::CapabilitiesReport {
    let changes = kept.differences.iter().map(|it| api::CapabilitiesChange {
        field: it.field.clone(),
        before: it.before.clone(),
        after: it.after.clone(),
    });
    let capabilities = kept.report.capabilities.as_deref();
    api::CapabilitiesReport {
        device_id: kept.report.device.to_string(),
        at: rfc3339(kept.report.at),
        capabilities: capabilities.map(|it| serde_json::from_str(it).unwrap_or(Value::Null)),
        changes: changes.collect(),
    }
}

fn contact(entry: &ClientEntry, now: i64) -> api::Contact {
    let contact = entry.contact.as_ref();
    let said = contact.and_then(|it| it.announcement.as_ref());
    let mut seen = api::Contact {
        standing: api::ContactStanding::Unknown,
        last_contact: contact.map(|it| rfc3339(it.last)),
        next_contact: None,
        expected_by: None,
        quiet: None,
        revision_running: said.and_then(|it| it.revision).map(RevisionNumber::get),
        undelivered: said.map(|it| it.undelivered),
    };
    match ContactStanding::of(entry.client.standing, contact, now) {
        ContactStanding::Never => seen.standing = api::ContactStanding::Never,
        ContactStanding::Expected { next, by, quiet } => {
            seen.standing = api::ContactStanding::Expected;
            (seen.next_contact, seen.expected_by) = (Some(rfc3339(next)), Some(rfc3339(by)));
            seen.quiet = quiet.map(|it| match it {
                Quiet::PollingPeriod => api::Quiet::PollingPeriod,
                Quiet::Downtime => api::Quiet::Downtime,
            });
        }
        ContactStanding::Overdue { since } => {
            seen.standing = api::ContactStanding::Overdue;
            seen.expected_by = Some(rfc3339(since));
        }
        ContactStanding::Unknown => {}
    }
    seen
}

pub(super) fn repository(client: ClientId, access: &RepositoryAccess) -> api::RepositoryAccess {
    api::RepositoryAccess {
        url: access.url.clone(),
        branch: access.branch.to_owned(),
        username: client.to_string(),
        token: access.token.clone(),
        expires_at: rfc3339(access.expires_at),
        signers: access.signers.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn application_summary(it: &fleet_store::Application) -> api::ApplicationSummary {
    api::ApplicationSummary {
        id: it.id.to_string(),
        version: it.version.to_string(),
        name: it.name.clone(),
        added_at: rfc3339(it.added_at),
        added_by: it.added_by.to_string(),
    }
}

pub(super) fn application(it: &fleet_store::Application) -> api::Application {
    let summary = application_summary(it);
    // What was kept was read once before.
    let description = ApplicationDescription::parse(&it.description).ok();
    api::Application {
        id: summary.id,
        version: summary.version,
        name: summary.name,
        description: description.as_ref().and_then(|it| it.description.clone()),
        digest: it.digest.to_string(),
        added_at: summary.added_at,
        added_by: summary.added_by,
        profiles: description.as_ref().map(profiles).unwrap_or_default(),
        parameters: description.as_ref().map(parameters).unwrap_or_default(),
    }
}

fn profiles(description: &ApplicationDescription) -> Vec<api::Profile> {
    let profiles = description.profiles.iter().map(|profile| api::Profile {
        id: profile.id.clone(),
        kind: profile.kind.name().to_owned(),
        components: profile.components.iter().map(|it| it.name.clone()).collect(),
    });
    profiles.collect()
}

fn parameters(description: &ApplicationDescription) -> Vec<api::Parameter> {
    let parameters = description.parameters.iter().map(|(name, parameter)| {
        let setting = description.configuration.settings.get(name);
        api::Parameter {
            name: name.clone(),
            default: parameter.default.clone(),
            accepts: setting.map(|it| it.schema.accepts()),
            description: setting.and_then(|it| it.description.clone()),
            immutable: setting.is_some_and(|it| it.immutable),
        }
    });
    parameters.collect()
}

pub(super) fn deployment(view: &DeploymentView) -> api::Deployment {
    let entry = &view.entry;
    let (state, report) = state_of(&entry.deployment);
    let components = match report {
        Some(report) => components_of(report),
        None => entry
            .deployment
            .components()
            .iter()
            .map(|name| api::ComponentStatus { name: name.to_string(), state, error: None })
            .collect(),
    };
    api::Deployment {
        id: entry.deployment.id().to_string(),
        name: entry.name.to_string(),
        client_id: entry.client.to_string(),
        device_id: entry.device.to_string(),
        application_id: entry.application.to_string(),
        application_version: entry.version.to_string(),
        wanted: entry.deployment.is_wanted(),
        state,
        error: report.and_then(|it| error_of(it.overall())),
        components,
        parameters: view.parameters.clone(),
        revision: entry.deployment.published().map(RevisionNumber::get),
        ordered_by: entry.ordered_by.to_string(),
        ordered_at: rfc3339(entry.ordered_at),
        heard_at: entry.heard_at.map(rfc3339),
        ordered_event: view.ordered_event,
    }
}

/// The state, and the report that says so. What was said about former content is not shown as the
/// state of the newest order.
fn state_of(deployment: &Deployment) -> (api::State, Option<&Report>) {
    match deployment.life() {
        Life::Ordered { .. } => (api::State::Ordered, None),
        Life::Known(report) => (state(report.overall()), Some(report)),
        Life::Withdrawn(report) => match report {
            Some(report)
                if matches!(report.overall(), Progress::Removing | Progress::Failed(_)) =>
            {
                (state(report.overall()), Some(report))
            }
            // Wanted gone, and the device has not taken it up yet.
            Some(_) | None => (api::State::Removing, None),
        },
        Life::Gone => (api::State::Removed, None),
    }
}

pub(super) fn event(it: &DeploymentEvent) -> api::DeploymentEvent {
    let mut event = api::DeploymentEvent {
        sequence: it.sequence,
        at: rfc3339(it.at),
        what: api::EventKind::Reported,
        state: api::State::Ordered,
        revision: None,
        components: Vec::new(),
        error: None,
        by: None,
    };
    match &it.event {
        Event::Ordered { by } => {
            (event.what, event.by) = (api::EventKind::Ordered, Some(by.to_string()));
        }
        Event::Updated { by } => {
            (event.what, event.by) = (api::EventKind::Updated, Some(by.to_string()));
        }
        Event::Withdrawn { by } => {
            (event.what, event.by) = (api::EventKind::Withdrawn, Some(by.to_string()));
            event.state = api::State::Removing;
        }
        Event::Published { revision } => {
            (event.what, event.revision) = (api::EventKind::Published, Some(revision.get()));
        }
        Event::Forgotten => {
            (event.what, event.state) = (api::EventKind::Forgotten, api::State::Removed);
        }
        Event::Reported(report) => {
            event.state = state(report.overall());
            event.components = components_of(report);
            event.error = error_of(report.overall());
        }
    }
    event
}

pub(super) fn revision_summary(it: &fleet_store::Revision) -> api::RevisionSummary {
    api::RevisionSummary {
        number: it.number.get(),
        commit: it.commit.to_string(),
        published_at: rfc3339(it.published_at),
        subject: it.message.lines().next().unwrap_or_default().to_owned(),
        manifest_digest: it.manifest_digest.to_string(),
    }
}

pub(super) fn revision(view: &RevisionView) -> api::Revision {
    api::Revision {
        summary: revision_summary(&view.revision),
        message: view.revision.message.clone(),
        manifest: serde_json::from_slice(&view.revision.manifest).unwrap_or(Value::Null),
        documents: view.deployments.iter().map(document).collect(),
    }
}

pub(super) fn conflict(overtaken: &Overtaken) -> api::Conflict {
    let meanwhile = overtaken.meanwhile.iter().map(|it| api::OrderMeanwhile {
        at: rfc3339(it.at),
        by: it.by.to_string(),
        reason: it.reason.clone(),
        what: match it.what {
            What::Ordered => api::EventKind::Ordered,
            What::Updated => api::EventKind::Updated,
            What::Withdrawn => api::EventKind::Withdrawn,
        },
        deployment_id: it.deployment.to_string(),
        name: it.name.to_string(),
        application_id: it.application.to_string(),
        application_version: it.version.to_string(),
        parameters: it.changes.iter().map(parameter_text).collect(),
        rolled_back_to: it.returned_to.map(RevisionNumber::get),
    });
    api::Conflict { present: overtaken.present, meanwhile: meanwhile.collect() }
}

fn parameter_text(change: &ParameterChange) -> api::ParameterText {
    let ParameterChange { name, before, after } = change.clone();
    api::ParameterText { name, before, after }
}

pub(super) fn changes(rollback: &Rollback) -> Vec<api::DeploymentChange> {
    let changes = rollback.differences.iter().filter_map(|it| {
        let [before, after] = [&it.before, &it.after].map(|it| it.as_ref().map(document));
        api::DeploymentChange::between(before.as_ref(), after.as_ref())
    });
    changes.collect()
}

fn document(it: &RevisedDeployment) -> api::RevisionDocument {
    api::RevisionDocument {
        deployment_id: it.id.to_string(),
        name: it.name.to_string(),
        application_id: it.application.to_string(),
        application_version: it.version.to_string(),
        // What was kept was written by this server.
        parameters: serde_json::from_str(&it.parameters).unwrap_or_default(),
        digest: it.document.digest.to_string(),
        yaml: String::from_utf8_lossy(&it.document.bytes).into_owned(),
    }
}

fn components_of(report: &Report) -> Vec<api::ComponentStatus> {
    let components = report.components().iter().map(|(name, progress)| api::ComponentStatus {
        name: name.to_string(),
        state: state(progress),
        error: error_of(progress),
    });
    components.collect()
}

fn state(progress: &Progress) -> api::State {
    match progress {
        Progress::Pending => api::State::Pending,
        Progress::Installing => api::State::Installing,
        Progress::Installed => api::State::Installed,
        Progress::Removing => api::State::Removing,
        Progress::Removed => api::State::Removed,
        Progress::Failed(_) => api::State::Failed,
    }
}

fn error_of(progress: &Progress) -> Option<api::StatusError> {
    let failure = progress.failure()?;
    Some(api::StatusError {
        code: failure.code.clone(),
        source: failure.source.clone(),
        message: failure.message.clone(),
    })
}
