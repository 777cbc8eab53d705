//! Carries out a step of the plan, component by component: in order to install, in reverse to remove.
//! Each transition is noted before the next thing is done, so that a power cut loses nothing.

use std::path::PathBuf;
use std::time::Duration;

use device_providers::{Failure, Observed, Providers, Workload, code};
use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::component::Component as Ordered;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::digest::Digest;
use uuid::Uuid;

use crate::accepted::Accepted;
use crate::package::{PackageError, Wanted};
use crate::running::{Component, Deployment, Error, Progress, Running};
use crate::state_dir::{StateDir, StateError};

/// The longest pause before failed work is tried again.
pub(crate) const LONGEST_RETRY_MS: i64 = 10 * 60 * 1000;
/// How long the host of a package may ask to be left alone.
const LONGEST_PAUSE_MS: i64 = 60 * 60 * 1000;
const FIRST_RETRY_MS: i64 = 5 * 1000;
/// Compose allows 63 characters; the specification cuts release names at 53 (contract X-22).
const LONGEST_PROJECT: usize = 53;

/// What carrying out needs of the rest of the client.
pub(crate) trait Surroundings {
    /// The file of a component's package.
    fn package(&mut self, wanted: &Wanted<'_>) -> Result<PathBuf, PackageError>;

    /// Makes a transition durable and, if it may talk, tells the fleet manager.
    fn note(&mut self, id: Uuid, running: &Running) -> Result<(), StateError>;
}

/// Carries out steps with the providers of the device.
pub(crate) struct CarryOut<'a> {
    pub(crate) state: &'a StateDir,
    pub(crate) providers: &'a Providers,
    pub(crate) capabilities: &'a DeviceCapabilities,
    pub(crate) default_timeout: Duration,
}

