//! Removes what is no longer desired: whole deployments, and components that new content no longer has.

use device_providers::{Failure, code};
use margo_contract::deployment_status::State;
use uuid::Uuid;

use crate::running::{Component, Progress, Running};
use crate::state_dir::StateError;

use super::{CarryOut, Surroundings, set};

impl CarryOut<'_> {
    /// Removes a deployment that is no longer desired.
    // margo(CW-9, CW-10, V-6, X-39)
    pub(crate) fn remove(
        &self,
        id: Uuid,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<(), StateError> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        if deployment.overall() != State::Removed {
            let former = deployment.withdrawn.then(|| deployment.clone());
            // Once only: after a power cut the fleet manager may know already that it is gone.
            let is_news = !deployment.withdrawn && deployment.overall() != State::Removing;
            if !deployment.withdrawn {
                (deployment.withdrawn, deployment.attempts, deployment.retry_at) = (true, 0, 0);
            }
            for component in &mut deployment.components {
                if component.state != Progress::Removed {
                    (component.state, component.error) = (Progress::Removing, None);
                }
            }
            let components = deployment.components.clone();
            if is_news {
                surroundings.note(id, running)?;
            }
            for (place, component) in components.iter().enumerate().rev() {
                match self.remove_component(id, component) {
                    Ok(()) => set(running, id, place, Progress::Removed),
                    Err(Failure { code: code::INTERRUPTED, .. }) => return Ok(()),
                    Err(failure) => {
                        let former = former.as_ref();
                        return self.fail(id, place, failure, former, running, surroundings);
                    }
                }
            }
            match self.remove_leaving(id, running) {
                Ok(()) => {}
                Err(Failure { code: code::INTERRUPTED, .. }) => return Ok(()),
                Err(failure) => {
                    return self.fail(id, 0, failure, former.as_ref(), running, surroundings);
                }
            }
            // Its last word is in the journal before the deployment is forgotten.
            surroundings.note(id, running)?;
        }
        // What workloads have left there is data, and stays.
        self.state.remove_if_empty(&format!("workloads/{id}"))?;
        running.remove(&id);
        crate::running::save(running, self.state)
    }

    fn remove_component(&self, id: Uuid, component: &Component) -> Result<(), Failure> {
        self.providers.of(component.kind)?.remove(&self.workload(id, component))
    }

    /// Components that the new content no longer has go before it comes. They are on disk until they are
    /// gone: a failure or a power cut must not leave them behind for ever.
    pub(super) fn remove_leaving(&self, id: Uuid, running: &mut Running) -> Result<(), Failure> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        while let Some(component) = deployment.leaving.last() {
            self.remove_component(id, component)?;
            deployment.leaving.pop();
        }
        Ok(())
    }
}
