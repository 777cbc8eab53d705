//! Connections of the listener.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    open: Gauge,
    accepted: Counter,
    failed_handshakes: Counter,
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Connections {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register("connections", "Connections that are open now", this.open.clone());
        registry.register(
            "connections_accepted",
            "Connections that were taken",
            this.accepted.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "Connections that ended in the TLS handshake",
            this.failed_handshakes.clone(),
        );
        this
    }

    /// Counts a connection as accepted, and as open for as long as the answer lives.
    pub(crate) fn accept(&self) -> Open {
        self.accepted.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    pub(crate) fn handshake_failed(&self) {
        self.failed_handshakes.inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
