//! How clients look for a new desired state, and whether there was one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How a client polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Git,
    Http,
}

/// Counts polls.
#[derive(Debug, Clone)]
pub(crate) struct Polls {
    git: Outcomes,
    http: Outcomes,
}

#[derive(Debug, Clone)]
struct Outcomes {
    unchanged: Counter,
    new: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    outcome: &'static str,
}

impl Polls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let polls = Family::<Labels, Counter>::default();
        registry.register("polls", "Clients that looked for a new desired state", polls.clone());
        let outcomes = |kind| {
            let of = |outcome| polls.get_or_create_owned(&Labels { kind, outcome });
            Outcomes { unchanged: of("unchanged"), new: of("new") }
        };
        Self { git: outcomes("git"), http: outcomes("http") }
    }

    pub(crate) fn count(&self, way: Way, is_new: bool) {
        let outcomes = match way {
            Way::Git => &self.git,
            Way::Http => &self.http,
        };
        if is_new { &outcomes.new } else { &outcomes.unchanged }.inc();
    }
}
