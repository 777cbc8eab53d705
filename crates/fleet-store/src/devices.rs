//! The devices that clients speak for, as the clients described them.

use std::collections::BTreeMap;

use fleet_domain::ids::{ClientId, DeviceId};

use crate::columns::Columns;
use crate::statements::query_of;
use crate::{Snapshot, StoreError, Transaction};

/// A device, as its client last described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    pub id: DeviceId,
    /// The JSON document as it was reported.
    pub capabilities: String,
    pub reported_at: i64,
}

/// Whether a device was described for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Created,
    Updated,
}

impl Snapshot {
    /// The devices of a client, by id.
    pub async fn devices(&mut self, client: ClientId) -> Result<Vec<DeviceEntry>, StoreError> {
        Ok(self.devices_of(&[client]).await?.remove(&client).unwrap_or_default())
    }

    /// The devices of several clients, by id. A client without any is left out.
    pub async fn devices_of(
        &mut self,
        clients: &[ClientId],
    ) -> Result<BTreeMap<ClientId, Vec<DeviceEntry>>, StoreError> {
        let query =
            query_of("SELECT * FROM devices WHERE client_id IN", clients, "ORDER BY client_id, id");
        let mut devices = BTreeMap::<_, Vec<_>>::new();
        for row in query.fetch_all(self.connection()).await? {
            let row = Columns::of("devices", &row);
            devices.entry(row.parsed("client_id")?).or_default().push(device_entry(&row)?);
        }
        Ok(devices)
    }

    pub async fn device(
        &mut self,
        client: ClientId,
        device: &DeviceId,
    ) -> Result<Option<DeviceEntry>, StoreError> {
        let row = sqlx::query("SELECT * FROM devices WHERE client_id = $1 AND id = $2")
            .bind(client.to_string())
            .bind(device.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| device_entry(&Columns::of("devices", &row))).transpose()
    }
}

impl Transaction {
    /// Remembers what a client says about a device, in place of what it said before.
    pub async fn record_device(
        &mut self,
        client: ClientId,
        device: &DeviceEntry,
    ) -> Result<Recorded, StoreError> {
        let before = self.device(client, &device.id).await?;
        sqlx::query(
            "INSERT INTO devices (client_id, id, capabilities, reported_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (client_id, id) DO UPDATE \
             SET capabilities = excluded.capabilities, reported_at = excluded.reported_at",
        )
        .bind(client.to_string())
        .bind(device.id.as_str())
        .bind(device.capabilities.as_str())
        .bind(device.reported_at)
        .execute(self.connection())
        .await?;
        Ok(if before.is_some() { Recorded::Updated } else { Recorded::Created })
    }

    /// Forgets a device. Returns whether it was known.
    pub async fn forget_device(
        &mut self,
        client: ClientId,
        device: &DeviceId,
    ) -> Result<bool, StoreError> {
        let result = sqlx::query("DELETE FROM devices WHERE client_id = $1 AND id = $2")
            .bind(client.to_string())
            .bind(device.as_str())
            .execute(self.connection())
            .await?;
        Ok(result.rows_affected() == 1)
    }
}

fn device_entry(row: &Columns<'_>) -> Result<DeviceEntry, StoreError> {
    Ok(DeviceEntry {
        id: row.parsed("id")?,
        capabilities: row.text("capabilities")?,
        reported_at: row.integer("reported_at")?,
    })
}
