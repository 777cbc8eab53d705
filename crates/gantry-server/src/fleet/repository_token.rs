//! Tokens for the Git endpoint: short-lived, for reading one repository, and nothing that has to be
//! stored. A token is its expiry and a keyed hash over client and expiry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commit_signature::Signer;
use fleet_domain::client::Standing;
use fleet_domain::ids::{ClientId, OperatorName, Sha256};
use fleet_store::Store;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Fleet, FleetError, OpenFleetError, audit};

const SETTING: &str = "repository-token-key";
const LIFETIME_SECONDS: i64 = 60 * 60;
/// Of HMAC-SHA-256, in bytes.
const TAG_LENGTH: usize = 32;

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

/// Who reads a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The client itself: what it reads it is told.
    Client,
    /// An operator, who looks, as long as there is one of this name.
    Operator(OperatorName),
}

/// Whose repository a token opens. It ends with the client's key.
struct Repository {
    client: ClientId,
    key: Sha256,
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

    fn token(&self, reader: &Reader, of: &Repository, expires_at: i64) -> String {
        let expiry = expires_at.to_be_bytes();
        let tag = hmac::sign(&self.0, &signed(reader, of, expiry));
        let name = match reader {
            Reader::Client => "",
            Reader::Operator(name) => name.as_str(),
        };
        URL_SAFE_NO_PAD.encode([&expiry[..], tag.as_ref(), name.as_bytes()].concat())
    }

    /// Whom the token was given to, if it opens the client's repository.
    fn reader(&self, of: &Repository, token: &str, now: i64) -> Option<Reader> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (expiry, rest) = bytes.split_first_chunk::<8>()?;
        let (tag, name) = rest.split_first_chunk::<TAG_LENGTH>()?;
        if i64::from_be_bytes(*expiry) <= now {
            return None;
        }
        let reader = match name {
            [] => Reader::Client,
            name => Reader::Operator(std::str::from_utf8(name).ok()?.parse().ok()?),
        };
        hmac::verify(&self.0, &signed(&reader, of, *expiry), tag).ok().map(|()| reader)
    }
}

fn signed(reader: &Reader, of: &Repository, expiry: [u8; 8]) -> Vec<u8> {
    let (purpose, name): (&[u8], &str) = match reader {
        Reader::Client => (b"gantry repository\0", ""),
        Reader::Operator(name) => (b"gantry repository, to look at\0", name.as_str()),
    };
    let client = of.client.as_uuid();
    [purpose, client.as_bytes(), of.key.as_bytes(), &expiry, name.as_bytes()].concat()
}

impl Fleet {
    /// Access to a client's repository, with a fresh token.
    pub(crate) async fn repository_access(
        &self,
        reader: Reader,
        client: ClientId,
        now: i64,
    ) -> Result<RepositoryAccess, FleetError> {
        let expires_at = now + LIFETIME_SECONDS;
        let state = self.inner.store.client_state(client).await?;
        let key = state.ok_or(FleetError::Corrupt("client of a repository"))?.key;
        let of = Repository { client, key };
        Ok(RepositoryAccess {
            url: format!("{}/git/{client}.git", self.inner.options.origin),
            branch: "main",
            token: self.inner.token_key.token(&reader, &of, expires_at),
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
        self.repository_access(Reader::Operator(operator.clone()), client, now).await
    }

    /// Whose repository a user name and token open, and for whom; nobody's when the client is no longer let in.
    pub(crate) async fn git_caller(
        &self,
        username: &str,
        token: &str,
        now: i64,
    ) -> Result<Option<(ClientId, Reader)>, FleetError> {
        let Ok(client) = username.parse::<ClientId>() else { return Ok(None) };
        let state = self.inner.store.client_state(client).await?;
        let Some(state) = state.filter(|it| it.standing == Standing::Approved) else {
            return Ok(None);
        };
        let of = Repository { client, key: state.key };
        let Some(reader) = self.inner.token_key.reader(&of, token, now) else { return Ok(None) };
        if let Reader::Operator(name) = &reader {
            let operators = self.operators().await?;
            if !operators.iter().any(|it| it.name == *name) {
                return Ok(None);
            }
        }
        Ok(Some((client, reader)))
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
        let repository = |client, key| Repository {
            client: ClientId::from_uuid(Uuid::from_u128(client)),
            key: Sha256::from_bytes([key; 32]),
        };
        let (one, other, rekeyed) = (repository(1, 1), repository(2, 1), repository(1, 2));
        let ada = Reader::Operator("ada".parse().expect("a good name"));
        for reader in [Reader::Client, ada] {
            let token = key.token(&reader, &one, NOW + 10);
            assert_eq!(key.reader(&one, &token, NOW).as_ref(), Some(&reader));
            assert_eq!(key.reader(&one, &token, NOW + 9).as_ref(), Some(&reader));
            assert_eq!(key.reader(&one, &token, NOW + 10), None);
            assert_eq!(key.reader(&other, &token, NOW), None);
            assert_eq!(key.reader(&rekeyed, &token, NOW), None);
            for bad in ["", "AAAA", &token[1..], &token.to_lowercase()] {
                assert_eq!(key.reader(&one, bad, NOW), None, "{bad}");
            }
            let stranger = TokenKey(hmac::Key::new(hmac::HMAC_SHA256, b"other"));
            assert_eq!(stranger.reader(&one, &token, NOW), None);
        }
    }
}
