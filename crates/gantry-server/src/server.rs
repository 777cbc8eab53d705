//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;

use crate::fleet::Fleet;
use crate::identity::{ClientKeys, ReplayGuard};
use crate::limits::RequestLimits;
use crate::metrics::Metrics;
use crate::tls::ServerCertificate;

/// The running server. Every request has several clones of it, so one is a single counter.
#[derive(Clone)]
pub(crate) struct Server(Arc<ServerParts>);

/// What a server is made of.
pub(crate) struct ServerParts {
    pub(crate) fleet: Fleet,
    /// Scheme, host and port of every URL; what clients sign as a part of `@target-uri`.
    pub(crate) origin: String,
    pub(crate) certificate: Arc<ServerCertificate>,
    pub(crate) keys: ClientKeys,
    pub(crate) replays: ReplayGuard,
    pub(crate) limits: RequestLimits,
    pub(crate) metrics: Metrics,
    pub(crate) git_enabled: bool,
}

impl From<ServerParts> for Server {
    fn from(parts: ServerParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Server {
    type Target = ServerParts;

    fn deref(&self) -> &ServerParts {
        &self.0
    }
}

impl FromRef<Server> for Fleet {
    fn from_ref(server: &Server) -> Self {
        server.fleet.clone()
    }
}
