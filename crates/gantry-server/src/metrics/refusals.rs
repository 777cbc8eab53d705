//! Requests that were not answered as they asked, by reason.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::problem::Reason;

/// Counts refusals.
#[derive(Debug, Clone)]
pub(crate) struct Refusals(Arc<[Counter; Reason::ALL.len()]>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: &'static str,
}

impl Refusals {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let refusals = Family::<Labels, Counter>::default();
        registry.register("refusals", "Requests that were refused or failed", refusals.clone());
        let of = |reason: Reason| refusals.get_or_create_owned(&Labels { reason: reason.name() });
        Self(Arc::new(Reason::ALL.map(of)))
    }

    pub(crate) fn count(&self, reason: Reason) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.inc();
        }
    }
}
