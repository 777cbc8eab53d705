//! How clients come in: whom a certificate belongs to, and who vouches for it. An operator may also name
//! certificates beforehand.

use fleet_domain::client::{Client, Standing};
use fleet_domain::desired_state::{Order, Ordered};
use fleet_domain::ids::{ClientId, OperatorName, Sha256};
use fleet_store::{AuditNote, StoreError, Transaction};
use uuid::Uuid;

use super::{ClientView, Fleet, FleetError, ask_to_publish, audit};
use crate::certificate::Certificate;
use crate::identity::PresentedCertificate;

/// No more strangers wait at a time: each costs room in the store. A further one takes the place of the
/// one that has waited longest, who takes another place when it asks again.
const MOST_WAITING: u64 = 10_000;

/// What became of a client that asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onboarding {
    Accepted(ClientId),
    Waiting,
    Refused,
}

/// Why a certificate was not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error("there is no such client")]
    Unknown,
    #[error("the key of this certificate is that of the client {0} already")]
    KeyInUse(ClientId),
    #[error("this certificate is announced for the client {0} already")]
    Announced(ClientId),
    #[error("only an approved client can be given another certificate")]
    NotApproved,
    #[error("the certificate could not be remembered")]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl Fleet {
    /// A client that holds the key of this certificate asks to be let in. The same key is the same client.
    pub(crate) async fn onboard(
        &self,
        presented: &PresentedCertificate,
        now: i64,
    ) -> Result<Onboarding, FleetError> {
        let certificate = &presented.certificate;
        let mut snapshot = self.inner.store.read().await?;
        let known = snapshot.client_by_key(&certificate.key).await?.map(|it| it.client);
        drop(snapshot);
        // Most ask for what is so already, and that takes no transaction.
        if let Some(client) = &known
            && client.fingerprint == certificate.fingerprint
            && client.standing != Standing::Waiting
        {
            return Ok(outcome(client));
        }
        let issuer = self.issuer(presented, now).await?;
        if let Some(client) = &known
            && client.fingerprint == certificate.fingerprint
            && issuer.is_none()
        {
            return Ok(outcome(client));
        }

        let mut transaction = self.inner.store.begin().await?;
        let known = transaction.client_by_key(&certificate.key).await?.map(|it| it.client);
        let issued_as = issuer.as_ref().and_then(|it| it.name_for(certificate));
        let client = match known {
            Some(client) => client,
            None => {
                let renewed =
                    transaction.client_to_renew(&certificate.fingerprint, issued_as.as_ref());
                match renewed.await? {
                    Some(entry) => entry.client,
                    None => {
                        return self.admit_stranger(transaction, certificate, issuer, now).await;
                    }
                }
            }
        };
        if matches!(client.standing, Standing::Rejected | Standing::Revoked) {
            return Ok(Onboarding::Refused);
        }
        let vouched_for = client.standing == Standing::Waiting && issuer.is_some();
        let client = Client {
            fingerprint: certificate.fingerprint,
            key: certificate.key,
            issued_as,
            certificate_der: certificate.der.clone(),
            standing: if vouched_for { Standing::Approved } else { client.standing },
            ..client
        };
        transaction.save_certificate(&client).await?;
        note(&mut transaction, &client, "client.certificate", &certificate.fingerprint, now)
            .await?;
        if vouched_for {
            ask_to_publish(&mut transaction, client.id, now).await?;
        }
        self.commit(transaction).await?;
        tracing::info!(client = %client.id, name = client.name, fingerprint = %client.fingerprint, standing = client.standing.name(), "a client comes with another certificate or is vouched for now");
        Ok(outcome(&client))
    }

    async fn admit_stranger(
        &self,
        mut transaction: Transaction,
        certificate: &Certificate,
        issuer: Option<Certificate>,
        now: i64,
    ) -> Result<Onboarding, FleetError> {
        let policy = self.inner.options.onboarding;
        let Some(standing) = policy.standing_of_stranger(issuer.is_some()) else {
            tracing::warn!(name = certificate.common_name, fingerprint = %certificate.fingerprint, "a client is turned away: its certificate is not registered, and no trusted authority vouches for it");
            return Ok(Onboarding::Refused);
        };
        let client = stranger(certificate, issuer.as_ref(), standing);
        match standing {
            Standing::Approved => {
                note(&mut transaction, &client, "client.admit", &certificate.fingerprint, now)
                    .await?;
            }
            _ if transaction.count_clients(Standing::Waiting).await? >= MOST_WAITING => {
                transaction.forget_waiting(None).await?;
                tracing::warn!(
                    "too many clients wait; the one that has waited longest is forgotten"
                );
            }
            _ => {}
        }
        transaction.add_client(&client, now).await?;
        if standing == Standing::Approved {
            ask_to_publish(&mut transaction, client.id, now).await?;
        }
        self.commit(transaction).await?;
        let vouched_for_by = issuer.map(|it| it.common_name);
        tracing::info!(client = %client.id, name = client.name, fingerprint = %client.fingerprint, standing = standing.name(), vouched_for_by, "a new client onboards");
        Ok(outcome(&client))
    }

    /// An operator lets the owner of a certificate in before it has ever called.
    pub(crate) async fn register_client(
        &self,
        operator: &OperatorName,
        certificate: &Certificate,
        reason: Option<String>,
        now: i64,
    ) -> Result<ClientView, RegisterError> {
        let mut transaction = self.inner.store.begin().await?;
        if let Some(known) = transaction.client_by_key(&certificate.key).await? {
            return Err(RegisterError::KeyInUse(known.client.id));
        }
        let client = stranger(certificate, None, Standing::Approved);
        transaction.add_client(&client, now).await?;
        let decision = fleet_store::Decision { by: operator.clone(), at: now };
        transaction.save_standing(&client, &decision).await?;
        let detail = reason.clone().unwrap_or_default();
        audit(&mut transaction, now, operator, "client.register", client.id, detail).await?;
        let what = Ordered::Admit { client: client.name.clone() };
        let order = Order { operator: operator.clone(), at: now, what, reason };
        transaction.append_order(client.id, &order).await?;
        ask_to_publish(&mut transaction, client.id, now).await?;
        self.commit(transaction).await?;
        tracing::info!(client = %client.id, %operator, fingerprint = %client.fingerprint, "an operator registers a client");
        self.client_view(client.id).await?.ok_or(RegisterError::Unknown)
    }

    /// An operator announces the certificate with which a client comes next. Until it does, the one that
    /// it has counts.
    pub(crate) async fn renew_client(
        &self,
        operator: &OperatorName,
        id: ClientId,
        certificate: &Certificate,
        reason: Option<String>,
        now: i64,
    ) -> Result<ClientView, RegisterError> {
        let mut transaction = self.inner.store.begin().await?;
        let client = transaction.client(id).await?.ok_or(RegisterError::Unknown)?.client;
        if client.standing != Standing::Approved {
            return Err(RegisterError::NotApproved);
        }
        match transaction.client_by_key(&certificate.key).await?.map(|it| it.client) {
            // It has called with the new key before anybody was told.
            Some(other) if other.standing == Standing::Waiting => {
                transaction.forget_waiting(Some(other.id)).await?;
            }
            Some(other) if other.id != id => return Err(RegisterError::KeyInUse(other.id)),
            _ => {}
        }
        let expecting = transaction.client_to_renew(&certificate.fingerprint, None).await?;
        if let Some(other) = expecting.filter(|it| it.client.id != id) {
            return Err(RegisterError::Announced(other.client.id));
        }
        transaction.expect_certificate(id, &certificate.fingerprint).await?;
        let reason = reason.map(|it| format!(": {it}")).unwrap_or_default();
        let detail = format!("{}{reason}", certificate.fingerprint);
        audit(&mut transaction, now, operator, "client.renew", id, detail).await?;
        self.commit(transaction).await?;
        tracing::info!(client = %id, %operator, fingerprint = %certificate.fingerprint, "an operator announces another certificate");
        self.client_view(id).await?.ok_or(RegisterError::Unknown)
    }

    /// The trusted authority that vouches for a certificate.
    async fn issuer(
        &self,
        presented: &PresentedCertificate,
        now: i64,
    ) -> Result<Option<Certificate>, FleetError> {
        let trusted = self.authorities().await?;
        let read = trusted.into_iter().filter_map(|it| Certificate::read(it.certificate_der).ok());
        Ok(read
            .filter(|it| it.check_validity(now).is_ok())
            .find(|it| it.vouches_for(&presented.certificate, &presented.intermediates, now)))
    }
}

fn stranger(certificate: &Certificate, issuer: Option<&Certificate>, standing: Standing) -> Client {
    Client {
        // margo(SP-16)
        id: ClientId::from_uuid(Uuid::new_v4()),
        fingerprint: certificate.fingerprint,
        key: certificate.key,
        issued_as: issuer.and_then(|it| it.name_for(certificate)),
        certificate_der: certificate.der.clone(),
        name: certificate.common_name.clone(),
        standing,
    }
}

fn outcome(client: &Client) -> Onboarding {
    match client.standing {
        Standing::Approved => Onboarding::Accepted(client.id),
        Standing::Waiting => Onboarding::Waiting,
        Standing::Rejected | Standing::Revoked => Onboarding::Refused,
    }
}

/// Writes down what a client did by itself.
async fn note(
    transaction: &mut Transaction,
    client: &Client,
    action: &str,
    fingerprint: &Sha256,
    now: i64,
) -> Result<(), StoreError> {
    let note = AuditNote {
        at: now,
        actor: client.id.to_string(),
        action: action.to_owned(),
        subject: client.id.to_string(),
        detail: fingerprint.to_string(),
    };
    transaction.append_audit(&[note]).await.map(drop)
}
