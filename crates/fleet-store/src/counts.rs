//! How much of everything there is, for whoever watches the fleet as a whole.

use std::collections::BTreeMap;

use fleet_domain::client::Standing;

use crate::columns::Columns;
use crate::{Snapshot, StoreError};

/// States of deployments that devices have not let go of, as operators see them.
const STATES: [&str; 7] =
    ["ordered", "pending", "installing", "installed", "removing", "removed", "failed"];

/// How many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCounts {
    clients: BTreeMap<String, u64>,
    deployments: BTreeMap<&'static str, u64>,
    /// Jobs that are not done, those that are put off too.
    pub jobs: u64,
    /// Since when the oldest of them could be done.
    pub oldest_job_due: Option<i64>,
}

impl FleetCounts {
    pub fn clients(&self, standing: Standing) -> u64 {
        self.clients.get(standing.name()).copied().unwrap_or_default()
    }

    /// How many deployments are in each state that there is.
    pub fn deployments(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATES.into_iter().map(|it| (it, self.deployments.get(it).copied().unwrap_or_default()))
    }
}

impl Snapshot {
    /// How many clients, deployments and jobs there are. Reads indexes and no rows.
    pub async fn counts(&mut self) -> Result<FleetCounts, StoreError> {
        let clients = self.count_by_standing().await?;
        let deployments = self.count_by_state().await?;
        let row = sqlx::query("SELECT COUNT(*) AS jobs, MIN(not_before) AS not_before FROM jobs")
            .fetch_one(self.connection())
            .await?;
        let row = Columns::of("jobs", &row);
        let (jobs, oldest_job_due) = (row.count("jobs")?, row.optional_integer("not_before")?);
        Ok(FleetCounts { clients, deployments, jobs, oldest_job_due })
    }

    async fn count_by_standing(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows =
            sqlx::query("SELECT standing, COUNT(*) AS clients FROM clients GROUP BY standing")
                .fetch_all(self.connection())
                .await?;
        let counts = rows.iter().map(|row| {
            let row = Columns::of("clients", row);
            Ok((row.text("standing")?, row.count("clients")?))
        });
        counts.collect()
    }

    async fn count_by_state(&mut self) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT life, substr(report, 22, 10) AS report, COUNT(*) AS deployments \
             FROM deployments WHERE life <> 'gone' GROUP BY life, substr(report, 22, 10)",
        )
        .fetch_all(self.connection())
        .await?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            let row = Columns::of("deployments", row);
            let (life, reported) = (row.text("life")?, row.optional_text("report")?);
            let state = state(&life, reported.as_deref().map(progress_of));
            let state = STATES.into_iter().find(|it| *it == state);
            let state = state.ok_or_else(|| row.corrupt("life", "no such state"))?;
            *counts.entry(state).or_default() += row.count("deployments")?;
        }
        Ok(counts)
    }
}

/// What was said about former content is not the state of the newest order, and what is withdrawn is
/// being removed until its device says more.
fn state<'a>(life: &'a str, progress: Option<&'a str>) -> &'a str {
    match (life, progress) {
        ("withdrawn", Some("failed")) => "failed",
        ("withdrawn", _) => "removing",
        ("known", Some(progress)) => progress,
        (life, _) => life,
    }
}

/// The overall state, from what begins where it stands in a report.
fn progress_of(report: &str) -> &str {
    report.split('"').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fleet_domain::deployment::{Failure, Progress, Report};

    use super::*;
    use crate::encoding::report_json;

    #[test]
    fn the_state_of_a_report_is_found_where_the_index_looks_for_it() {
        for progress in [
            Progress::Pending,
            Progress::Installing,
            Progress::Installed,
            Progress::Removing,
            Progress::Removed,
            Progress::Failed(Failure::default()),
        ] {
            let component = "web".parse().expect("a name");
            let report = Report::new(progress.clone(), [(component, progress.clone())]);
            let json = report_json(&report.expect("it does not contradict itself"));
            let piece: String = json.chars().skip(21).take(10).collect();
            assert_eq!(progress_of(&piece), progress.name(), "{json}");
        }
    }
}
