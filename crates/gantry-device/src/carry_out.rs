//! Carries out a step of the plan, component by component: in order to install, in reverse to remove.
//! Each transition is noted before the next thing is done, so that a power cut loses nothing. What has
//! failed is tried again in silence: only what comes of it is told.

mod fail;
mod project;
mod remove;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use device_providers::{Failure, Providers, Workload, code};
use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::component::ProfileType;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::digest::Digest;
use uuid::Uuid;

use crate::accepted::Accepted;
use crate::package::{PackageError, Wanted};
use crate::running::{Component, Deployment, Progress, Running};
use crate::state_dir::{StateDir, StateError};

use self::project::project;
pub(crate) use self::watch::{Amiss, Look};

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
    /// For components of a kind that name no timeout.
    pub(crate) default_timeout: &'a dyn Fn(ProfileType) -> Duration,
    /// Tells the time, in milliseconds since 1970: work takes long.
    pub(crate) now_ms: &'a dyn Fn() -> i64,
}

impl CarryOut<'_> {
    /// Makes a deployment run as the accepted desired state says.
    // margo(CW-10, S-4, AD-2, W-2, P-2, V-2)
    pub(crate) fn install(
        &self,
        id: Uuid,
        accepted: &Accepted,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
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
        let former = running.get(&id).filter(|it| it.digest == *digest && !it.withdrawn).cloned();
        running.insert(id, begun(id, &document, *digest, accepted, running));
        if former.is_none() {
            surroundings.note(id, running)?;
        }
        let packages = match self.prepare(id, &document, running, surroundings) {
            Ok(packages) => packages,
            Err(NotReady::Interrupted) => return Ok(()),
            Err(NotReady::NotNow(why)) => match former {
                // Told once: it may be a long night.
                Some(former) => {
                    running.insert(id, former);
                    return Ok(());
                }
                None => {
                    tracing::info!(deployment = document.name, why, "waiting for a package");
                    return crate::running::save(running, self.state);
                }
            },
            Err(NotReady::Failed { place, failure, retry_after }) => {
                self.fail(id, place, failure, former.as_ref(), running, surroundings)?;
                return self.put_off(id, retry_after, running);
            }
        };
        self.install_components(id, &document, &packages, former.as_ref(), running, surroundings)
    }

    /// Makes sure that installing can begin. Gives the packages of all components: half an application
    /// helps nobody.
    fn prepare(
        &self,
        id: Uuid,
        document: &ApplicationDeployment,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<Vec<PathBuf>, NotReady> {
        // margo(CW-8, EL-3, EL-4)
        let unmet = document.constraints.unmet_by(self.capabilities);
        if !unmet.is_empty() {
            let message = format!("the device {}", unmet.join(", "));
            return Err(Failure { code: crate::code::NOT_ELIGIBLE, message }.into());
        }
        self.providers.of(document.kind)?;
        let wanted = Wanted::all(document).enumerate();
        let packages = wanted.map(|(place, it)| package(place, &it, surroundings));
        let packages = packages.collect::<Result<Vec<_>, _>>()?;
        self.remove_leaving(id, running)?;
        Ok(packages)
    }

    fn install_components(
        &self,
        id: Uuid,
        document: &ApplicationDeployment,
        packages: &[PathBuf],
        former: Option<&Deployment>,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<(), StateError> {
        let is_silent = former.is_some_and(Deployment::has_failed);
        if former.is_some_and(Deployment::awaits_repair)
            && let Some(upkeep) = running.get_mut(&id).and_then(|it| it.upkeep.as_mut())
        {
            upkeep.repaired = upkeep.repaired.saturating_add(1);
        }
        for (place, package) in packages.iter().enumerate() {
            set(running, id, place, Progress::Installing);
            if !is_silent {
                surroundings.note(id, running)?;
            }
            let how = how_to_install(former, place);
            match self.install_component(id, place, document, package, how, running) {
                Ok(()) => {
                    set(running, id, place, Progress::Installed);
                    let is_last = place + 1 == document.components.len();
                    if is_last && let Some(deployment) = running.get_mut(&id) {
                        (deployment.attempts, deployment.retry_at) = (0, 0);
                        if let Some(upkeep) = &mut deployment.upkeep {
                            upkeep.well_since = (self.now_ms)();
                        }
                    }
                    if is_last || !is_silent {
                        surroundings.note(id, running)?;
                    }
                }
                Err(Failure { code: code::INTERRUPTED, .. }) => return Ok(()),
                Err(failure) => {
                    return self.fail(id, place, failure, former, running, surroundings);
                }
            }
        }
        Ok(())
    }

    fn install_component(
        &self,
        id: Uuid,
        place: usize,
        document: &ApplicationDeployment,
        package: &Path,
        how: How,
        running: &Running,
    ) -> Result<(), Failure> {
        let begun = running.get(&id).and_then(|it| it.components.get(place));
        let Some((begun, component)) = begun.zip(document.components.get(place)) else {
            return Ok(());
        };
        let parameters = document.values_of(&component.name);
        let default = || (self.default_timeout)(begun.kind);
        let workload = Workload {
            package: package.to_owned(),
            parameters: parameters.into_iter().map(|(place, it)| (place, it.clone())).collect(),
            wait: component.wait,
            timeout: component.timeout.map_or_else(default, Duration::from_secs),
            ..self.workload(id, begun)
        };
        let provider = self.providers.of(begun.kind)?;
        match how {
            How::Install => provider.install(&workload),
            How::Remake => provider.remake(&workload),
        }
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
            timeout: (self.default_timeout)(component.kind),
        }
    }
}

