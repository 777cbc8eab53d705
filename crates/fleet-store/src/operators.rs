//! Who operates the fleet. Of a token only its hash is kept.

use fleet_domain::ids::{OperatorName, Sha256};
use fleet_domain::permission::Role;

use crate::columns::{Columns, count_column};
use crate::{Added, Snapshot, StoreError, Transaction};

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub name: OperatorName,
    pub role: Role,
}

impl Snapshot {
    /// The operator whose token has this hash.
    pub async fn operator_by_token_hash(
        &mut self,
        token_hash: &Sha256,
    ) -> Result<Option<Operator>, StoreError> {
        let row = sqlx::query("SELECT name, role FROM operators WHERE token_hash = $1")
            .bind(token_hash.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| operator(&Columns::of("operators", &row))).transpose()
    }

    /// Operators by name.
    pub async fn operators(&mut self, limit: u32) -> Result<Vec<Operator>, StoreError> {
        let rows = sqlx::query("SELECT name, role FROM operators ORDER BY name LIMIT $1")
            .bind(count_column(limit))
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(|row| operator(&Columns::of("operators", row))).collect()
    }

    pub async fn count_operators(&mut self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) AS operators FROM operators")
            .fetch_one(self.connection())
            .await?;
        Columns::of("operators", &row).count("operators")
    }
}

impl Transaction {
    /// Adds an operator, unless there is one of this name or token.
    pub async fn add_operator(
        &mut self,
        operator: &Operator,
        token_hash: &Sha256,
    ) -> Result<Added, StoreError> {
        let result = sqlx::query(
            "INSERT INTO operators (name, role, token_hash) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(operator.name.as_str())
        .bind(operator.role.name())
        .bind(token_hash.to_string())
        .execute(self.connection())
        .await?;
        Ok(if result.rows_affected() == 1 { Added::New } else { Added::AlreadyThere })
    }

    /// Removes an operator. Returns whether there was one.
    pub async fn remove_operator(&mut self, name: &OperatorName) -> Result<bool, StoreError> {
        let result = sqlx::query("DELETE FROM operators WHERE name = $1")
            .bind(name.as_str())
            .execute(self.connection())
            .await?;
        Ok(result.rows_affected() == 1)
    }
}

fn operator(row: &Columns<'_>) -> Result<Operator, StoreError> {
    let role = Role::named(&row.text("role")?);
    Ok(Operator {
        name: row.parsed("name")?,
        role: role.ok_or_else(|| row.corrupt("role", "no such role"))?,
    })
}
