//! What the running client last told about itself, for whoever asks over the control socket. It is kept in
//! memory, since writing each contact down would wear out the flash of a small device.

use std::sync::{Mutex, PoisonError};

use crate::status::ClientStatus;

/// The newest status.
#[derive(Debug, Default)]
pub(crate) struct Live {
    status: Mutex<Option<ClientStatus>>,
}

impl Live {
    pub(crate) fn set(&self, status: ClientStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    pub(crate) fn get(&self) -> Option<ClientStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
