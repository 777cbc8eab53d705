//! Certificate authorities that vouch for clients.

use fleet_domain::ids::{OperatorName, Sha256};

use crate::columns::{Columns, count_column};
use crate::{Added, Snapshot, StoreError, Transaction};

/// An authority, and who trusts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub fingerprint: Sha256,
    pub certificate_der: Vec<u8>,
    pub name: String,
    pub added_by: OperatorName,
    pub added_at: i64,
}

impl Snapshot {
    /// The authorities, the oldest first.
    pub async fn authorities(&mut self, limit: u32) -> Result<Vec<Authority>, StoreError> {
        let rows = sqlx::query("SELECT * FROM authorities ORDER BY added_at, fingerprint LIMIT $1")
            .bind(count_column(limit))
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(|row| authority(&Columns::of("authorities", row))).collect()
    }
}

impl Transaction {
    /// Adds an authority, unless it is there.
    pub async fn add_authority(&mut self, authority: &Authority) -> Result<Added, StoreError> {
        let result = sqlx::query(
            "INSERT INTO authorities (fingerprint, certificate, name, added_by, added_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(authority.fingerprint.to_string())
        .bind(authority.certificate_der.as_slice())
        .bind(authority.name.as_str())
        .bind(authority.added_by.as_str())
        .bind(authority.added_at)
        .execute(self.connection())
        .await?;
        Ok(if result.rows_affected() == 1 { Added::New } else { Added::AlreadyThere })
    }

    /// Removes an authority. Returns whether it was there.
    pub async fn remove_authority(&mut self, fingerprint: &Sha256) -> Result<bool, StoreError> {
        let result = sqlx::query("DELETE FROM authorities WHERE fingerprint = $1")
            .bind(fingerprint.to_string())
            .execute(self.connection())
            .await?;
        Ok(result.rows_affected() == 1)
    }
}

fn authority(row: &Columns<'_>) -> Result<Authority, StoreError> {
    Ok(Authority {
        fingerprint: row.parsed("fingerprint")?,
        certificate_der: row.bytes("certificate")?,
        name: row.text("name")?,
        added_by: row.parsed("added_by")?,
        added_at: row.integer("added_at")?,
    })
}
