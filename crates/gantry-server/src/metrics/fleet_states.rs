//! What the store knows of the fleet as a whole. It is asked when somebody scrapes, and not more often than
//! every few seconds, however many scrape.

use std::time::Duration;

use fleet_domain::client::Standing;
use fleet_store::FleetCounts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;

use crate::fleet::Fleet;
use crate::problem;

/// How old the numbers may be, in seconds.
const KEPT_SECONDS: i64 = 10;
/// How long the store may take. Then the former numbers are told once more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gauges of what is in the store.
#[derive(Debug, Default)]
pub(super) struct FleetStates {
    clients: Family<ClientLabels, Gauge>,
    overdue: Gauge,
    deployments: Family<DeploymentLabels, Gauge>,
    jobs: Gauge,
    oldest_job: Gauge,
    read_at: Gauge,
    /// When the store was asked last, in seconds since 1970.
    asked_at: Mutex<Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    standing: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeploymentLabels {
    state: &'static str,
}

impl FleetStates {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register("clients", "Clients by standing", this.clients.clone());
        registry.register(
            "clients_overdue",
            "Clients that should have called by what they said themselves",
            this.overdue.clone(),
        );
        registry.register(
            "deployments",
            "Deployments that devices have not let go of, by state",
            this.deployments.clone(),
        );
        registry.register("jobs", "Jobs that wait, those that are put off too", this.jobs.clone());
        registry.register_with_unit(
            "oldest_job_age",
            "How long the oldest job could have been done",
            Unit::Seconds,
            this.oldest_job.clone(),
        );
        registry.register_with_unit(
            "fleet_read_time",
            "When clients, deployments and jobs were counted, in seconds since 1970",
            Unit::Seconds,
            this.read_at.clone(),
        );
        this
    }

    /// Reads the store again when the numbers are old. Who asks meanwhile waits for the same answer.
    pub(super) async fn read(&self, fleet: &Fleet, now: i64) {
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|at| (at..at + KEPT_SECONDS).contains(&now)) {
            return;
        }
        *asked_at = Some(now);
        match tokio::time::timeout(PATIENCE, fleet.counts(now)).await {
            Ok(Ok((counts, overdue))) => {
                self.overdue.set(i64::try_from(overdue).unwrap_or(i64::MAX));
                self.take(&counts, now);
            }
            Ok(Err(error)) => {
                tracing::error!(error = problem::chain(&error), "the fleet cannot be counted");
            }
            Err(_) => tracing::error!("counting the fleet took too long"),
        }
    }

    fn take(&self, counts: &FleetCounts, now: i64) {
        for standing in Standing::ALL {
            let clients =
                self.clients.get_or_create_owned(&ClientLabels { standing: standing.name() });
            clients.set(gauge(counts.clients(standing)));
        }
        for (state, deployments) in counts.deployments() {
            self.deployments
                .get_or_create_owned(&DeploymentLabels { state })
                .set(gauge(deployments));
        }
        self.jobs.set(gauge(counts.jobs));
        self.oldest_job.set(counts.oldest_job_due.map_or(0, |due| (now - due).max(0)));
        self.read_at.set(now);
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use fleet_domain::client::OnboardingPolicy;

    use super::*;
    use crate::fleet::FleetOptions;

    #[tokio::test]
    async fn the_store_is_asked_now_and_then_however_many_scrape_and_may_be_away() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let options = FleetOptions {
            onboarding: OnboardingPolicy::Approve,
            origin: "https://localhost".to_owned(),
        };
        let fleet =
            Fleet::open(&fleet_store::Database::sqlite(&folder.path().join("fleet.db")), options)
                .await;
        let fleet = fleet.expect("the database opens");
        let states = FleetStates::default();
        // A clock that was set back is no reason to wait.
        for (now, read_at) in [(100, 100), (109, 100), (110, 110), (111, 110), (50, 50)] {
            states.read(&fleet, now).await;
            assert_eq!(states.read_at.get(), read_at, "{now}");
        }
        fleet.close().await;
        states.read(&fleet, 200).await;
        assert_eq!(states.read_at.get(), 50, "what was read before is told on");
    }
}
