//! One writer at a time, and one wait for the disk for all who come together.
//!
//! There is one writer at a time: SQLite takes no more, and with PostgreSQL all servers share a lock, so that
//! what is decided on is what others have left behind. A durable commit waits for the disk, which takes longer
//! than most changes. So a task owns the connection that writes. It lends it to one change after the other,
//! each inside a savepoint of the same transaction, for as long as others wait; then it commits, and only
//! then tells all of them that they are done. A change that is given up takes back its own part alone.
//! A commit that fails has failed for all of them.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor as _, SqlSafeStr};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::engine::Settings;
use crate::known::Changes;
use crate::notifications;

/// How many can wait in the line of the writer before others wait for a place in it.
const LINE: usize = 1024;

/// When those who share a commit are told, however many still wait.
#[derive(Debug, Clone, Copy)]
struct Together {
    most: usize,
    longest: Duration,
}

const TOGETHER: Together = Together { most: 256, longest: Duration::from_millis(50) };

/// Where changes wait for their turn.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    line: mpsc::Sender<Asker>,
    patience: Duration,
}

type Asker = oneshot::Sender<Result<Lease, StoreError>>;

/// Who waits for the commit.
#[derive(Debug)]
struct Waiting {
    /// What is no longer true in memory once it is done. Whoever is in the same transaction has read what
    /// the others changed, so all of it is forgotten before the first of them is told.
    changes: Changes,
    ended: oneshot::Sender<Result<(), Arc<sqlx::Error>>>,
}

/// The connection, for one change. Dropped without [`commit`](Self::commit), nothing is changed.
#[derive(Debug)]
pub(crate) struct Lease {
    lent: Option<Lent>,
}

#[derive(Debug)]
struct Lent {
    connection: PoolConnection<Any>,
    back: oneshot::Sender<Returned>,
}

#[derive(Debug)]
struct Returned {
    connection: PoolConnection<Any>,
    /// None of a change that was given up.
    done: Option<Waiting>,
}

impl Writer {
    /// Writes with the only connection of this pool.
    pub(crate) fn start(pool: AnyPool, settings: &'static Settings, patience: Duration) -> Self {
        Self::start_with(pool, settings, patience, TOGETHER)
    }

    fn start_with(
        pool: AnyPool,
        settings: &'static Settings,
        patience: Duration,
        together: Together,
    ) -> Self {
        let (line, askers) = mpsc::channel(LINE);
        let connections = Connections { pool, settings, patience };
        tokio::spawn(serve(connections, askers, together));
        Self { line, patience }
    }

    /// Waits for its turn, and no longer than it has patience.
    pub(crate) async fn begin(&self) -> Result<Lease, StoreError> {
        let turn = async {
            let (asker, lease) = oneshot::channel();
            self.line.send(asker).await.map_err(|_| StoreError::closed())?;
            lease.await.map_err(|_| StoreError::closed())?
        };
        match tokio::time::timeout(self.patience, turn).await {
            Ok(lease) => lease,
            Err(elapsed) => Err(StoreError::Busy(StoreError::cause(elapsed))),
        }
    }
}

