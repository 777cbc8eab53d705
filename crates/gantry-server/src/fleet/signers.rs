//! The keys with which the fleet manager signs the commits of desired states. They lie in the store, so
//! that every server of a fleet signs alike; the newest is the one in use, and each client's repository
//! moves to it with its next two revisions (see `fleet_publish`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commit_signature::{Signer, SigningKey};
use fleet_domain::ids::{ClientId, OperatorName};
use fleet_store::{Revision, Snapshot, Store, Transaction};

use super::{Fleet, FleetError, OpenFleetError, audit};

const SETTING: &str = "commit-signing-keys";
/// More keys than this are a mistake: each stays for the history that it has signed.
const MOST_KEYS: usize = 100;

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error("there are {MOST_KEYS} keys already")]
    TooMany,
    #[error("the new key could not be remembered")]
    Fleet(#[from] FleetError),
}

/// Makes the first key where there is none.
pub(super) async fn prepare(store: &Store) -> Result<(), OpenFleetError> {
    let mut transaction = store.begin().await?;
    if transaction.setting(SETTING).await?.is_none() {
        let key = SigningKey::generate().map_err(|_| OpenFleetError::NoRandomness)?;
        transaction.set_setting(SETTING, &encode(&[key])).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// The keys that there are, the oldest first.
pub(super) async fn keys(snapshot: &mut Snapshot) -> Result<Vec<SigningKey>, FleetError> {
    let corrupt = || FleetError::Corrupt("set of signing keys");
    decode(snapshot)
        .await?
        .iter()
        .map(|der| SigningKey::from_pkcs8_der(der).map_err(|_| corrupt()))
        .collect()
}

/// Whose signature a kept revision carries.
pub(super) fn signer_of(revision: &Revision) -> Option<Signer> {
    revision.signer.as_ref()?.parse().ok()
}

impl Fleet {
    /// Every key that has signed or will sign, the oldest first.
    pub(crate) async fn signers(&self) -> Result<Vec<Signer>, FleetError> {
        let keys = keys(&mut self.inner.store.read().await?).await?;
        Ok(keys.iter().map(SigningKey::signer).collect())
    }

    /// The keys that a client has to trust to follow its repository from the newest revision on.
    pub(crate) async fn signers_for(&self, client: ClientId) -> Result<Vec<Signer>, FleetError> {
        let mut snapshot = self.inner.store.read().await?;
        let newest = snapshot.newest_revision(client).await?;
        let mut signers: Vec<Signer> = newest.as_ref().and_then(signer_of).into_iter().collect();
        let keys = keys(&mut snapshot).await?;
        signers.extend(keys.last().map(SigningKey::signer));
        signers.dedup();
        Ok(signers)
    }

    /// Makes a new key, which takes the place of the one in use.
    pub(crate) async fn rotate_signing_key(
        &self,
        operator: &OperatorName,
        now: i64,
    ) -> Result<Signer, RotateError> {
        let mut transaction = self.inner.store.begin().await.map_err(FleetError::from)?;
        let mut keys = decode(&mut transaction).await?;
        if keys.len() >= MOST_KEYS {
            return Err(RotateError::TooMany);
        }
        let der =
            SigningKey::generate().map_err(|_| FleetError::Corrupt("source of randomness"))?;
        let signer = SigningKey::from_pkcs8_der(&der)
            .map_err(|_| FleetError::Corrupt("new signing key"))?
            .signer();
        keys.push(der);
        self.remember(transaction, &keys, operator, &signer, now).await?;
        tracing::info!(%operator, %signer, "commits are signed by a new key");
        Ok(signer)
    }

    async fn remember(
        &self,
        mut transaction: Transaction,
        keys: &[Vec<u8>],
        operator: &OperatorName,
        signer: &Signer,
        now: i64,
    ) -> Result<(), FleetError> {
        transaction.set_setting(SETTING, &encode(keys)).await?;
        audit(&mut transaction, now, operator, "signing-key.rotate", signer, "").await?;
        self.commit(transaction).await
    }
}

async fn decode(snapshot: &mut Snapshot) -> Result<Vec<Vec<u8>>, FleetError> {
    let corrupt = || FleetError::Corrupt("set of signing keys");
    let kept = snapshot.setting(SETTING).await?.ok_or_else(corrupt)?;
    let lines: Vec<String> = serde_json::from_slice(&kept).map_err(|_| corrupt())?;
    lines.iter().map(|line| STANDARD.decode(line).map_err(|_| corrupt())).collect()
}

fn encode(keys: &[Vec<u8>]) -> Vec<u8> {
    let lines: Vec<String> = keys.iter().map(|der| STANDARD.encode(der)).collect();
    serde_json::to_vec(&lines).expect("a list of text is JSON")
}
