//! The last word before a downtime that is started at the device: one small request tells the fleet manager
//! until when the client is quiet, so that it does not take the silence for trouble. Whether it is heard
//! matters to nobody at the device: the downtime is in force already when it is said.

use crate::announcement;
use crate::clock::Clock;
use crate::fleet_manager::LinkError;
use crate::gate::{Gate, Permit, Why};
use crate::live::Voice;

/// A last word that may be said.
pub(super) struct LastWord {
    pub(super) voice: Voice,
    pub(super) permit: Permit,
}

/// Why the fleet manager does not know of a downtime.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    #[error("as it was asked for")]
    AsAsked,
    #[error("it has not let this client in yet")]
    Stranger,
    #[error("it was quiet already: {0}")]
    Quiet(Why),
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl LastWord {
    /// Says it. The next contact is the first one after all the downtimes that are in force now.
    pub(super) fn say(self, gate: &Gate, clock: &dyn Clock) -> Result<(), Untold> {
        let Self { voice, permit } = self;
        let Some(last) = gate.announcement() else { return Err(Untold::Stranger) };
        let now = clock.now_ms();
        let (opening, closed) = gate.opening(now);
        let next = voice.link.server_time(announcement::promised(opening, now)).div_euclid(1000);
        let announcement = last.until(next, closed.map(|it| it.code()));
        Ok(voice.link.say_last(&voice.client, voice.in_force, &announcement, permit)?)
    }
}
