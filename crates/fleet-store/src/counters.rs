//! Numbers that rise by one, for what has to keep its order: a clock of seconds cannot tell it.

use crate::columns::Columns;
use crate::{StoreError, Transaction};

impl Transaction {
    /// The next number of a counter: 1 at first. No other transaction gets it.
    pub(crate) async fn count_up(&mut self, counter: &str) -> Result<u64, StoreError> {
        let row = sqlx::query(
            "INSERT INTO counters (name, value) VALUES ($1, 1) \
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        )
        .bind(counter)
        .fetch_one(self.connection())
        .await?;
        Columns::of("counters", &row).count("value")
    }
}
