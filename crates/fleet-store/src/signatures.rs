//! Signatures of requests that have changed something, so that none of them does twice: not after a
//! restart, and not at another server of the same store.

use crate::{Added, StoreError, Transaction};

impl Transaction {
    /// Remembers a signature by its name, at the least until it holds no more.
    pub async fn remember_signature(
        &mut self,
        name: &[u8; 32],
        until: i64,
    ) -> Result<Added, StoreError> {
        let outcome = sqlx::query(
            "INSERT INTO heard_signatures (name, until) VALUES ($1, $2) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_slice())
        .bind(until)
        .execute(self.connection())
        .await?;
        Ok(if outcome.rows_affected() == 1 { Added::New } else { Added::AlreadyThere })
    }

    /// Forgets the names of signatures that hold no more at `now`.
    pub async fn forget_signatures(&mut self, now: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM heard_signatures WHERE until < $1")
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
