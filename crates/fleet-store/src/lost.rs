//! What there is to ask where a part of the past may be lost: a store that was restored from an older backup
//! does not know what it has told its clients since. After such a loss the numbers of revisions leave a gap.

use std::ops::RangeInclusive;

use fleet_domain::ids::{ClientId, Sha256};

use crate::columns::{Columns, count_column};
use crate::{Snapshot, StoreError};

impl Snapshot {
    /// Clients that have a revision, by their ids, those after `after`.
    pub async fn published_clients(
        &mut self,
        after: Option<ClientId>,
        limit: u32,
    ) -> Result<Vec<ClientId>, StoreError> {
        let rows = sqlx::query(
            "SELECT id FROM clients WHERE id > $1 AND EXISTS \
             (SELECT 1 FROM revisions WHERE client_id = clients.id) ORDER BY id LIMIT $2",
        )
        .bind(after.map(|it| it.to_string()).unwrap_or_default())
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| Columns::of("clients", row).parsed("id")).collect()
    }

    /// Whether a revision of the client has a manifest of this digest. Newer ones are found sooner.
    pub async fn has_manifest(
        &mut self,
        client: ClientId,
        digest: &Sha256,
    ) -> Result<bool, StoreError> {
        let row = sqlx::query(
            "SELECT number FROM revisions WHERE client_id = $1 AND manifest_digest = $2 \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(client.to_string())
        .bind(digest.to_string())
        .fetch_optional(self.connection())
        .await?;
        Ok(row.is_some())
    }

    /// The numbers below the client's newest revision that no revision has, in order.
    pub async fn missing_revisions(
        &mut self,
        client: ClientId,
    ) -> Result<Vec<RangeInclusive<u64>>, StoreError> {
        let rows = sqlx::query(
            "SELECT before, number FROM (SELECT number, LAG(number, 1, 0) OVER (ORDER BY number) \
             AS before FROM revisions WHERE client_id = $1) AS neighbours \
             WHERE number > before + 1 ORDER BY number",
        )
        .bind(client.to_string())
        .fetch_all(self.connection())
        .await?;
        let gap = |row| {
            let row = Columns::of("revisions", row);
            Ok(row.count("before")? + 1..=row.revision("number")?.get() - 1)
        };
        rows.iter().map(gap).collect()
    }
}
