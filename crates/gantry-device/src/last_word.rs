//! The last word before it becomes quiet at the owner's command, by a downtime that is started or by other
//! hours: one small request tells the fleet manager until when the client is quiet, so that it does not take
//! the silence for trouble. Whether it is heard matters to nobody at the device: it is quiet already.

use crate::announcement;
use crate::clock::Clock;
use crate::fleet_manager::LinkError;
use crate::gate::{Gate, Permit, Why};
use crate::live::Voice;

/// A last word that may be said.
pub(crate) struct LastWord {
    pub(crate) voice: Voice,
    pub(crate) permit: Permit,
}

/// Why the fleet manager does not know of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
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
    /// Says it. The next contact is the first one that the hours allow as they are now.
    pub(crate) fn say(self, gate: &Gate, clock: &dyn Clock) -> Result<(), Untold> {
        let Self { voice, permit } = self;
        let Some(last) = gate.announcement() else { return Err(Untold::Stranger) };
        let now = clock.now_ms();
        let (opening, closed) = gate.opening(now);
        let next = voice.link.server_time(announcement::promised(opening, now)).div_euclid(1000);
        let announcement = last.until(next, closed.map(|it| it.code()));
        Ok(voice.link.say_last(&voice.client, voice.in_force, &announcement, permit)?)
    }
}
