//! Tokens for the Git endpoint: short-lived, for reading one repository, and nothing that has to be
//! stored. A token is its expiry and a keyed hash over client and expiry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commit_signature::Signer;
use fleet_domain::client::Standing;
use fleet_domain::ids::{ClientId, OperatorName};
use fleet_store::Store;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Fleet, FleetError, OpenFleetError, audit};

const SETTING: &str = "repository-token-key";
const LIFETIME_SECONDS: i64 = 60 * 60;

/// Where a client's repository is, and what opens it for a while.
pub(crate) struct RepositoryAccess {
    pub(crate) url: String,
    pub(crate) branch: &'static str,
    pub(crate) token: String,
    /// Who signs its commits.
    pub(crate) signers: Vec<Signer>,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

/// The key of all tokens. It outlives restarts in the store.
pub(super) struct TokenKey(hmac::Key);

impl TokenKey {
    pub(super) async fn load(store: &Store) -> Result<Self, OpenFleetError> {
        let mut transaction = store.begin().await?;
        let secret = match transaction.setting(SETTING).await? {
            Some(secret) => secret,
            None => {
                let mut secret = vec![0; 32];
                SystemRandom::new().fill(&mut secret).map_err(|_| OpenFleetError::NoRandomness)?;
                transaction.set_setting(SETTING, &secret).await?;
                secret
            }
        };
        transaction.commit().await?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    fn token(&self, client: ClientId, expires_at: i64) -> String {
        let expiry = expires_at.to_be_bytes();
        let tag = hmac::sign(&self.0, &signed(client, expiry));
        URL_SAFE_NO_PAD.encode([&expiry[..], tag.as_ref()].concat())
    }

    fn holds(&self, client: ClientId, token: &str, now: i64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expiry, tag)) = bytes.split_first_chunk::<8>() else { return false };
        hmac::verify(&self.0, &signed(client, *expiry), tag).is_ok()
            && i64::from_be_bytes(*expiry) > now
    }
}

fn signed(client: ClientId, expiry: [u8; 8]) -> Vec<u8> {
    [b"gantry repository\0".as_slice(), client.as_uuid().as_bytes(), &expiry].concat()
}

impl Fleet {
    /// Access to a client's repository, with a fresh token.
    pub(crate) async fn repository_access(
        &self,
        client: ClientId,
        now: i64,
    ) -> Result<RepositoryAccess, FleetError> {
        let expires_at = now + LIFETIME_SECONDS;
        Ok(RepositoryAccess {
            url: format!("{}/git/{client}.git", self.inner.options.origin),
            branch: "main",
            token: self.inner.token_key.token(client, expires_at),
            signers: self.signers_for(client).await?,
            expires_at,
        })
    }

    /// Access for an operator; it is written into the audit log.
    pub(crate) async fn open_repository(
        &self,
        operator: &OperatorName,
        client: ClientId,
        now: i64,
    ) -> Result<RepositoryAccess, FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        audit(&mut transaction, now, operator, "client.open-repository", client, "").await?;
        self.commit(transaction).await?;
        self.repository_access(client, now).await
    }

    /// Whose repository a user name and token open; nobody's when the client is no longer let in.
    pub(crate) async fn git_caller(
        &self,
        username: &str,
        token: &str,
        now: i64,
    ) -> Result<Option<ClientId>, FleetError> {
        let Ok(client) = username.parse::<ClientId>() else { return Ok(None) };
        if !self.inner.token_key.holds(client, token, now) {
            return Ok(None);
        }
        let state = self.inner.store.repository_state(client).await?;
        Ok(state.filter(|it| it.standing == Standing::Approved).map(|_| client))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_token_opens_one_repository_until_it_expires() {
        let key = TokenKey(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
        let (one, other) =
            (ClientId::from_uuid(Uuid::from_u128(1)), ClientId::from_uuid(Uuid::from_u128(2)));
        let token = key.token(one, NOW + 10);
        assert!(key.holds(one, &token, NOW));
        assert!(key.holds(one, &token, NOW + 9));
        assert!(!key.holds(one, &token, NOW + 10));
        assert!(!key.holds(other, &token, NOW));
        for bad in ["", "AAAA", &token[1..], &token.to_lowercase()] {
            assert!(!key.holds(one, bad, NOW), "{bad}");
        }
        let stranger = TokenKey(hmac::Key::new(hmac::HMAC_SHA256, b"other"));
        assert!(!stranger.holds(one, &token, NOW));
    }
}
