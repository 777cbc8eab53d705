//! What clients have said of their devices: a bounded history, the newest of which is the device's entry.

use fleet_domain::ids::{ClientId, DeviceId};

use crate::columns::{Columns, count_column};
use crate::{Snapshot, StoreError, Transaction};

/// So many reports of each device are kept.
pub const KEPT_REPORTS: u32 = 50;
/// And so many of all devices of a client, those that it took back included.
const KEPT_OF_CLIENT: u32 = 1_000;

/// What a client said of a device once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    pub device: DeviceId,
    pub at: i64,
    /// The JSON document as it was reported; nothing where the client took the device back.
    pub capabilities: Option<String>,
    /// What differs from the report before it, in the words of the caller.
    pub changes: String,
}

impl Snapshot {
    /// The reports of a client, or of one of its devices, the newest first.
    pub async fn device_reports(
        &mut self,
        client: ClientId,
        device: Option<&DeviceId>,
        limit: u32,
    ) -> Result<Vec<DeviceReport>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM device_reports WHERE client_id = $1 \
             AND ($2 IS NULL OR device_id = $2) ORDER BY number DESC LIMIT $3",
        )
        .bind(client.to_string())
        .bind(device.map(DeviceId::as_str))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| report(&Columns::of("device_reports", row))).collect()
    }
}

impl Transaction {
    /// Adds a report, and forgets those that are too many.
    pub async fn append_device_report(
        &mut self,
        client: ClientId,
        report: &DeviceReport,
    ) -> Result<(), StoreError> {
        let row = sqlx::query(
            "INSERT INTO device_reports (client_id, number, device_id, at, capabilities, changes) \
             VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM device_reports \
             WHERE client_id = $1), $2, $3, $4, $5) RETURNING number",
        )
        .bind(client.to_string())
        .bind(report.device.as_str())
        .bind(report.at)
        .bind(report.capabilities.as_deref())
        .bind(report.changes.as_str())
        .fetch_one(self.connection())
        .await?;
        let number = Columns::of("device_reports", &row).integer("number")?;
        sqlx::query(
            "DELETE FROM device_reports WHERE client_id = $1 AND (number <= $2 OR device_id = $3 \
             AND number <= (SELECT number FROM device_reports WHERE client_id = $1 \
             AND device_id = $3 ORDER BY number DESC LIMIT 1 OFFSET $4))",
        )
        .bind(client.to_string())
        .bind(number - i64::from(KEPT_OF_CLIENT))
        .bind(report.device.as_str())
        .bind(count_column(KEPT_REPORTS))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn report(row: &Columns<'_>) -> Result<DeviceReport, StoreError> {
    Ok(DeviceReport {
        device: row.parsed("device_id")?,
        at: row.integer("at")?,
        capabilities: row.optional_text("capabilities")?,
        changes: row.text("changes")?,
    })
}
