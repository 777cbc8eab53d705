//! Who did what, and when. Nothing here changes or removes what was written down.

use crate::columns::{Columns, count_column};
use crate::{Snapshot, StoreError, Transaction};

/// What to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNote {
    pub at: i64,
    /// An operator, a client, or the fleet manager itself.
    pub actor: String,
    /// A verb: `approve`, `order`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// What else a reader needs, the reason for example. Never a secret.
    pub detail: String,
}

/// What was written down, and its place among the others: 1 for the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub sequence: u64,
    pub note: AuditNote,
}

impl Snapshot {
    /// What was written down after the entry with this number, oldest first.
    pub async fn audit(&mut self, after: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(count_column(after))
                .bind(count_column(limit))
                .fetch_all(self.connection())
                .await?;
        rows.iter().map(|row| entry(&Columns::of("audit", row))).collect()
    }
}

impl Transaction {
    /// Writes down what this transaction does, in this order. Returns the number of the last entry.
    pub async fn append_audit(&mut self, notes: &[AuditNote]) -> Result<u64, StoreError> {
        let last = self.count_up("audit", notes.len()).await?;
        let numbered: Vec<(u64, &AuditNote)> =
            (last + 1 - notes.len() as u64..).zip(notes).collect();
        let written = self.write_rows(
            "INSERT INTO audit (sequence, at, actor, action, subject, detail) VALUES",
            6,
            &numbered,
            |(_, note)| note.detail.len(),
            "",
            |query, (sequence, note)| {
                query
                    .bind(count_column(*sequence))
                    .bind(note.at)
                    .bind(note.actor.as_str())
                    .bind(note.action.as_str())
                    .bind(note.subject.as_str())
                    .bind(note.detail.as_str())
            },
        );
        written.await?;
        Ok(last)
    }
}

fn entry(row: &Columns<'_>) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        sequence: row.count("sequence")?,
        note: AuditNote {
            at: row.integer("at")?,
            actor: row.text("actor")?,
            action: row.text("action")?,
            subject: row.text("subject")?,
            detail: row.text("detail")?,
        },
    })
}
