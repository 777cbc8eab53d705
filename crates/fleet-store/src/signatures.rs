//! Signatures of requests that have changed something, so that none of them does twice: not after a
//! restart, and not at another server of the same store.

use std::collections::HashSet;

use crate::columns::Columns;
use crate::statements::none;
use crate::{Added, StoreError, Transaction};

impl Transaction {
    /// Remembers a signature by its name, at the least until it holds no more.
    pub async fn remember_signature(
        &mut self,
        name: &[u8; 32],
        until: i64,
    ) -> Result<Added, StoreError> {
        let new = self.remember_signatures(&[(*name, until)]).await?;
        Ok(if new.contains(name) { Added::New } else { Added::AlreadyThere })
    }

    /// As [`remember_signature`](Self::remember_signature), of several: the names of those that are new.
    pub async fn remember_signatures(
        &mut self,
        signatures: &[([u8; 32], i64)],
    ) -> Result<HashSet<[u8; 32]>, StoreError> {
        let written = self.write_returning(
            "INSERT INTO heard_signatures (name, until) VALUES",
            2,
            signatures,
            none,
            "ON CONFLICT (name) DO NOTHING RETURNING name",
            |query, (name, until)| query.bind(name.as_slice()).bind(*until),
        );
        let new = written.await?;
        new.iter()
            .map(|row| {
                let row = Columns::of("heard_signatures", row);
                let name = row.bytes("name")?;
                name.try_into().map_err(|_| row.corrupt("name", "it is not 32 bytes long"))
            })
            .collect()
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
