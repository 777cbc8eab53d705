//! Opens the database, and hands out snapshots and transactions.
//!
//! Whoever writes waits for the one [`Writer`]; readers have their own connections and never wait for it
//! (WAL).

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor};
use tracing::Span;
use tracing::field::Empty;

use fleet_domain::ids::ClientId;

use crate::StoreError;
use crate::known::{Changes, Known};
use crate::recent::{Published, Recent};
use crate::writer::{Lease, Writer};

/// The target of the spans that are for traces and not for the log.
const TRACES: &str = "traces";

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

/// Where the fleet is remembered. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    readers: AnyPool,
    writers: AnyPool,
    writer: Writer,
    known: Arc<Known>,
    recent: Arc<Recent>,
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

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`{scheme}` is not a kind of database that this program can use; `sqlite` is")]
    UnsupportedDatabase { scheme: String },
    #[error("the database cannot be opened")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the tables of the database cannot be brought up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The URL of a SQLite database file, which [`Store::open`] makes when it is not there.
pub fn sqlite_url(file: &Path) -> String {
    let mut url = "sqlite://".to_owned();
    for character in file.to_string_lossy().chars() {
        match character {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            other => url.push(other),
        }
    }
    url.push_str("?mode=rwc");
    url
}

impl Store {
    /// Opens the database at a `sqlite:` URL and brings its tables up to date.
    pub async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let scheme = url.split(':').next().unwrap_or_default();
        if scheme != "sqlite" {
            return Err(OpenError::UnsupportedDatabase { scheme: scheme.to_owned() });
        }
        sqlx::any::install_default_drivers();
        let database =
            AnyConnectOptions::from_str(url).map_err(|cause| OpenError::Open(cause.into()))?;

        let writers = pool(&WRITER, options.patience, 1)
            .connect_with(database.clone())
            .await
            .map_err(|cause| OpenError::Open(cause.into()))?;
        MIGRATIONS.run(&writers).await.map_err(|cause| OpenError::Migrate(cause.into()))?;
        let readers =
            pool(&READER, options.patience, options.readers.max(1)).connect_lazy_with(database);
        let writer = Writer::start(writers.clone(), options.patience);
        Ok(Self { readers, writers, writer, known: Arc::default(), recent: Arc::default() })
    }

    /// The fleet as it is now, whatever is written meanwhile.
    pub async fn read(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { inner: Inner::Read(self.readers.begin().await?) })
    }

    /// Begins to change the fleet. Waits for those who asked before.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let span = tracing::trace_span!(target: TRACES, "transaction", committed = Empty);
        let snapshot = Snapshot { inner: Inner::Write(self.writer.begin().await?) };
        let changes = Changes::none(Arc::clone(&self.known));
        let recent = Arc::clone(&self.recent);
        Ok(Transaction { snapshot, changes, published: Vec::new(), recent, span })
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Waits for the connections that are in use, then closes all.
    pub async fn close(&self) {
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

const WRITER: [&str; 4] = [
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
];
const READER: [&str; 2] = ["PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON"];

fn pool(settings: &'static [&'static str], patience: Duration, connections: u32) -> AnyPoolOptions {
    let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(patience);
    // There is no network on the way to a file, so no connection needs a test before each use.
    // SQLite ends a transaction by itself when the disk is full; the driver does not notice, and such a
    // connection can begin no other.
    let options = options.before_acquire(|connection, _| {
        let usable = !connection.is_in_transaction();
        Box::pin(async move { Ok(usable) })
    });
    options.test_before_acquire(false).after_connect(move |connection, _| {
        Box::pin(async move {
            for setting in settings {
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
        let url = sqlite_url(&folder.path().join("fleet.db"));
        let store = Store::open(&url, &StoreOptions::default()).await.expect("it opens");
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
        let url = sqlite_url(&folder.path().join("fleet.db"));
        let store = Store::open(&url, &StoreOptions::default()).await.expect("it opens");
        for _ in 0..3 {
            let mut transaction = store.begin().await.expect("nobody else writes");
            let connection = transaction.connection();
            connection.execute("PRAGMA max_page_count = 1").await.expect("a limit can be set");
            let failed = transaction.append_audit(&note(1 << 20)).await.expect_err("no room");
            assert!(matches!(failed, StoreError::Full(_)), "{failed:?}");
            drop(transaction);
            let mut transaction = store.begin().await.expect("there is another connection");
            transaction.append_audit(&note(1)).await.expect("there is room");
            transaction.commit().await.expect("there is room");
        }
        let mut snapshot = store.read().await.expect("it can be read");
        let kept = snapshot.audit(0, 10).await.expect("it can be read");
        assert_eq!(kept.len(), 3);
    }

    #[tokio::test]
    async fn files_that_are_gone_are_an_outage_and_no_fault() {
        let folder = tempfile::tempdir().expect("a place for a database");
        let url = sqlite_url(&folder.path().join("fleet.db"));
        let store = Store::open(&url, &StoreOptions::default()).await.expect("it opens");
        drop(folder);
        let failed = store.read().await.expect_err("there is no file to open");
        assert!(matches!(failed, StoreError::Unreachable(_)), "{failed:?}");
    }

    #[tokio::test]
    async fn a_database_that_is_not_supported_is_refused_by_name() {
        let refused = Store::open("mysql://fleet", &StoreOptions::default()).await;
        let error = refused.expect_err("there is no such driver").to_string();
        assert!(error.starts_with("`mysql` is not"), "{error}");
    }
}
