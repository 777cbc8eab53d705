//! What the running client last told about itself, for whoever asks over the control socket. It is kept in
//! memory, since writing each contact down would wear out the flash of a small device.

use std::sync::{Mutex, MutexGuard, PoisonError};

use margo_contract::digest::Digest;

use crate::fleet_manager::FleetManager;
use crate::onboarding::Onboarded;
use crate::status::ClientStatus;

/// The newest status, and what it takes to speak for the client.
#[derive(Debug, Default)]
pub(crate) struct Live {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    status: Option<ClientStatus>,
    voice: Option<Voice>,
}

/// What it takes to speak for a client that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) link: FleetManager,
    pub(crate) client: Onboarded,
    /// The digest of the manifest in force.
    pub(crate) in_force: Option<Digest>,
}

impl Live {
    pub(crate) fn set(&self, status: ClientStatus, voice: Option<Voice>) {
        *self.told() = Told { status: Some(status), voice };
    }

    pub(crate) fn status(&self) -> Option<ClientStatus> {
        self.told().status.clone()
    }

    pub(crate) fn voice(&self) -> Option<Voice> {
        self.told().voice.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
