//! What happened to a deployment, in order. Only the newest events are kept: a device that reports
//! once a second must not fill the disk. The newest order stays whatever comes after it, since its number
//! tells one order from the next.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use fleet_domain::deployment::Report;
use fleet_domain::ids::{DeploymentId, OperatorName, RevisionNumber};

use crate::columns::{Columns, count_column, revision_column};
use crate::encoding::{optional_report, report_json};
use crate::statements::{ABOUT_A_REPORT, query_of};
use crate::{Snapshot, StoreError, Transaction};

/// How many events of one deployment are kept, beside that of its newest order.
pub const KEPT_EVENTS: u32 = 500;

/// The condition that an event is an order.
const IS_ORDER: &str = "what IN ('ordered', 'updated', 'withdrawn')";

/// Something that happened to a deployment. The first one has the sequence number 1; numbers are never
/// used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentEvent {
    pub sequence: u64,
    pub at: i64,
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Ordered {
        by: OperatorName,
    },
    Updated {
        by: OperatorName,
    },
    Withdrawn {
        by: OperatorName,
    },
    Published {
        revision: RevisionNumber,
    },
    Reported(Report),
    /// It was withdrawn before the device was ever told of it.
    Forgotten,
}

impl Snapshot {
    /// What happened to a deployment after the event with this number, oldest first.
    pub async fn deployment_events(
        &mut self,
        deployment: DeploymentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<DeploymentEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM deployment_events WHERE deployment_id = $1 AND sequence > $2 \
             ORDER BY sequence LIMIT $3",
        )
        .bind(deployment.to_string())
        .bind(count_column(after))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| event(&Columns::of("deployment_events", row))).collect()
    }

    /// The sequence number of the event of a deployment's newest order; 0 where it is not kept.
    pub async fn newest_order_event(
        &mut self,
        deployment: DeploymentId,
    ) -> Result<u64, StoreError> {
        let mut newest = self.newest_order_events(&[deployment]).await?;
        Ok(newest.remove(&deployment).unwrap_or_default())
    }

    /// As [`newest_order_event`](Self::newest_order_event), of several deployments: of those where it is kept.
    pub async fn newest_order_events(
        &mut self,
        deployments: &[DeploymentId],
    ) -> Result<BTreeMap<DeploymentId, u64>, StoreError> {
        let after = format!("AND {IS_ORDER} GROUP BY deployment_id");
        let query = query_of(
            "SELECT deployment_id, MAX(sequence) AS sequence FROM deployment_events \
             WHERE deployment_id IN",
            deployments,
            &after,
        );
        let rows = query.fetch_all(self.connection()).await?;
        let rows = rows.iter().map(|row| Columns::of("deployment_events", row));
        rows.map(|row| Ok((row.parsed("deployment_id")?, row.count("sequence")?))).collect()
    }

    /// How many orders about a deployment came after the event with this number, as far as they are kept.
    pub async fn count_orders_after(
        &mut self,
        deployment: DeploymentId,
        event: u64,
    ) -> Result<u64, StoreError> {
        let statement = format!(
            "SELECT COUNT(*) AS orders FROM deployment_events \
             WHERE deployment_id = $1 AND sequence > $2 AND {IS_ORDER}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(deployment.to_string())
            .bind(count_column(event))
            .fetch_one(self.connection())
            .await?;
        Columns::of("deployment_events", &row).count("orders")
    }

    /// What happened to a deployment last.
    pub async fn newest_deployment_event(
        &mut self,
        deployment: DeploymentId,
    ) -> Result<Option<DeploymentEvent>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM deployment_events WHERE deployment_id = $1 \
             ORDER BY sequence DESC LIMIT 1",
        )
        .bind(deployment.to_string())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| event(&Columns::of("deployment_events", &row))).transpose()
    }
}

impl Transaction {
    /// Adds an event. Returns its sequence number.
    pub async fn append_event(
        &mut self,
        deployment: DeploymentId,
        at: i64,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let sequences = self.append_events(at, &[(deployment, event)]).await?;
        let sequence = sequences.first().copied();
        sequence.ok_or_else(|| {
            StoreError::Failed(StoreError::cause("the database does not say that it is there"))
        })
    }

    /// Adds events of several deployments, one of each. Returns their sequence numbers, in no order.
    pub async fn append_events(
        &mut self,
        at: i64,
        events: &[(DeploymentId, &Event)],
    ) -> Result<Vec<u64>, StoreError> {
        // The newest event is always kept, so no number comes twice.
        let written = self.write_returning(
            "INSERT INTO deployment_events \
             (deployment_id, sequence, at, what, operator, revision, report) \
             SELECT new.column1, COALESCE((SELECT MAX(sequence) FROM deployment_events \
             WHERE deployment_id = new.column1), 0) + 1, new.column2, new.column3, new.column4, \
             new.column5, new.column6 FROM (VALUES",
            6,
            events,
            |_| ABOUT_A_REPORT,
            ") AS new RETURNING deployment_id, sequence",
            |query, (deployment, event)| {
                let (what, operator, revision, report) = match event {
                    Event::Ordered { by } => ("ordered", Some(by), None, None),
                    Event::Updated { by } => ("updated", Some(by), None, None),
                    Event::Withdrawn { by } => ("withdrawn", Some(by), None, None),
                    Event::Published { revision } => ("published", None, Some(*revision), None),
                    Event::Reported(report) => ("reported", None, None, Some(report)),
                    Event::Forgotten => ("forgotten", None, None, None),
                };
                query
                    .bind(deployment.to_string())
                    .bind(at)
                    .bind(what)
                    .bind(operator.map(OperatorName::as_str))
                    .bind(revision.map(revision_column))
                    .bind(report.map(report_json))
            },
        );
        let rows = written.await?;
        let mut sequences = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Columns::of("deployment_events", row);
            let (deployment, sequence) = (row.text("deployment_id")?, row.count("sequence")?);
            self.forget_events(&deployment, sequence.saturating_sub(u64::from(KEPT_EVENTS)))
                .await?;
            sequences.push(sequence);
        }
        Ok(sequences)
    }

    /// Forgets the events up to this one, but for that of the newest order.
    async fn forget_events(&mut self, deployment: &str, last: u64) -> Result<(), StoreError> {
        if last == 0 {
            return Ok(());
        }
        let statement = format!(
            "DELETE FROM deployment_events WHERE deployment_id = $1 AND sequence <= $2 AND NOT \
             ({IS_ORDER} AND NOT EXISTS (SELECT 1 FROM deployment_events AS later \
             WHERE later.deployment_id = deployment_events.deployment_id \
             AND later.sequence > deployment_events.sequence AND later.{IS_ORDER}))"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(deployment)
            .bind(count_column(last))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn event(row: &Columns<'_>) -> Result<DeploymentEvent, StoreError> {
    let event = match row.text("what")?.as_str() {
        "ordered" => Event::Ordered { by: row.parsed("operator")? },
        "updated" => Event::Updated { by: row.parsed("operator")? },
        "withdrawn" => Event::Withdrawn { by: row.parsed("operator")? },
        "published" => Event::Published { revision: row.revision("revision")? },
        "forgotten" => Event::Forgotten,
        "reported" => {
            let report = optional_report(row, "report")?;
            Event::Reported(report.ok_or_else(|| row.corrupt("report", "there is none"))?)
        }
        _ => return Err(row.corrupt("what", "no such event")),
    };
    Ok(DeploymentEvent { sequence: row.count("sequence")?, at: row.integer("at")?, event })
}
