//! Certificate authorities that operators trust to vouch for clients.

use fleet_domain::ids::{OperatorName, Sha256};
use fleet_store::{Added, Authority, StoreError};

use super::{Fleet, FleetError, audit};
use crate::certificate::Certificate;

/// More authorities than this are a mistake: each is tried for every stranger.
const MOST_AUTHORITIES: u32 = 100;

/// Why an authority is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("this authority is trusted already")]
    AlreadyThere,
    #[error("{MOST_AUTHORITIES} authorities are trusted already")]
    TooMany,
    #[error("the authority could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for TrustError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// The trusted authorities, the oldest first.
    pub(crate) async fn authorities(&self) -> Result<Vec<Authority>, FleetError> {
        Ok(self.inner.store.read().await?.authorities(MOST_AUTHORITIES).await?)
    }

    pub(crate) async fn trust(
        &self,
        operator: &OperatorName,
        certificate: Certificate,
        reason: Option<&str>,
        now: i64,
    ) -> Result<Authority, TrustError> {
        let authority = Authority {
            fingerprint: certificate.fingerprint,
            certificate_der: certificate.der,
            name: certificate.common_name,
            added_by: operator.clone(),
            added_at: now,
        };
        let mut transaction = self.inner.store.begin().await?;
        if transaction.authorities(MOST_AUTHORITIES).await?.len() >= MOST_AUTHORITIES as usize {
            return Err(TrustError::TooMany);
        }
        if transaction.add_authority(&authority).await? == Added::AlreadyThere {
            return Err(TrustError::AlreadyThere);
        }
        let fingerprint = authority.fingerprint;
        let reason = reason.map(|it| format!(": {it}")).unwrap_or_default();
        let detail = format!("{}{reason}", authority.name);
        audit(&mut transaction, now, operator, "trust.add", fingerprint, detail).await?;
        self.commit(transaction).await?;
        tracing::info!(%operator, %fingerprint, name = authority.name, "an authority is trusted to vouch for clients");
        Ok(authority)
    }

    /// Trusts an authority no more; whether it was trusted. Whom it vouched for stays in.
    pub(crate) async fn distrust(
        &self,
        operator: &OperatorName,
        fingerprint: &Sha256,
        now: i64,
    ) -> Result<bool, FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        let known = transaction.remove_authority(fingerprint).await?;
        if known {
            audit(&mut transaction, now, operator, "trust.remove", fingerprint, "").await?;
            tracing::info!(%operator, %fingerprint, "an authority is trusted no more");
        }
        self.commit(transaction).await?;
        Ok(known)
    }
}