impl CarryOut<'_> {
    /// Makes a deployment run as the accepted desired state says.
    pub(crate) fn install(
        &self,
        id: Uuid,
        accepted: &Accepted,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
        now_ms: i64,
    ) -> Result<(), StateError> {
        let Some(digest) = accepted.deployments.get(&id) else { return Ok(()) };
        let document = match accepted.document(&id, self.state) {
            Ok(document) => document,
            Err(error) => {
                // It was checked when it was accepted, so the disk has lost it. The next revision or
                // a repeated fetch brings it back.
                tracing::error!(deployment = %id, error = crate::chain(&error), "cannot read a document");
                return Ok(());
            }
        };
        let former = running.insert(id, begun(&document, *digest, accepted, running.get(&id)));
        if former.as_ref().is_none_or(|it| it.digest != *digest) {
            surroundings.note(id, running)?;
        }
        let unmet = document.constraints.unmet_by(self.capabilities);
        if !unmet.is_empty() {
            let failure = (crate::code::NOT_ELIGIBLE, format!("the device {}", unmet.join(", ")));
            return fail(id, 0, failure, running, surroundings, now_ms);
        }
        if let Err(Failure { code, message }) = self.providers.of(document.kind) {
            return fail(id, 0, (code, message), running, surroundings, now_ms);
        }
        // All packages before anything is started: half an application helps nobody.
        let mut archives = Vec::new();
        for (place, wanted) in Wanted::all(&document).enumerate() {
            match archive(&wanted, surroundings) {
                Ok(archive) => archives.push(archive),
                Err(NoArchive::NotNow(why)) => {
                    // Told once: it may be a long night.
                    if former.as_ref().is_none_or(|it| it.digest != *digest) {
                        tracing::info!(deployment = document.name, why, "waiting for a package");
                    }
                    return crate::running::save(running, self.state);
                }
                Err(NoArchive::Failed { code, why, retry_after }) => {
                    let not_before = now_ms.saturating_add(retry_after);
                    if let Some(deployment) = running.get_mut(&id) {
                        deployment.retry_at = not_before;
                    }
                    return fail(id, place, (code, why), running, surroundings, now_ms);
                }
            }
        }
        match self.remove_leaving(id, running) {
            Ok(()) => {}
            Err((code::INTERRUPTED, _)) => return Ok(()),
            Err(failure) => return fail(id, 0, failure, running, surroundings, now_ms),
        }
        for ((place, component), archive) in document.components.iter().enumerate().zip(archives) {
            set(running, id, place, Progress::Installing);
            surroundings.note(id, running)?;
            match self.install_component(id, place, &document, component, archive, running) {
                Ok(()) => {
                    set(running, id, place, Progress::Installed);
                    if let Some(deployment) = running.get_mut(&id)
                        && place + 1 == document.components.len()
                    {
                        (deployment.attempts, deployment.retry_at) = (0, 0);
                    }
                    surroundings.note(id, running)?;
                }
                Err((code::INTERRUPTED, _)) => return Ok(()),
                Err(failure) => return fail(id, place, failure, running, surroundings, now_ms),
            }
        }
        Ok(())
    }

    fn install_component(
        &self,
        id: Uuid,
        place: usize,
        document: &ApplicationDeployment,
        component: &Ordered,
        package: PathBuf,
        running: &Running,
    ) -> Result<(), (&'static str, String)> {
        let Some(begun) = running.get(&id).and_then(|it| it.components.get(place)) else {
            return Ok(());
        };
        let parameters = document.values_of(&component.name);
        let workload = Workload {
            package,
            parameters: parameters.into_iter().map(|(place, it)| (place, it.clone())).collect(),
            wait: component.wait,
            timeout: component.timeout.map_or(self.default_timeout, Duration::from_secs),
            ..self.workload(id, begun)
        };
        let installed = self.providers.of(begun.kind).and_then(|it| it.install(&workload));
        installed.map_err(|Failure { code, message }| (code, message))
    }

    /// Components that the new content no longer has go before it comes. They are on disk until they are
    /// gone: a failure or a power cut must not leave them behind for ever.
    fn remove_leaving(
        &self,
        id: Uuid,
        running: &mut Running,
    ) -> Result<(), (&'static str, String)> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        while let Some(component) = deployment.leaving.last() {
            self.remove_component(id, component)
                .map_err(|Failure { code, message }| (code, message))?;
            deployment.leaving.pop();
        }
        Ok(())
    }

    /// Removes a deployment that is no longer desired.
    pub(crate) fn remove(
        &self,
        id: Uuid,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
        now_ms: i64,
    ) -> Result<(), StateError> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        if deployment.overall() != margo_contract::deployment_status::State::Removed {
            let mut is_news = false;
            for component in &mut deployment.components {
                if !matches!(component.state, Progress::Removing | Progress::Removed) {
                    (component.state, component.error) = (Progress::Removing, None);
                    is_news = true;
                }
            }
            let components = deployment.components.clone();
            // Once only: after a power cut the fleet manager may know already that it is gone.
            if is_news {
                surroundings.note(id, running)?;
            }
            for (place, component) in components.iter().enumerate().rev() {
                match self.remove_component(id, component) {
                    Ok(()) => set(running, id, place, Progress::Removed),
                    Err(Failure { code: code::INTERRUPTED, .. }) => return Ok(()),
                    Err(Failure { code, message }) => {
                        return fail(id, place, (code, message), running, surroundings, now_ms);
                    }
                }
            }
            match self.remove_leaving(id, running) {
                Ok(()) => {}
                Err((code::INTERRUPTED, _)) => return Ok(()),
                Err(failure) => return fail(id, 0, failure, running, surroundings, now_ms),
            }
            // Its last word is in the journal before the deployment is forgotten.
            surroundings.note(id, running)?;
        }
        // What workloads have left there is data, and stays.
        self.state.remove_if_empty(&format!("workloads/{id}"))?;
        running.remove(&id);
        crate::running::save(running, self.state)
    }

    /// Whether a deployment is still as it was left; what is amiss otherwise.
    pub(crate) fn inspect(&self, id: Uuid, deployment: &Deployment) -> Option<String> {
        for component in &deployment.components {
            let workload = self.workload(id, component);
            match self.providers.of(component.kind).and_then(|it| it.observe(&workload)) {
                Ok(Observed::Running) => {}
                Ok(Observed::Absent) => return Some(format!("{} is gone", component.name)),
                Ok(Observed::Degraded(failure)) => {
                    return Some(format!("{}: {failure}", component.name));
                }
                // An engine that does not answer says nothing about the workload.
                Err(error) => {
                    tracing::warn!(component = component.name, %error, "cannot be looked at");
                }
            }
        }
        None
    }

    fn remove_component(&self, id: Uuid, component: &Component) -> Result<(), Failure> {
        self.providers.of(component.kind)?.remove(&self.workload(id, component))
    }

    fn workload(&self, id: Uuid, component: &Component) -> Workload {
        Workload {
            name: component.project.clone(),
            namespace: component.namespace.clone(),
            component: component.name.clone(),
            directory: self.state.join(&format!("workloads/{id}/{}", component.name)),
            package: PathBuf::new(),
            parameters: std::collections::BTreeMap::new(),
            wait: true,
            timeout: self.default_timeout,
        }
    }
}

