//! Who operates the fleet. Of a token only its hash is kept.

use fleet_domain::ids::{OperatorName, Sha256};
use fleet_domain::permission::Role;

use crate::columns::Columns;
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
        let Some(row) = row else { return Ok(None) };
        let row = Columns::of("operators", &row);
        let role = row.text("role")?;
        let role = Role::ALL.into_iter().find(|it| it.name() == role);
        Ok(Some(Operator {
            name: row.parsed("name")?,
            role: role.ok_or_else(|| row.corrupt("role", "no such role"))?,
        }))
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
}
