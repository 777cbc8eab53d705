//! What follows from an attempt that has failed: it is tried again later, and told if that is news.

use device_providers::Failure;
use uuid::Uuid;

use crate::retry;
use crate::running::{Deployment, Error, Progress, Running};
use crate::state_dir::StateError;

use super::{CarryOut, Surroundings};

impl CarryOut<'_> {
    /// Notes why an attempt has failed; `former` is how the deployment was before it. The same failure
    /// again is no news. In other words it is now and then, less and less: words may be different each
    /// time, as those that a service prints before it ends.
    pub(super) fn fail(
        &self,
        id: Uuid,
        place: usize,
        Failure { code, message }: Failure,
        former: Option<&Deployment>,
        running: &mut Running,
        surroundings: &mut dyn Surroundings,
    ) -> Result<(), StateError> {
        let Some(deployment) = running.get_mut(&id) else { return Ok(()) };
        deployment.attempts = deployment.attempts.saturating_add(1);
        deployment.retry_at = (self.now_ms)() + retry::pause_ms(deployment.attempts, code);
        let told = former.filter(|it| it.has_failed()).and_then(|it| it.components.get(place));
        let told = told.and_then(|it| it.error.as_ref()).filter(|it| it.code == code);
        let is_news = told
            .is_none_or(|told| told.message != message && deployment.attempts.is_power_of_two());
        if is_news {
            tracing::warn!(deployment = deployment.name, code, message, "a deployment failed");
        } else {
            tracing::debug!(deployment = deployment.name, code, message, "it failed again");
        }
        let message = told.filter(|_| !is_news).map_or(message, |it| it.message.clone());
        let Some(component) = deployment.components.get_mut(place) else { return Ok(()) };
        let before = component.state;
        component.state = Progress::Failed;
        component.error = Some(Error { code: code.to_owned(), message });
        if !is_news {
            return crate::running::save(running, self.state);
        }
        let noted = surroundings.note(id, running);
        // What could not be written down was not told: it is tried again, and then it is news.
        if noted.is_err()
            && let Some(component) =
                running.get_mut(&id).and_then(|it| it.components.get_mut(place))
        {
            (component.state, component.error) = (before, None);
        }
        noted
    }

    /// Puts the next attempt off for as long as whoever was asked wants it, in milliseconds.
    pub(super) fn put_off(
        &self,
        id: Uuid,
        wanted_ms: i64,
        running: &mut Running,
    ) -> Result<(), StateError> {
        let not_before = (self.now_ms)() + wanted_ms.clamp(0, retry::LONGEST_MS);
        match running.get_mut(&id) {
            Some(deployment) if deployment.retry_at < not_before => {
                deployment.retry_at = not_before;
                crate::running::save(running, self.state)
            }
            _ => Ok(()),
        }
    }
}
