//! The use cases of a fleet manager: load, decide, remember, in one transaction each. This is the only
//! caller of the store and of the publisher; handlers and jobs come here.

mod applications;
pub(crate) mod backup;
mod capabilities;
mod clients;
mod contacts;
mod counters;
mod deployments;
mod desired_state;
mod giving;
mod hearing;
mod installation;
mod lost;
mod onboarding;
mod operators;
mod order;
mod overtaken;
mod packages;
mod parameters;
mod repository;
mod repository_token;
mod rollback;
mod signers;
mod trust;

use std::sync::Arc;

use fleet_domain::client::OnboardingPolicy;
use fleet_domain::ids::{ClientId, OperatorName};
use fleet_publish::PublishError;
use fleet_store::{
    Added, AuditNote, Database, FleetCounts, Inspection, OpenError, Store, StoreError,
    StoreOptions, Transaction,
};
use tokio::sync::{Notify, mpsc};

pub(crate) use applications::{AddApplicationError, RemoveApplicationError};
pub(crate) use capabilities::{KeptReport, RecordCapabilitiesError};
pub(crate) use clients::{ClientView, DecideError};
pub(crate) use counters::Counters;
pub(crate) use deployments::{DeploymentView, Reportable, WithdrawError};
pub(crate) use desired_state::RevisionView;
pub(crate) use hearing::RecordReportError;
pub(crate) use installation::{NewOrder, Place};
pub(crate) use onboarding::{Onboarding, RegisterError};
pub(crate) use operators::{AddOperatorError, RemoveOperatorError};
pub(crate) use order::{NewContent, OrderError};
pub(crate) use overtaken::{Overtaken, What};
pub(crate) use parameters::GivenValue;
pub(crate) use repository::{Fetched, GitError, Head, PackStream};
pub(crate) use repository_token::{Reader, RepositoryAccess};
pub(crate) use rollback::{NewRollback, Rollback, RollbackError};
pub(crate) use signers::RotateError;
pub(crate) use trust::TrustError;

use crate::identity::{SignedOnce, VerifiedClient};
use crate::room::NoRoom;

use contacts::UnwrittenContacts;
use packages::Packages;
use repository_token::TokenKey;

/// The most items in any list that is given out.
pub(crate) const LONGEST_LIST: u32 = 10_000;
/// The job that publishes a client's desired state; its subject is the client's id.
const PUBLISH: &str = "publish";

/// A fleet. Clones are the same fleet.
#[derive(Clone)]
pub(crate) struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    options: FleetOptions,
    token_key: TokenKey,
    announced: Notify,
    said: mpsc::Sender<hearing::Said>,
    given: mpsc::Sender<giving::Giving>,
    contacts: UnwrittenContacts,
    counters: Counters,
    packages: Packages,
}

/// How a fleet is run.
#[derive(Debug, Clone)]
pub(crate) struct FleetOptions {
    /// What becomes of strangers.
    pub(crate) onboarding: OnboardingPolicy,
    /// Scheme, host and port of URLs in documents.
    pub(crate) origin: String,
}

/// Why a use case failed without anybody's fault in what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    #[error("the same signed request was taken before")]
    Replayed,

    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("making a revision failed")]
    Publish(#[from] PublishError),
    #[error("making a pack failed")]
    Pack(#[from] git_serve::pack::PackError),
    #[error("the store holds a {0} that cannot be read")]
    Corrupt(&'static str),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("writing the document of a deployment")]
    Document(#[from] margo_contract::yaml::UnwritableYaml),
}

/// What keeps the store from its work, and passes when somebody helps or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Others hold the database.
    Busy,
    /// The disk is full.
    Full,
    /// The database cannot be reached, read or written.
    Away,
}

impl Outage {
    /// What whoever runs the server should do.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Busy => {
                "no other program may hold the database of a running server; if none does, its disk or its \
                 machine is too slow"
            }
            Self::Full => "make room on the disk of the database; the server goes on by itself",
            Self::Away => {
                "look at the database and the way to it: is PostgreSQL running and reached, or are the disk and the \
             permissions of the data directory in order? The server goes on by itself"
            }
        }
    }
}

