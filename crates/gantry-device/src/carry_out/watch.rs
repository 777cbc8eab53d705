//! Looks at what was made true, and what follows from it. The status follows reality: what is found out of
//! order has failed at once, and is installed again once it is in order, whether it was repaired or has
//! recovered by itself.

use std::collections::BTreeMap;

use device_providers::{Failure, Observed, code};
use uuid::Uuid;

use crate::retry;
use crate::running::{Deployment, Error, Progress, Running};
use crate::state_dir::StateError;
use crate::upkeep::Upkeep;

use super::{CarryOut, Surroundings};

/// What a look at a deployment has shown.
#[derive(Debug)]
pub(crate) enum Look {
    InOrder,
    /// What is amiss, by the places of the components.
    Amiss(BTreeMap<usize, Failure>),
    /// The engine does not answer, which says nothing about the workload.
    Unanswered(Failure),
}

/// What to do about a deployment that is out of order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Amiss {
    Repair,
    /// It has been repaired often; for so many milliseconds it is left alone.
    LeaveAlone(i64),
}

impl CarryOut<'_> {
    /// Whether a deployment is still as it was left.
    pub(crate) fn look(&self, id: Uuid, deployment: &Deployment) -> Look {
        let mut amiss = BTreeMap::new();
        for (place, component) in deployment.components.iter().enumerate() {
            let workload = self.workload(id, component);
            match self.providers.of(component.kind).and_then(|it| it.observe(&workload)) {
                Ok(Observed::Running) => {}
                Ok(Observed::Absent) => {
                    let message = "nothing of it is left on the engine".to_owned();
                    amiss.insert(place, Failure { code: crate::code::WORKLOAD_MISSING, message });
                }
                Ok(Observed::Degraded(failure)) => drop(amiss.insert(place, failure)),
                Err(failure) => return Look::Unanswered(failure),
            }
        }
        if amiss.is_empty() { Look::InOrder } else { Look::Amiss(amiss) }
    }

    /// A deployment is in order, be it that it was all the time.
    pub(crate) fn found_in_order(
        &self,
        id: Uuid,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<(), StateError> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        let (now, former) = ((self.now_ms)(), deployment.clone());
        if !deployment.awaits_repair() {
            if deployment.upkeep.is_none_or(|it| !it.is_over(now)) {
                return Ok(());
            }
            deployment.upkeep = None;
            return crate::running::save(running, self.state);
        }
        tracing::info!(deployment = deployment.name, "it is in order again");
        for component in deployment.components.iter_mut().filter(|it| it.state == Progress::Failed)
        {
            (component.state, component.error) = (Progress::Installed, None);
        }
        deployment.retry_at = 0;
        if let Some(upkeep) = &mut deployment.upkeep {
            upkeep.well_since = now;
        }
        tell(id, former, running, surroundings)
    }

    /// A deployment is out of order. That is told before anything is done about it.
    pub(crate) fn found_amiss(
        &self,
        id: Uuid,
        found: &BTreeMap<usize, Failure>,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<Amiss, StateError> {
        let now = (self.now_ms)();
        let Some(deployment) = running.get_mut(&id) else { return Ok(Amiss::LeaveAlone(0)) };
        let was_found = deployment.awaits_repair() && !is_unanswered(deployment);
        if !(was_found && is_known(deployment, found)) {
            let former = deployment.clone();
            if !was_found {
                let upkeep = Upkeep::found_again(deployment.upkeep, now);
                deployment.upkeep = Some(upkeep);
                deployment.retry_at = now + upkeep.pause_ms();
            }
            let words = deployment.upkeep.and_then(|it| it.words(now));
            let words = words.map(|it| format!("\n{it}")).unwrap_or_default();
            for (place, component) in deployment.components.iter_mut().enumerate() {
                (component.state, component.error) = match found.get(&place) {
                    None => (Progress::Installed, None),
                    Some(Failure { code, message }) => {
                        let name = &component.name;
                        tracing::warn!(
                            deployment = former.name,
                            component = name,
                            code,
                            message,
                            "out of order"
                        );
                        let message = format!("{message}{words}");
                        let error = Error { code: (*code).to_owned(), message };
                        (Progress::Failed, Some(error))
                    }
                };
            }
            tell(id, former, running, surroundings)?;
        }
        let retry_at = running.get(&id).map_or(0, |it| it.retry_at);
        Ok(match retry::is_due(retry_at, now) {
            true => Amiss::Repair,
            false => Amiss::LeaveAlone(retry_at - now),
        })
    }

    /// Nobody has been able to say for long how a deployment is. There is nothing to repair with.
    pub(crate) fn found_unanswered(
        &self,
        id: Uuid,
        failure: &Failure,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<(), StateError> {
        let Some(deployment) = running.get_mut(&id).filter(|it| !it.awaits_repair()) else {
            return Ok(());
        };
        let former = deployment.clone();
        for component in &mut deployment.components {
            let message = format!("nobody can say how it is: {failure}");
            let code = code::ENGINE_UNAVAILABLE.to_owned();
            (component.state, component.error) = (Progress::Failed, Some(Error { code, message }));
        }
        tell(id, former, running, surroundings)
    }
}

/// Whether it has failed because nobody could say how it is.
fn is_unanswered(deployment: &Deployment) -> bool {
    let mut errors = deployment.components.iter().filter_map(|it| it.error.as_ref());
    errors.any(|it| it.code == code::ENGINE_UNAVAILABLE)
}

/// Whether the same components are out of order in the same way as it was told. Words do not count: the
/// last ones of a service may be others at each look.
fn is_known(deployment: &Deployment, found: &BTreeMap<usize, Failure>) -> bool {
    let told = deployment.components.iter().enumerate();
    let told = told.filter_map(|(place, it)| Some((place, it.error.as_ref()?.code.as_str())));
    told.eq(found.iter().map(|(place, it)| (*place, it.code)))
}

/// Tells what has changed. What could not be written down has not changed: then the next look tells it.
fn tell(
    id: Uuid,
    former: Deployment,
    running: &mut Running,
    surroundings: &mut dyn Surroundings,
) -> Result<(), StateError> {
    let noted = surroundings.note(id, running);
    if noted.is_err() {
        running.insert(id, former);
    }
    noted
}
