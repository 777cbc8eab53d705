//! Opens the database, and hands out snapshots and transactions.
//!
//! Whoever writes waits for the one [`Writer`]; readers have their own connections and never wait for it.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor};
use tracing::Span;
use tracing::field::Empty;

use fleet_domain::ids::ClientId;

use crate::database::{Database, Engine};
use crate::engine::Settings;
use crate::known::{Changes, Known};
use crate::notifications::Notifications;
use crate::recent::{Published, Recent};
use crate::writer::{Lease, Writer};
use crate::{OpenError, StoreError, relocation};

/// A database that is about to come back needs less.
const PATIENCE_WHEN_AWAY: Duration = Duration::from_secs(2);

/// The target of the spans that are for traces and not for the log.
const TRACES: &str = "traces";

/// Where the fleet is remembered. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    readers: AnyPool,
    writers: AnyPool,
    writer: Writer,
    known: Arc<Known>,
    recent: Arc<Recent>,
    /// Of what other servers change. SQLite has no other server.
    notifications: Option<Notifications>,
}

/// How a store uses its database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How many snapshots can be open at a time.
    pub readers: u32,
    /// How long to wait for a connection before the store counts as busy.
    pub patience: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { readers: 8, patience: Duration::from_secs(10) }
    }
}

impl Store {
    /// Opens a database and brings its tables up to date.
    pub async fn open(database: &Database, options: &StoreOptions) -> Result<Self, OpenError> {
        let engine = database.engine();
        let settings = engine.settings();
        let (writers, address) = Self::prepared(database, options.patience).await?;
        if engine == Engine::Postgres {
            let unfinished = relocation::is_unfinished(&mut *acquire(&writers).await?).await;
            if unfinished.map_err(|cause| OpenError::Open(cause.into()))? {
                return Err(OpenError::Unfinished);
            }
        }
        let readers = pool(settings, settings.reader, options.patience, options.readers.max(1))
            .connect_lazy_with(address);
        let writer = Writer::start(writers.clone(), settings, options.patience);
        let (known, notifications) = match engine {
            Engine::Sqlite => (Arc::new(Known::of_one_server()), None),
            Engine::Postgres => {
                let known = Arc::new(Known::of_several_servers());
                let notifications = Notifications::hear(database, &known)?;
                (known, Some(notifications))
            }
        };
        Ok(Self { readers, writers, writer, known, recent: Arc::default(), notifications })
    }

    /// Brings the tables of a database up to date, and opens nothing.
    pub(crate) async fn prepare(database: &Database) -> Result<(), OpenError> {
        let patience = StoreOptions::default().patience;
        let (writers, _) = Self::prepared(database, patience).await?;
        writers.close().await;
        Ok(())
    }

    async fn prepared(
        database: &Database,
        patience: Duration,
    ) -> Result<(AnyPool, AnyConnectOptions), OpenError> {
        sqlx::any::install_default_drivers();
        let engine = database.engine();
        let address = AnyConnectOptions::from_str(database.url())
            .map_err(|cause| OpenError::Open(cause.into()))?;
        let settings = engine.settings();
        let writers = pool(settings, settings.writer, patience, 1)
            .connect_with(address.clone())
            .await
            .map_err(|cause| OpenError::Open(cause.into()))?;
        // Steps may take longer than anything else that is asked for.
        let mut unbounded =
            address.connect().await.map_err(|cause| OpenError::Open(cause.into()))?;
        engine.check_version(&mut unbounded).await?;
        crate::schema::bring_up_to_date(&mut unbounded).await?;
        unbounded.close().await.map_err(|cause| OpenError::Open(cause.into()))?;
        Ok((writers, address))
    }

    /// The fleet as it is now, whatever is written meanwhile.
    pub async fn read(&self) -> Result<Snapshot, StoreError> {
        let begun = self.with_patience(async { Ok(self.readers.begin().await?) }).await?;
        Ok(Snapshot { inner: Inner::Read(begun) })
    }

