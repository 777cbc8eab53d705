//! Numbers that rise by one, for what has to keep its order: a clock of seconds cannot tell it.

use crate::columns::{Columns, count_column};
use crate::{StoreError, Transaction};

impl Transaction {
    /// The next numbers of a counter, as many as this, of which the last is given: 1 at first. No other
    /// transaction gets them.
    pub(crate) async fn count_up(&mut self, counter: &str, by: usize) -> Result<u64, StoreError> {
        let row = sqlx::query(
            "INSERT INTO counters (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value \
             RETURNING value",
        )
        .bind(counter)
        .bind(count_column(by as u64))
        .fetch_one(self.connection())
        .await?;
        Columns::of("counters", &row).count("value")
    }
}