impl FleetError {
    pub(crate) fn outage(&self) -> Option<Outage> {
        match self {
            Self::Store(StoreError::Busy(_)) => Some(Outage::Busy),
            Self::Store(StoreError::Full(_)) => Some(Outage::Full),
            Self::Store(StoreError::Unreachable(_)) => Some(Outage::Away),
            _ => None,
        }
    }
}

/// Why a fleet cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFleetError {
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    #[error("the store cannot be read")]
    Read(#[from] StoreError),
    #[error("the system has no randomness")]
    NoRandomness,
}

impl Fleet {
    /// Opens the fleet in this database. A file is made if it is missing.
    pub(crate) async fn open(
        database: &Database,
        options: FleetOptions,
    ) -> Result<Self, OpenFleetError> {
        let store = Store::open(database, &StoreOptions::default()).await?;
        let token_key = TokenKey::load(&store).await?;
        signers::prepare(&store).await?;
        let (said, saying) = mpsc::channel(hearing::LINE);
        let (given, giving) = mpsc::channel(giving::LINE);
        let inner = Inner {
            store,
            options,
            token_key,
            announced: Notify::new(),
            said,
            given,
            contacts: UnwrittenContacts::default(),
            counters: Counters::default(),
            packages: Packages::default(),
        };
        let store = inner.store.clone();
        tokio::spawn(async move { hearing::hear_all(&store, saying).await });
        let store = inner.store.clone();
        tokio::spawn(async move { giving::write_all(&store, giving).await });
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the store answers.
    pub(crate) async fn check(&self) -> Result<(), FleetError> {
        self.inner.store.read().await?.count_operators().await?;
        Ok(())
    }

    /// What is in this database; nothing where there is no fleet in it yet. Changes nothing.
    pub(crate) async fn inspect(database: &Database) -> Result<Option<Inspection>, OpenFleetError> {
        Ok(fleet_store::inspect(database).await?)
    }

    /// How much of everything there is, and how many clients should have called by now.
    pub(crate) async fn counts(&self, now: i64) -> Result<(FleetCounts, usize), FleetError> {
        let unwritten = self.inner.contacts.all();
        let mut snapshot = self.inner.store.read().await?;
        let counts = snapshot.counts().await?;
        let overdue = snapshot.overdue(now, LONGEST_LIST).await?;
        Ok((counts, contacts::count_overdue(&overdue, &unwritten, now)))
    }

    /// What was done since the fleet was opened.
    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Ends all use of the database.
    pub(crate) async fn close(&self) {
        self.inner.store.close().await;
    }

    /// Waits until a job was written.
    pub(crate) async fn job_announced(&self) {
        self.inner.announced.notified().await;
    }

    /// Begins what a client's signed request changes. The request is remembered with the change, so that
    /// it changes nothing twice: not after a restart, and not at another server of the same store.
    // margo(SP-39, SP-62)
    async fn begin_signed(&self, client: &VerifiedClient) -> Result<Transaction, FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        let SignedOnce { name, until } = client.signed();
        match transaction.remember_signature(name, *until).await? {
            Added::New => Ok(transaction),
            Added::AlreadyThere => Err(FleetError::Replayed),
        }
    }

    /// Forgets what was signed so long ago that it holds no more.
    pub(crate) async fn forget_signatures(&self, now: i64) -> Result<(), FleetError> {
        let mut transaction = self.inner.store.begin().await?;
        transaction.forget_signatures(now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Commits, and tells whoever does jobs that there may be one.
    async fn commit(&self, transaction: Transaction) -> Result<(), FleetError> {
        transaction.commit().await?;
        self.inner.announced.notify_one();
        Ok(())
    }
}

/// Asks for the client's desired state to be published.
async fn ask_to_publish(
    transaction: &mut Transaction,
    client: ClientId,
    now: i64,
) -> Result<(), StoreError> {
    transaction.enqueue_job(PUBLISH, &client.to_string(), now).await
}

async fn audit(
    transaction: &mut Transaction,
    at: i64,
    actor: &OperatorName,
    action: &str,
    subject: impl ToString,
    detail: impl Into<String>,
) -> Result<(), StoreError> {
    let note = AuditNote {
        at,
        actor: actor.to_string(),
        action: action.to_owned(),
        subject: subject.to_string(),
        detail: detail.into(),
    };
    transaction.append_audit(&[note]).await.map(drop)
}