    /// Begins to change the fleet. Waits for those who asked before.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let span = tracing::trace_span!(target: TRACES, "transaction", committed = Empty);
        let lease = self.with_patience(self.writer.begin()).await?;
        let snapshot = Snapshot { inner: Inner::Write(lease) };
        let changes = Changes::none(Arc::clone(&self.known));
        let recent = Arc::clone(&self.recent);
        Ok(Transaction { snapshot, changes, published: Vec::new(), recent, span })
    }

    /// While the database is known to be away nobody waits long for it, so that those who ask do not pile up.
    async fn with_patience<T>(
        &self,
        begun: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.known.hears_nothing() {
            return begun.await;
        }
        match tokio::time::timeout(PATIENCE_WHEN_AWAY, begun).await {
            Ok(Err(StoreError::Busy(cause))) => Err(StoreError::Unreachable(cause)),
            Ok(begun) => begun,
            Err(elapsed) => Err(StoreError::Unreachable(StoreError::cause(elapsed))),
        }
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Waits for the connections that are in use, then closes all.
    pub async fn close(&self) {
        if let Some(notifications) = &self.notifications {
            notifications.end();
        }
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// One state of the fleet, to read from.
#[derive(Debug)]
pub struct Snapshot {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Read(sqlx::Transaction<'static, Any>),
    Write(Lease),
}

impl Snapshot {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        match &mut self.inner {
            Inner::Read(transaction) => transaction,
            Inner::Write(lease) => lease,
        }
    }
}

/// A change of the fleet in the making. Reads see what it has written so far; nobody else does before
/// [`commit`](Self::commit). Dropped without that, it has changed nothing.
#[derive(Debug)]
#[must_use = "a transaction that is not committed changes nothing"]
pub struct Transaction {
    snapshot: Snapshot,
    changes: Changes,
    published: Vec<(ClientId, Published)>,
    recent: Arc<Recent>,
    /// Of the traces: as long as the transaction, with the time that it waited to begin.
    span: Span,
}

impl Transaction {
    /// Makes the change durable, all of it at once.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { snapshot, changes, published, recent, span } = self;
        match snapshot.inner {
            Inner::Write(lease) => lease.commit(changes).await?,
            // A snapshot changes nothing.
            Inner::Read(_) => {}
        }
        for (client, revision) in &published {
            recent.published(*client, revision);
        }
        span.record("committed", true);
        Ok(())
    }

    /// Notes that what every poll of a client asks is something else after this transaction.
    pub(crate) fn changes_state_of(&mut self, client: ClientId) {
        self.changes.note(client);
    }

    /// Notes that a client's newest revision is this one after this transaction.
    pub(crate) fn publishes(&mut self, client: ClientId, revision: Published) {
        self.changes.note(client);
        self.published.push((client, revision));
    }
}

impl Deref for Transaction {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }
}

async fn acquire(pool: &AnyPool) -> Result<PoolConnection<Any>, OpenError> {
    pool.acquire().await.map_err(|cause| OpenError::Open(cause.into()))
}

fn pool(
    settings: &'static Settings,
    session: &'static [&'static str],
    patience: Duration,
    connections: u32,
) -> AnyPoolOptions {
    let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(patience);
    // SQLite ends a transaction by itself when the disk is full; the driver does not notice, and such a
    // connection can begin no other.
    let options = options.before_acquire(|connection, _| {
        let usable = !connection.is_in_transaction();
        Box::pin(async move { Ok(usable) })
    });
    // There is no network on the way to a file, so no connection to one needs a test before each use.
    options.test_before_acquire(settings.over_a_network).after_connect(move |connection, _| {
        Box::pin(async move {
            for setting in session {
                connection.execute(*setting).await?;
            }
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuditNote;
    use crate::columns::Columns;

    fn note(length: usize) -> AuditNote {
        let word = || "x".to_owned();
        let (actor, action, subject) = (word(), word(), word());
        AuditNote { at: 1, actor, action, subject, detail: "x".repeat(length) }
    }

    async fn setting(connection: &mut AnyConnection, pragma: &'static str) -> i64 {
        let row = sqlx::query(pragma).fetch_one(connection).await.expect("SQLite answers");
        Columns::of("pragma", &row).integer("it").expect("a number")
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_and_references_are_checked() {
        let folder = tempfile::tempdir().expect("a place for a database");
        let database = Database::sqlite(&folder.path().join("fleet.db"));
        let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
        let mut transaction = store.begin().await.expect("nobody else writes");
        let connection = transaction.connection();
        let full = "SELECT synchronous AS it FROM pragma_synchronous";
        assert_eq!(setting(connection, full).await, 2);
        let checked = "SELECT foreign_keys AS it FROM pragma_foreign_keys";
        assert_eq!(setting(connection, checked).await, 1);
        let wal = "SELECT COUNT(*) AS it FROM pragma_journal_mode WHERE journal_mode = 'wal'";
        assert_eq!(setting(connection, wal).await, 1);
        let mut snapshot = store.read().await.expect("there is a reader");
        let read_only = "SELECT query_only AS it FROM pragma_query_only";
        assert_eq!(setting(snapshot.connection(), read_only).await, 1);
    }

    #[tokio::test]
    async fn after_a_full_disk_there_is_a_connection_that_can_write() {
        let folder = tempfile::tempdir().expect("a place for a database");
        let database = Database::sqlite(&folder.path().join("fleet.db"));
        let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
        for _ in 0..3 {
            let mut transaction = store.begin().await.expect("nobody else writes");
            let connection = transaction.connection();
            connection.execute("PRAGMA max_page_count = 1").await.expect("a limit can be set");
            let failed = transaction.append_audit(&[note(1 << 20)]).await.expect_err("no room");
            assert!(matches!(failed, StoreError::Full(_)), "{failed:?}");
            drop(transaction);
            let mut transaction = store.begin().await.expect("there is another connection");
            transaction.append_audit(&[note(1)]).await.expect("there is room");
            transaction.commit().await.expect("there is room");
        }
        let mut snapshot = store.read().await.expect("it can be read");
        let kept = snapshot.audit(0, 10).await.expect("it can be read");
        assert_eq!(kept.len(), 3);
    }

    #[tokio::test]
    async fn files_that_are_gone_are_an_outage_and_no_fault() {
        let folder = tempfile::tempdir().expect("a place for a database");
        let database = Database::sqlite(&folder.path().join("fleet.db"));
        let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
        drop(folder);
        let failed = store.read().await.expect_err("there is no file to open");
        assert!(matches!(failed, StoreError::Unreachable(_)), "{failed:?}");
    }
}
