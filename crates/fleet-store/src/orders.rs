//! What operators ordered, until a revision has carried it out and for ever after.

use fleet_domain::desired_state::Order;
use fleet_domain::ids::{ClientId, DeploymentId, RevisionNumber};

use crate::columns::{Columns, count_column, revision_column};
use crate::encoding::{StoredOrdered, from_json, to_json};
use crate::{Snapshot, StoreError, Transaction};

impl Snapshot {
    /// The orders that no revision of the client has carried out yet, oldest first.
    pub async fn pending_orders(&mut self, client: ClientId) -> Result<Vec<Order>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE client_id = $1 AND revision IS NULL ORDER BY number",
        )
        .bind(client.to_string())
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| order(&Columns::of("orders", row))).collect()
    }

    /// The orders that a revision carried out, oldest first.
    pub async fn orders_of(
        &mut self,
        client: ClientId,
        revision: RevisionNumber,
    ) -> Result<Vec<Order>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE client_id = $1 AND revision = $2 ORDER BY number",
        )
        .bind(client.to_string())
        .bind(revision_column(revision))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| order(&Columns::of("orders", row))).collect()
    }

    /// The number of a client's newest order; 0 where there is none.
    pub async fn newest_order(&mut self, client: ClientId) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT last_order FROM clients WHERE id = $1")
            .bind(client.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.map_or(Ok(0), |row| Columns::of("clients", &row).count("last_order"))
    }

    /// The newest orders for a client after the one with this number, the newest first.
    pub async fn orders_after(
        &mut self,
        client: ClientId,
        number: u64,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE client_id = $1 AND number > $2 \
             ORDER BY number DESC LIMIT $3",
        )
        .bind(client.to_string())
        .bind(count_column(number))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| order(&Columns::of("orders", row))).collect()
    }

    /// The newest orders about one deployment of a client, the newest first.
    pub async fn orders_about(
        &mut self,
        client: ClientId,
        deployment: DeploymentId,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        // Too seldom asked to keep a column for it. In JSON the quotes of a value would be escaped, so no
        // value of a parameter looks like this.
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE client_id = $1 AND what LIKE $2 \
             ORDER BY number DESC LIMIT $3",
        )
        .bind(client.to_string())
        .bind(format!("%\"id\":\"{deployment}\"%"))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| order(&Columns::of("orders", row))).collect()
    }
}

impl Transaction {
    /// Remembers an order. It is pending until a revision has carried it out.
    pub async fn append_order(
        &mut self,
        client: ClientId,
        order: &Order,
    ) -> Result<(), StoreError> {
        let number = self.next_order(client).await?;
        sqlx::query(
            "INSERT INTO orders (client_id, number, operator, at, what, reason) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(client.to_string())
        .bind(number)
        .bind(order.operator.as_str())
        .bind(order.at)
        .bind(to_json(&StoredOrdered::from(&order.what)))
        .bind(order.reason.as_deref())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Counts all pending orders of a client as carried out by a revision. [`publish`](Self::publish)
    /// does that by itself; this is for orders that cancelled each other out, so that there was
    /// nothing to publish.
    pub async fn settle_orders(
        &mut self,
        client: ClientId,
        revision: RevisionNumber,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE orders SET revision = $1 WHERE client_id = $2 AND revision IS NULL")
            .bind(revision_column(revision))
            .bind(client.to_string())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn order(row: &Columns<'_>) -> Result<Order, StoreError> {
    let what: StoredOrdered = from_json(row, "what")?;
    Ok(Order {
        operator: row.parsed("operator")?,
        at: row.integer("at")?,
        what: what.into(),
        reason: row.optional_text("reason")?,
    })
}
