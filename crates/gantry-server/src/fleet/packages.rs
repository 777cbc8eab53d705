//! Packages on their way to devices. A fleet that is updated fetches the same one all at a time: it is read
//! once, and is in memory once for as long as anybody takes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fleet_domain::ids::{ClientId, Sha256};

use super::{Fleet, FleetError, LONGEST_LIST};
use crate::room::{Held, Shared};

/// Those that are on their way.
#[derive(Default)]
pub(super) struct Packages {
    on_their_way: Mutex<HashMap<Sha256, Weak<Held>>>,
    /// One at a time is read.
    reading: tokio::sync::Mutex<()>,
}

impl Packages {
    fn get(&self, digest: &Sha256) -> Option<Shared> {
        self.lock().get(digest)?.upgrade().map(Shared)
    }

    fn keep(&self, digest: Sha256, held: Held) -> Shared {
        let held = Arc::new(held);
        let mut on_their_way = self.lock();
        on_their_way.retain(|_, it| it.strong_count() > 0);
        on_their_way.insert(digest, Arc::downgrade(&held));
        Shared(held)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256, Weak<Held>>> {
        self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// A package that a wanted deployment of the client needs.
    pub(crate) async fn package(
        &self,
        client: ClientId,
        digest: Sha256,
    ) -> Result<Option<Shared>, FleetError> {
        if !self.needs_package(client, &digest).await? {
            return Ok(None);
        }
        let packages = &self.inner.packages;
        if let Some(package) = packages.get(&digest) {
            return Ok(Some(package));
        }
        let _reading = packages.reading.lock().await;
        if let Some(package) = packages.get(&digest) {
            return Ok(Some(package));
        }
        let Some(bytes) = self.inner.store.read().await?.package(&digest).await? else {
            return Ok(None);
        };
        Ok(Some(packages.keep(digest, Held::new(bytes)?)))
    }

    async fn needs_package(&self, client: ClientId, digest: &Sha256) -> Result<bool, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        for entry in snapshot.deployments_of(client, LONGEST_LIST).await? {
            if !entry.deployment.is_wanted() {
                continue;
            }
            let application = snapshot.application(&entry.application, &entry.version).await?;
            if application.is_some_and(|it| it.packages.values().any(|it| it == digest)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