/// Why there is no package to install from.
enum NoArchive {
    /// It can be had later; why it cannot now.
    NotNow(String),
    /// It is tried again, but not before its host wants it, in milliseconds.
    Failed { code: &'static str, why: String, retry_after: i64 },
}

fn archive(wanted: &Wanted<'_>, surroundings: &mut dyn Surroundings) -> Result<PathBuf, NoArchive> {
    surroundings.package(wanted).map_err(|error| match error {
        PackageError::NotNow(_) => NoArchive::NotNow(crate::chain(&error)),
        _ => {
            let retry_after = error.retry_after().unwrap_or_default().as_millis();
            let retry_after = i64::try_from(retry_after).unwrap_or(i64::MAX).min(LONGEST_PAUSE_MS);
            NoArchive::Failed { code: error.code(), why: crate::chain(&error), retry_after }
        }
    })
}

/// A deployment at the start of its installation.
fn begun(
    document: &ApplicationDeployment,
    digest: Digest,
    accepted: &Accepted,
    former: Option<&Deployment>,
) -> Deployment {
    let again = former.filter(|it| it.digest == digest);
    let components = document.components.iter().map(|component| Component {
        name: component.name.clone(),
        kind: document.kind,
        project: project(document, &component.name),
        namespace: document.namespace.clone(),
        state: Progress::Pending,
        error: None,
    });
    let components: Vec<Component> = components.collect();
    let is_leaving = |it: &&Component| components.iter().all(|new| !new.is_same_workload(it));
    let before = former.into_iter().flat_map(|it| it.leaving.iter().chain(&it.components));
    let leaving = before.filter(is_leaving).cloned().collect();
    Deployment {
        name: document.name.clone(),
        digest,
        adopted: accepted.manifest_version,
        components,
        leaving,
        attempts: again.map_or(0, |it| it.attempts),
        retry_at: 0,
    }
}

/// What a component is called on the engine: names cut short get a part of the deployment's id.
fn project(document: &ApplicationDeployment, component: &str) -> String {
    let name: String = format!("{}-{component}", document.name)
        .to_ascii_lowercase()
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || "_-".contains(it) { it } else { '-' })
        .collect();
    let name = name.trim_start_matches(['-', '_']);
    if !name.is_empty() && name.len() <= LONGEST_PROJECT {
        return name.to_owned();
    }
    let hash = Digest::of(format!("{}/{component}", document.id).as_bytes()).to_string();
    let hash = &hash["sha256:".len()..][..8];
    let cut: String = name.chars().take(LONGEST_PROJECT - 10).collect();
    format!("w{cut}-{hash}")
}

fn set(running: &mut Running, id: Uuid, place: usize, progress: Progress) {
    let component = running.get_mut(&id).and_then(|it| it.components.get_mut(place));
    if let Some(component) = component {
        (component.state, component.error) = (progress, None);
    }
}

fn fail(
    id: Uuid,
    place: usize,
    (code, message): (&str, String),
    running: &mut Running,
    surroundings: &mut dyn Surroundings,
    now_ms: i64,
) -> Result<(), StateError> {
    if let Some(deployment) = running.get_mut(&id) {
        let doublings = deployment.attempts.min(16);
        deployment.attempts = deployment.attempts.saturating_add(1);
        let retry_at = now_ms + (FIRST_RETRY_MS << doublings).min(LONGEST_RETRY_MS);
        deployment.retry_at = deployment.retry_at.max(retry_at);
        tracing::warn!(deployment = deployment.name, code, message, "a deployment failed");
        if let Some(component) = deployment.components.get_mut(place) {
            component.state = Progress::Failed;
            component.error = Some(Error { code: code.to_owned(), message });
        }
    }
    surroundings.note(id, running)
}

#[cfg(test)]
mod tests;
