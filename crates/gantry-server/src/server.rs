//! What every handler can reach.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::fleet::Fleet;
use crate::identity::ReplayGuard;
use crate::limits::RequestLimits;
use crate::metrics::Metrics;
use crate::tls::ServerCertificate;

/// The running server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) fleet: Fleet,
    /// Scheme, host and port of every URL; what clients sign as a part of `@target-uri`.
    pub(crate) origin: Arc<str>,
    pub(crate) certificate: Arc<ServerCertificate>,
    pub(crate) replays: Arc<ReplayGuard>,
    pub(crate) limits: Arc<RequestLimits>,
    pub(crate) metrics: Metrics,
    pub(crate) git_enabled: bool,
}

impl FromRef<Server> for Fleet {
    fn from_ref(server: &Server) -> Self {
        server.fleet.clone()
    }
}