/// How a component is made to run.
#[derive(Debug, Clone, Copy)]
enum How {
    Install,
    Remake,
}

/// What was in order once and was not put in order by one attempt is made anew by the next one.
fn how_to_install(former: Option<&Deployment>, place: usize) -> How {
    let failed = former.filter(|it| {
        it.components.get(place).is_some_and(|component| component.state == Progress::Failed)
    });
    let tries = failed.and_then(|it| Some(it.attempts.saturating_add(it.upkeep?.found)));
    match tries {
        Some(tries) if tries % 2 == 0 => How::Remake,
        _ => How::Install,
    }
}

/// Why installing cannot begin.
enum NotReady {
    /// The client is being stopped.
    Interrupted,
    /// A package can be had later; why it cannot now.
    NotNow(String),
    /// A component at this place has failed. It is tried again, but not before somebody wants it, in
    /// milliseconds.
    Failed { place: usize, failure: Failure, retry_after: i64 },
}

impl From<Failure> for NotReady {
    fn from(failure: Failure) -> Self {
        match failure.code {
            code::INTERRUPTED => Self::Interrupted,
            _ => Self::Failed { place: 0, failure, retry_after: 0 },
        }
    }
}

fn package(
    place: usize,
    wanted: &Wanted<'_>,
    surroundings: &mut dyn Surroundings,
) -> Result<PathBuf, NotReady> {
    surroundings.package(wanted).map_err(|error| match error {
        PackageError::NotNow(_) => NotReady::NotNow(crate::chain(&error)),
        _ => {
            let retry_after = error.retry_after().unwrap_or_default().as_millis();
            let retry_after = i64::try_from(retry_after).unwrap_or(i64::MAX);
            let failure = Failure { code: error.code(), message: crate::chain(&error) };
            NotReady::Failed { place, failure, retry_after }
        }
    })
}

/// A deployment at the start of its installation.
fn begun(
    id: Uuid,
    document: &ApplicationDeployment,
    digest: Digest,
    accepted: &Accepted,
    running: &Running,
) -> Deployment {
    let former = running.get(&id);
    let again = former.filter(|it| it.digest == digest && !it.withdrawn);
    let components = document.components.iter().map(|component| Component {
        name: component.name.clone(),
        kind: document.kind,
        project: project(id, document, &component.name, running),
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
        // margo(V-1, V-2, V-3)
        adopted: accepted.manifest_version,
        components,
        leaving,
        attempts: again.map_or(0, |it| it.attempts),
        retry_at: 0,
        withdrawn: false,
        upkeep: again.and_then(|it| it.upkeep),
    }
}

fn set(running: &mut Running, id: Uuid, place: usize, progress: Progress) {
    let component = running.get_mut(&id).and_then(|it| it.components.get_mut(place));
    if let Some(component) = component {
        (component.state, component.error) = (progress, None);
    }
}

#[cfg(test)]
mod tests;
