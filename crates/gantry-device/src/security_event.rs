//! What was refused for safety's sake: written down until the fleet manager has heard of it, and told in
//! the log once for as long as it lasts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::onboarding::Onboarded;
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "security-event.json";
/// The longest text of an event, in characters.
const LONGEST: usize = 1_000;

/// The newest event, if there ever was one.
#[derive(Debug, Default)]
pub(crate) struct SecurityEvents {
    newest: Option<SecurityEvent>,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityEvent {
    /// RFC 3339 in UTC.
    pub(crate) at: String,
    pub(crate) what: String,
    /// Whether the fleet manager has heard of it.
    told: bool,
    /// Whether a good desired state has come since.
    over: bool,
}

impl SecurityEvent {
    /// Whether the fleet manager has heard of it.
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }
}

impl SecurityEvents {
    pub(crate) fn load(state: &StateDir) -> Result<Self, StateError> {
        Ok(Self { newest: state.load(FILE)? })
    }

    pub(crate) fn newest(&self) -> Option<&SecurityEvent> {
        self.newest.as_ref()
    }

    /// Writes a refusal down, unless it is the one that lasts already.
    pub(crate) fn note(
        &mut self,
        what: &str,
        now_ms: i64,
        state: &StateDir,
    ) -> Result<(), StateError> {
        let what: String = what.chars().take(LONGEST).collect();
        if self.newest.as_ref().is_some_and(|it| !it.over && it.what == what) {
            return Ok(());
        }
        tracing::error!(security_event = true, error = what, "a desired state is refused");
        self.replace(
            SecurityEvent { at: clock::rfc3339(now_ms), what, told: false, over: false },
            state,
        )
    }

    /// A good desired state has come: the same refusal again would be news.
    pub(crate) fn end(&mut self, state: &StateDir) -> Result<(), StateError> {
        match self.newest.clone() {
            Some(event) if !event.over => {
                self.replace(SecurityEvent { over: true, ..event }, state)
            }
            _ => Ok(()),
        }
    }

    /// Tells the fleet manager what it has not heard of. One of another make does not know what it is.
    pub(crate) fn deliver(
        &mut self,
        link: &FleetManager,
        client: &Onboarded,
        state: &StateDir,
    ) -> Result<(), crate::report::ReportError> {
        let Some(event) = self.newest.clone().filter(|it| !it.told) else { return Ok(()) };
        let body = json!({"at": event.at, "what": event.what}).to_string();
        let path = client.path("/security-events");
        let body = Some(body.as_bytes());
        match link.send(Ask::SecurityEvent, &path, &client.client_id, &[], body) {
            Ok(_) | Err(LinkError::Refused { status: 400 | 404 | 405 | 422, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.replace(SecurityEvent { told: true, ..event }, state)?)
    }

    fn replace(&mut self, event: SecurityEvent, state: &StateDir) -> Result<(), StateError> {
        let saved = state.save(FILE, &event);
        self.newest = Some(event);
        saved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_lasts_is_one_event_and_outlives_restarts() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let state = StateDir::open(folder.path()).expect("nobody else has it");
        let mut events = SecurityEvents::load(&state).expect("readable");
        let note = |events: &mut SecurityEvents, now| {
            events.note("rewritten", now, &state).expect("writable");
            events.newest().expect("there is one").at.clone()
        };
        let first = note(&mut events, 1_000);
        assert_eq!(note(&mut events, 9_000), first);
        let mut events = SecurityEvents::load(&state).expect("readable");
        assert_eq!(note(&mut events, 19_000), first);
        events.end(&state).expect("writable");
        assert_ne!(note(&mut events, 29_000), first);
    }
}
