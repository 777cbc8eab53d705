//! What the fleet manager keeps for itself, under a name: secrets that it made, for example.

use crate::columns::Columns;
use crate::{Snapshot, StoreError, Transaction};

impl Snapshot {
    pub async fn setting(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Columns::of("settings", &row).bytes("value")).transpose()
    }
}

impl Transaction {
    pub async fn set_setting(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
