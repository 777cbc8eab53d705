//! What operators ordered, until a revision has carried it out and for ever after.

use std::collections::BTreeMap;

use fleet_domain::desired_state::Order;
use fleet_domain::ids::{ClientId, DeploymentId, RevisionNumber};

use crate::columns::{Columns, count_column, revision_column};
use crate::encoding::{StoredOrdered, from_json, to_json};
use crate::statements::{ABOUT_AN_ORDER, none, query_of};
use crate::{Snapshot, StoreError, Transaction};

impl Snapshot {
    /// The orders that no revision of these clients has carried out yet, the oldest of each first.
    pub async fn pending_orders(
        &mut self,
        clients: &[ClientId],
    ) -> Result<BTreeMap<ClientId, Vec<Order>>, StoreError> {
        let mut pending = BTreeMap::<_, Vec<_>>::new();
        let query = query_of(
            "SELECT * FROM orders WHERE client_id IN",
            clients,
            "AND revision IS NULL ORDER BY client_id, number",
        );
        for row in query.fetch_all(self.connection()).await? {
            let row = Columns::of("orders", &row);
            pending.entry(row.parsed("client_id")?).or_default().push(order(&row)?);
        }
        Ok(pending)
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
        self.append_orders(&[(client, order)]).await
    }

    /// As [`append_order`](Self::append_order), of several clients or one: those of one client in this order.
    pub async fn append_orders(&mut self, orders: &[(ClientId, &Order)]) -> Result<(), StoreError> {
        let mut count = BTreeMap::<ClientId, u64>::new();
        for (client, _) in orders {
            *count.entry(*client).or_default() += 1;
        }
        let mut before = self.number_orders(&count).await?;
        let numbered: Vec<(ClientId, u64, &Order)> = orders
            .iter()
            .map(|(client, order)| {
                let number = before.entry(*client).or_default();
                *number += 1;
                (*client, *number, *order)
            })
            .collect();
        let appended = self.write_rows(
            "INSERT INTO orders (client_id, number, operator, at, what, reason) VALUES",
            6,
            &numbered,
            |(.., order)| order.reason.as_ref().map_or(0, String::len) + ABOUT_AN_ORDER,
            "",
            |query, (client, number, order)| {
                query
                    .bind(client.to_string())
                    .bind(count_column(*number))
                    .bind(order.operator.as_str())
                    .bind(order.at)
                    .bind(to_json(&StoredOrdered::from(&order.what)))
                    .bind(order.reason.as_deref())
            },
        );
        appended.await.map(drop)
    }

    /// Takes the next numbers for orders of each client; gives the numbers before them.
    async fn number_orders(
        &mut self,
        count: &BTreeMap<ClientId, u64>,
    ) -> Result<BTreeMap<ClientId, u64>, StoreError> {
        let clients: Vec<(&ClientId, &u64)> = count.iter().collect();
        let taken = self.write_returning(
            "UPDATE clients SET last_order = last_order + new.column2 FROM (VALUES",
            2,
            &clients,
            none,
            ") AS new WHERE clients.id = new.column1 RETURNING clients.id, clients.last_order",
            |query, (client, count)| query.bind(client.to_string()).bind(count_column(**count)),
        );
        let mut before = BTreeMap::new();
        for row in taken.await? {
            let row = Columns::of("clients", &row);
            let client: ClientId = row.parsed("id")?;
            let taken = count.get(&client).copied().unwrap_or_default();
            before.insert(client, row.count("last_order")?.saturating_sub(taken));
        }
        if before.len() == count.len() {
            return Ok(before);
        }
        Err(StoreError::UnknownReference(StoreError::cause("there is no such client")))
    }

    /// Counts all pending orders of each client as carried out by a revision of it.
    /// [`publish`](Self::publish) does that by itself; this is for orders that cancelled each other out, so
    /// that there was nothing to publish.
    pub async fn settle_orders(
        &mut self,
        revisions: &[(ClientId, RevisionNumber)],
    ) -> Result<(), StoreError> {
        let settled = self.write_rows(
            "UPDATE orders SET revision = said.column2 FROM (VALUES",
            2,
            revisions,
            none,
            ") AS said WHERE orders.client_id = said.column1 AND orders.revision IS NULL",
            |query, (client, revision)| {
                query.bind(client.to_string()).bind(revision_column(*revision))
            },
        );
        settled.await.map(drop)
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
