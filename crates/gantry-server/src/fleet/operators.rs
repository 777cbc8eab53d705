//! Who may operate the fleet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::ids::{OperatorName, Sha256};
use fleet_domain::permission::Role;
use fleet_store::{Added, Operator, StoreError};
use margo_contract::digest::Digest;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Fleet, FleetError, LONGEST_LIST, audit};

const FIRST_ADMINISTRATOR: &str = "admin";
/// Fewer than any list may have items.
const MOST_OPERATORS: u64 = 1_000;

/// A token before anybody has it. Says nothing about itself when printed.
pub(crate) struct NewToken(String);

impl NewToken {
    fn make() -> Result<Self, FleetError> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| FleetError::Corrupt("source of randomness"))?;
        Ok(Self(format!("gantry_{}", URL_SAFE_NO_PAD.encode(secret))))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

/// Why there is no new operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddOperatorError {
    #[error("there is an operator called {0} already")]
    AlreadyThere(OperatorName),
    #[error("there are {MOST_OPERATORS} operators already")]
    TooMany,
    #[error("the operator could not be remembered")]
    Fleet(#[from] FleetError),
}

/// Why an operator stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveOperatorError {
    #[error("there is no such operator")]
    Unknown,
    #[error("it is the last administrator; add another one first")]
    LastAdministrator,
    #[error("the operator could not be removed")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for AddOperatorError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl From<StoreError> for RemoveOperatorError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// A token for the first administrator, while there is no operator at all. It counts once it is
    /// confirmed.
    pub(crate) async fn first_administrator(&self) -> Result<Option<NewToken>, FleetError> {
        if self.inner.store.read().await?.count_operators().await? > 0 {
            return Ok(None);
        }
        NewToken::make().map(Some)
    }

    /// Makes the first administrator's token count.
    pub(crate) async fn confirm_administrator(
        &self,
        token: &NewToken,
        now: i64,
    ) -> Result<(), FleetError> {
        let name: OperatorName = FIRST_ADMINISTRATOR.parse().expect("the name fits its rule");
        let operator = Operator { name: name.clone(), role: Role::Administrator };
        let mut transaction = self.inner.store.begin().await?;
        transaction.add_operator(&operator, &hash(token.secret())).await?;
        audit(&mut transaction, now, &name, "operator.add", &name, "first administrator").await?;
        self.commit(transaction).await
    }

    /// All operators, by name.
    pub(crate) async fn operators(&self) -> Result<Vec<Operator>, FleetError> {
        Ok(self.inner.store.read().await?.operators(LONGEST_LIST).await?)
    }

    /// Adds an operator and makes the token.
    pub(crate) async fn add_operator(
        &self,
        by: &OperatorName,
        name: &OperatorName,
        role: Role,
        now: i64,
    ) -> Result<NewToken, AddOperatorError> {
        let token = NewToken::make()?;
        let operator = Operator { name: name.clone(), role };
        let mut transaction = self.inner.store.begin().await?;
        if transaction.count_operators().await? >= MOST_OPERATORS {
            return Err(AddOperatorError::TooMany);
        }
        match transaction.add_operator(&operator, &hash(token.secret())).await? {
            Added::New => {}
            Added::AlreadyThere => return Err(AddOperatorError::AlreadyThere(name.clone())),
        }
        audit(&mut transaction, now, by, "operator.add", name, role.name()).await?;
        self.commit(transaction).await?;
        tracing::info!(operator = %by, added = %name, role = role.name(), "an operator is added");
        Ok(token)
    }

    /// Removes an operator. The last administrator stays: nobody could add another one.
    pub(crate) async fn remove_operator(
        &self,
        by: &OperatorName,
        name: &OperatorName,
        now: i64,
    ) -> Result<(), RemoveOperatorError> {
        let mut transaction = self.inner.store.begin().await?;
        let operators = transaction.operators(LONGEST_LIST).await?;
        let role = operators.iter().find(|it| it.name == *name).map(|it| it.role);
        let role = role.ok_or(RemoveOperatorError::Unknown)?;
        let administrators = operators.iter().filter(|it| it.role == Role::Administrator);
        if role == Role::Administrator && administrators.count() == 1 {
            return Err(RemoveOperatorError::LastAdministrator);
        }
        transaction.remove_operator(name).await?;
        audit(&mut transaction, now, by, "operator.remove", name, role.name()).await?;
        self.commit(transaction).await?;
        tracing::info!(operator = %by, removed = %name, "an operator is removed");
        Ok(())
    }

    /// The operator with this token.
    pub(crate) async fn operator(&self, token: &str) -> Result<Option<Operator>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        Ok(snapshot.operator_by_token_hash(&hash(token)).await?)
    }
}

/// Tokens are 32 random bytes, so a fast hash is enough: there is nothing to guess.
fn hash(token: &str) -> Sha256 {
    Sha256::from_bytes(*Digest::of(token.as_bytes()).as_bytes())
}
