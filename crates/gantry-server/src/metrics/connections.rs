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
    limit_reached: Counter,
    bad_heads: Counter,
    late_heads: Counter,
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
        registry.register(
            "connection_limit_reached",
            "How often there were as many connections as may be, so that others had to wait",
            this.limit_reached.clone(),
        );
        registry.register(
            "bad_request_heads",
            "Connections that ended since the head of a request was malformed or too large",
            this.bad_heads.clone(),
        );
        registry.register(
            "late_request_heads",
            "Connections that ended since no head of a request came in time, most of them idle",
            this.late_heads.clone(),
        );
        this
    }

    /// Counts a connection as accepted, and as open for as long as the answer lives.
    pub(crate) fn accept(&self) -> Open {
        self.accepted.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    pub(crate) fn limit_reached(&self) {
        self.limit_reached.inc();
    }

    /// Counts a connection that HTTP ended.
    pub(crate) fn failed(&self, error: &hyper::Error) {
        if error.is_parse() {
            self.bad_heads.inc();
        } else if error.is_timeout() {
            self.late_heads.inc();
        }
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
