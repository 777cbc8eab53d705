//! What is counted of the use cases, for whoever watches the server.

use prometheus_client::metrics::counter::Counter;

/// How often something was done since the fleet was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Revisions that were published.
    pub(crate) publications: Counter,
    /// Attempts of jobs that failed.
    pub(crate) job_failures: Counter,
    /// Revisions above versions that clients have seen and the store has lost.
    pub(crate) recoveries: Counter,
    /// Claims of clients to have seen what cannot be.
    pub(crate) incredible_versions: Counter,
}
