//! Tokens for the Git endpoint: short-lived, for reading one repository, and nothing that has to be
//! stored. A token is its expiry and a keyed hash over client and expiry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::client::Standing;
use fleet_domain::ids::ClientId;
use fleet_store::Store;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Fleet, FleetError, OpenFleetError};

const SETTING: &str = "repository-token-key";
const LIFETIME_SECONDS: i64 = 60 * 60;

/// What opens a client's repository, for a while.
pub(crate) struct RepositoryAccess {
    pub(crate) token: String,
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
    /// A fresh token for a client's repository.
    pub(crate) fn repository_access(&self, client: ClientId, now: i64) -> RepositoryAccess {
        let expires_at = now + LIFETIME_SECONDS;
        RepositoryAccess { token: self.inner.token_key.token(client, expires_at), expires_at }
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
        let client = self.client(client).await?;
        Ok(client.filter(|it| it.standing == Standing::Approved).map(|it| it.id))
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
