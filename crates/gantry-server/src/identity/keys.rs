//! The keys of clients, each read from its certificate once: a poll verifies a signature, and shall not
//! look for the key longer than that takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_domain::ids::{ClientId, Sha256};
use http_signature::VerifyingKey;

use crate::fleet::{Fleet, FleetError};

/// As many clients as the store keeps in memory; the keys of more are read each time.
const MOST_KEYS: usize = 1 << 18;

/// Keys by client, each with the fingerprint of the certificate that it was read from.
#[derive(Debug, Default)]
pub(crate) struct ClientKeys {
    known: Mutex<HashMap<ClientId, (Sha256, Arc<VerifyingKey>)>>,
}

impl ClientKeys {
    /// The key in the certificate that a client has now. None where there is no such client.
    pub(super) async fn key(
        &self,
        fleet: &Fleet,
        client: ClientId,
        certificate: Sha256,
    ) -> Result<Option<Arc<VerifyingKey>>, FleetError> {
        let known = self.lock().get(&client).cloned();
        if let Some((of, key)) = known
            && of == certificate
        {
            return Ok(Some(key));
        }
        let Some(client) = fleet.client(client).await? else { return Ok(None) };
        let key = VerifyingKey::from_certificate_der(&client.certificate_der)
            .map_err(|_| FleetError::Corrupt("certificate of a client"))?;
        let key = Arc::new(key);
        let mut known = self.lock();
        if known.len() < MOST_KEYS || known.contains_key(&client.id) {
            known.insert(client.id, (client.fingerprint, Arc::clone(&key)));
        }
        Ok(Some(key))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, (Sha256, Arc<VerifyingKey>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
