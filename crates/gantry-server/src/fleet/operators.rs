//! Who may operate the fleet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::ids::{OperatorName, Sha256};
use fleet_domain::permission::Role;
use fleet_store::Operator;
use margo_contract::digest::Digest;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Fleet, FleetError, audit};

const FIRST_ADMINISTRATOR: &str = "admin";

/// A token before anybody has it. Says nothing about itself when printed.
pub(crate) struct NewToken(String);

impl NewToken {
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl Fleet {
    /// A token for the first administrator, while there is no operator at all. It counts once it is
    /// confirmed.
    pub(crate) async fn first_administrator(&self) -> Result<Option<NewToken>, FleetError> {
        if self.inner.store.read().await?.count_operators().await? > 0 {
            return Ok(None);
        }
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| FleetError::Corrupt("source of randomness"))?;
        Ok(Some(NewToken(format!("gantry_{}", URL_SAFE_NO_PAD.encode(secret)))))
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