impl Lease {
    /// Returns when the change is durable, and what it made untrue in memory is forgotten.
    pub(crate) async fn commit(mut self, changes: Changes) -> Result<(), StoreError> {
        let (ended, told) = oneshot::channel();
        self.give_back(Some(Waiting { changes, ended }));
        match told.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StoreError::closed()),
        }
    }

    fn give_back(&mut self, done: Option<Waiting>) {
        if let Some(Lent { connection, back }) = self.lent.take() {
            // Where nobody takes it, the writer has ended, and the connection with it.
            drop(back.send(Returned { connection, done }));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

const LENT: &str = "a lease has its connection until it is given back, which consumes it";

impl Deref for Lease {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.lent.as_ref().expect(LENT).connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.lent.as_mut().expect(LENT).connection
    }
}

async fn serve(connections: Connections, mut askers: mpsc::Receiver<Asker>, together: Together) {
    while let Some(first) = askers.recv().await {
        let mut next = Some(first);
        while let Some(first) = next {
            next = connections.write_together(first, &mut askers, together).await;
        }
    }
}

/// What is asked for between two changes. Each is one way to the database and back: those are what a
/// change costs.
mod statements {
    pub(super) const FIRST: &str = "SAVEPOINT change";
    pub(super) const NEXT: &str = "RELEASE SAVEPOINT change; SAVEPOINT change";
    pub(super) const NEXT_INSTEAD: &str = "ROLLBACK TO SAVEPOINT change";
    /// Fails after a statement that has failed, which PostgreSQL's COMMIT alone does not: it ends the
    /// transaction, keeps nothing of it, and says that all is well.
    pub(super) const LAST: &str = "RELEASE SAVEPOINT change";
    pub(super) const COMMIT: &str = "COMMIT";
}

/// Where the one connection to write with comes from.
#[derive(Debug)]
struct Connections {
    pool: AnyPool,
    settings: &'static Settings,
    patience: Duration,
}

impl Connections {
    /// One transaction, for who asks first and for those who wait then. Gives back who could not be
    /// served because of those before him.
    async fn write_together(
        &self,
        first: Asker,
        askers: &mut mpsc::Receiver<Asker>,
        together: Together,
    ) -> Option<Asker> {
        if first.is_closed() {
            return None;
        }
        let mut connection = match self.begin().await {
            Ok(connection) => connection,
            Err(error) => {
                drop(first.send(Err(error.into())));
                return None;
            }
        };
        let began = Instant::now();
        let (mut waiting, mut left) = (Vec::<Waiting>::new(), None);
        let mut asker = first;
        let ended = loop {
            let returned = lend(connection, asker).await?;
            connection = returned.connection;
            let kept = returned.done.is_some();
            waiting.extend(returned.done);
            let is_time = waiting.len() >= together.most || began.elapsed() >= together.longest;
            match if is_time { None } else { askers.try_recv().ok() } {
                Some(next) => {
                    let prepare = if kept { statements::NEXT } else { statements::NEXT_INSTEAD };
                    // It fails where the database has taken back the whole transaction because of a
                    // full disk, for one. Then those before are not kept either.
                    if let Err(error) = self.say(&mut connection, prepare).await {
                        left = Some(next);
                        break Err(Arc::new(error));
                    }
                    asker = next;
                }
                None => {
                    for one in &mut waiting {
                        one.changes.commit_begins();
                    }
                    break self.end(&mut connection, kept, &waiting).await.map_err(Arc::new);
                }
            }
        };
        if ended.is_err() {
            // Whatever state it is in, nothing of it is kept.
            connection.close_on_drop();
        }
        drop(connection);
        if ended.is_ok() {
            for one in &mut waiting {
                one.changes.commit_is_done();
            }
        }
        let told: Vec<_> = waiting.into_iter().map(|one| one.ended).collect();
        for one in told {
            drop(one.send(ended.clone()));
        }
        left
    }

    async fn begin(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let begin = format!("{}; {}", self.settings.begin, statements::FIRST);
        if let Err(error) = self.say(&mut connection, AssertSqlSafe(begin)).await {
            connection.close_on_drop();
            return Err(error);
        }
        Ok(connection)
    }

    async fn end(
        &self,
        connection: &mut AnyConnection,
        kept: bool,
        waiting: &[Waiting],
    ) -> Result<(), sqlx::Error> {
        let last = if kept { statements::LAST } else { statements::NEXT_INSTEAD };
        let mut end = vec![last.to_owned()];
        if self.settings.shared {
            let clients = waiting.iter().flat_map(|it| it.changes.clients());
            end.extend(notifications::statements(clients));
        }
        end.push(statements::COMMIT.to_owned());
        self.say(connection, AssertSqlSafe(end.join("; "))).await
    }

    /// A database that is gone without a word must not hold everybody up.
    async fn say(
        &self,
        connection: &mut AnyConnection,
        statement: impl SqlSafeStr + Send,
    ) -> Result<(), sqlx::Error> {
        let statement = statement.into_sql_str();
        let said = tokio::time::timeout(self.patience, connection.execute(statement));
        match said.await {
            Ok(said) => said.map(drop),
            Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// Lends the connection for one change. None where it did not come back.
async fn lend(connection: PoolConnection<Any>, asker: Asker) -> Option<Returned> {
    let (back, returned) = oneshot::channel();
    // Where nobody takes the lease it is dropped, and so comes back.
    drop(asker.send(Ok(Lease { lent: Some(Lent { connection, back }) })));
    returned.await.ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::columns::Columns;
    use crate::database::Engine;
    use crate::{Database, Store, StoreOptions};

    /// A writer that does not hurry, with a table of numbers.
    struct Numbers {
        writer: Writer,
        pool: AnyPool,
        folder: TempDir,
    }

    impl Numbers {
        async fn new(together: Together) -> Self {
            let folder = tempfile::tempdir().expect("a place for a database");
            let database = Database::sqlite(&folder.path().join("numbers.db"));
            // Makes the database as a store has it.
            let store = Store::open(&database, &StoreOptions::default()).await.expect("it opens");
            store.close().await;
            let pool = sqlx::any::AnyPoolOptions::new().max_connections(1);
            let pool = pool.connect(database.url()).await.expect("it opens again");
            let table = "CREATE TABLE numbers (it BIGINT PRIMARY KEY NOT NULL)";
            pool.execute(table).await.expect("there is no such table");
            let writer = Writer::start_with(
                pool.clone(),
                Engine::Sqlite.settings(),
                Duration::from_secs(60),
                together,
            );
            Self { writer, pool, folder }
        }

        async fn lease(&self) -> Lease {
            self.writer.begin().await.expect("nobody keeps the writer for a minute")
        }

        async fn written(&self) -> Vec<i64> {
            let rows =
                sqlx::query("SELECT it FROM numbers ORDER BY it").fetch_all(&self.pool).await;
            let number = |row| Columns::of("numbers", row).integer("it").expect("it is a number");
            rows.expect("the table is there").iter().map(number).collect()
        }

        /// How many commits are in the log of the database: of their last frames, which alone say how
        /// large the database is then.
        fn commits(&self) -> usize {
            const HEADER: usize = 32;
            const FRAME: usize = 24 + 4096;
            let log: PathBuf = self.folder.path().join("numbers.db-wal");
            let log = fs::read(log).expect("the database has a log");
            let frames = log.get(HEADER..).unwrap_or_default().chunks_exact(FRAME);
            frames.filter(|frame| frame[4..8] != [0; 4]).count()
        }
    }

    async fn insert(lease: &mut Lease, number: i64) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT INTO numbers (it) VALUES ($1)").bind(number);
        Ok(insert.execute(&mut **lease).await.map(drop)?)
    }

    const PATIENT: Together = Together { most: 256, longest: Duration::from_secs(3600) };

    /// Lets so many changes wait behind one, each in a task of its own that inserts its number.
    async fn crowd(numbers: &Numbers, size: i64) -> Vec<Result<(), StoreError>> {
        let first = numbers.lease().await;
        let tasks: Vec<_> = (1..=size)
            .map(|number| {
                let writer = numbers.writer.clone();
                tokio::spawn(async move {
                    let mut lease = writer.begin().await?;
                    insert(&mut lease, number).await?;
                    // Every third one is given up.
                    if number % 3 == 0 { Ok(()) } else { lease.commit(Changes::default()).await }
                })
            })
            .collect();
        let in_line = || LINE - numbers.writer.line.capacity();
        while in_line() < usize::try_from(size).expect("a small number") {
            tokio::task::yield_now().await;
        }
        drop(first);
        let mut ended = Vec::new();
        for task in tasks {
            ended.push(task.await.expect("it does not panic"));
        }
        ended
    }

    #[tokio::test]
    async fn who_comes_together_shares_a_commit_and_who_gives_up_takes_back_only_his_part() {
        let numbers = Numbers::new(PATIENT).await;
        let before = numbers.commits();
        let ended = crowd(&numbers, 20).await;
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
        let kept: Vec<i64> = (1..=20).filter(|it| it % 3 != 0).collect();
        assert_eq!(numbers.written().await, kept);
        assert_eq!(numbers.commits() - before, 1);
    }

    #[tokio::test]
    async fn a_commit_does_not_wait_for_everybody_who_comes() {
        let numbers = Numbers::new(Together { most: 2, ..PATIENT }).await;
        let before = numbers.commits();
        crowd(&numbers, 8).await;
        assert_eq!(numbers.written().await, [1, 2, 4, 5, 7, 8]);
        assert_eq!(numbers.commits() - before, 3);
    }

    #[tokio::test]
    async fn a_change_that_fails_is_told_so_and_the_others_are_kept() {
        let numbers = Numbers::new(PATIENT).await;
        let mut lease = numbers.lease().await;
        insert(&mut lease, 2).await.expect("it is new");
        lease.commit(Changes::default()).await.expect("there is room on the disk");
        let ended = crowd(&numbers, 2).await;
        assert!(matches!(ended[..], [Ok(()), Err(StoreError::Duplicate(_))]), "{ended:?}");
        assert_eq!(numbers.written().await, [1, 2]);
    }

    #[tokio::test]
    async fn when_the_database_takes_a_transaction_back_nobody_is_told_that_he_is_done() {
        let numbers = Numbers::new(PATIENT).await;
        let first = numbers.lease().await;
        let change = |number, is_taken_back| {
            let writer = numbers.writer.clone();
            tokio::spawn(async move {
                let mut lease = writer.begin().await?;
                insert(&mut lease, number).await?;
                if is_taken_back {
                    // As SQLite does by itself on a full disk, for one.
                    lease.execute("ROLLBACK").await?;
                }
                lease.commit(Changes::default()).await
            })
        };
        let before = change(1, false);
        let itself = change(2, true);
        let after = change(3, false);
        while LINE - numbers.writer.line.capacity() < 3 {
            tokio::task::yield_now().await;
        }
        drop(first);
        for lost in [before, itself] {
            lost.await.expect("it does not panic").expect_err("it is not kept");
        }
        after.await.expect("it does not panic").expect("it has nothing to do with the others");
        assert_eq!(numbers.written().await, [3]);
    }

    #[tokio::test]
    async fn who_no_longer_waits_does_not_stop_the_line() {
        let numbers = Numbers::new(PATIENT).await;
        let first = numbers.lease().await;
        let gives_up = tokio::time::timeout(Duration::ZERO, numbers.writer.begin());
        gives_up.await.expect_err("it is not his turn");
        drop(first);
        let mut lease = numbers.lease().await;
        insert(&mut lease, 1).await.expect("it is new");
        lease.commit(Changes::default()).await.expect("there is room on the disk");
        assert_eq!(numbers.written().await, [1]);
    }
}
