//! What the server counts, and `GET /metrics`, which tells it in the text format of Prometheus.
//!
//! Whatever is counted while a request is answered costs an atomic addition: counters are looked up once,
//! not each time. No label has a value that a caller chooses.

mod connections;
mod fleet_states;
mod polls;
mod refusals;
mod requests;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use connections::Connections;
pub(crate) use polls::{Polls, Way};
pub(crate) use refusals::Refusals;
pub(crate) use requests::{Requests, count};

use crate::clock;
use crate::fleet::Fleet;
use crate::identity::VerifiedOperator;
use crate::problem::Problem;
use crate::server::Server;
use fleet_states::FleetStates;

/// All that is counted. Clones are the same counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) connections: Connections,
    pub(crate) polls: Polls,
    pub(crate) refusals: Refusals,
    pub(crate) requests: Requests,
    states: Arc<FleetStates>,
}

impl Metrics {
    /// Those of a server that started at `now` (seconds since 1970).
    pub(crate) fn new(fleet: &Fleet, now: i64) -> Self {
        let mut all = Registry::default();
        all.register_with_unit(
            "process_start_time",
            "When the server started, in seconds since 1970",
            Unit::Seconds,
            ConstGauge::new(now),
        );
        let registry = all.sub_registry_with_prefix("gantry");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which server this is", version);
        let counters = fleet.counters();
        registry.register(
            "publications",
            "Revisions of desired states that were published",
            counters.publications.clone(),
        );
        registry.register(
            "job_failures",
            "Attempts of jobs that failed and are made again later",
            counters.job_failures.clone(),
        );
        registry.register(
            "recoveries",
            "Revisions published above versions that clients had seen and the database has lost",
            counters.recoveries.clone(),
        );
        registry.register(
            "incredible_versions",
            "Claims of clients to have seen versions that cannot have been published yet",
            counters.incredible_versions.clone(),
        );
        let connections = Connections::register(registry);
        let polls = Polls::register(registry);
        let refusals = Refusals::register(registry);
        let requests = Requests::register(registry);
        let states = Arc::new(FleetStates::register(registry));
        Self { registry: Arc::new(all), connections, polls, refusals, requests, states }
    }
}

/// `GET /metrics`
pub(crate) async fn get_metrics(
    State(server): State<Server>,
    _operator: VerifiedOperator,
) -> Result<impl IntoResponse, Problem> {
    let metrics = &server.metrics;
    metrics.states.read(&server.fleet, clock::now()).await;
    let mut text = String::new();
    prometheus_text::encode(&mut text, &metrics.registry)
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text))
}
