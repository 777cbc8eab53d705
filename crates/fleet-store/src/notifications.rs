//! What one server changes, the others of the same PostgreSQL database hear: `NOTIFY` in the transaction
//! itself, `LISTEN` on a connection of its own.
//!
//! A connection can be cut without a word. So the listener asks the database for an answer several times a
//! second; PostgreSQL hands out what was committed before it gives that answer. What is known in memory counts
//! for less than a second after the newest question that was answered, and not at all after a cut, since what
//! was changed meanwhile is never told.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fleet_domain::ids::ClientId;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::task::AbortHandle;

use crate::known::Known;
use crate::{Database, OpenError};

const CHANNEL: &str = "gantry_client_states";
/// PostgreSQL takes 8,000 bytes at a time; a client's id is 36 long, and a comma.
const CLIENTS_AT_A_TIME: usize = 200;
/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long what is known counts after a question that was answered. A change is seen at every server within
/// a second.
const COUNTS: Duration = Duration::from_millis(900);
/// How long an answer may take, and a new connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// The task that listens. Clones are the same task.
#[derive(Debug, Clone)]
pub(crate) struct Notifications {
    task: Arc<EndsTask>,
}

#[derive(Debug)]
struct EndsTask(AbortHandle);

impl Drop for EndsTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Notifications {
    /// Listens from now on, and forgets what others have changed.
    pub(crate) fn hear(database: &Database, known: &Arc<Known>) -> Result<Self, OpenError> {
        let options: PgConnectOptions =
            database.url().parse().map_err(|_| OpenError::UnreadableUrl)?;
        let task = tokio::spawn(listen(options, Arc::downgrade(known)));
        Ok(Self { task: Arc::new(EndsTask(task.abort_handle())) })
    }

    /// Listens no more.
    pub(crate) fn end(&self) {
        self.task.0.abort();
    }
}

/// What tells the others whose states a transaction changes, when it commits.
pub(crate) fn statements(clients: impl Iterator<Item = ClientId>) -> Vec<String> {
    let mut clients: Vec<String> = clients.map(|it| it.to_string()).collect();
    clients.sort_unstable();
    clients.dedup();
    let some = clients.chunks(CLIENTS_AT_A_TIME);
    // An id is hexadecimal digits and hyphens.
    some.map(|some| format!("NOTIFY {CHANNEL}, '{}'", some.join(","))).collect()
}

async fn listen(options: PgConnectOptions, known: Weak<Known>) {
    loop {
        match connect(&options).await {
            Ok(mut listener) => {
                while let Some(known) = known.upgrade() {
                    if hear(&mut listener, &known).await.is_err() {
                        known.others_are_not_heard();
                        break;
                    }
                }
            }
            Err(_) => {
                if let Some(known) = known.upgrade() {
                    known.others_are_not_heard();
                }
                tokio::time::sleep(INTERVAL).await;
            }
        }
        if known.strong_count() == 0 {
            return;
        }
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Asks once, and then hears what comes until it is time to ask again.
async fn hear(listener: &mut PgListener, known: &Known) -> Result<(), Cut> {
    let asked = Instant::now();
    tokio::time::timeout(PATIENCE, listener.execute("SELECT 1")).await??;
    while let Some(told) = listener.next_buffered() {
        forget(known, &told);
    }
    known.others_are_heard_until(asked + COUNTS);
    let pause = tokio::time::sleep(INTERVAL);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return Ok(()),
            told = listener.try_recv() => match told? {
                Some(told) => forget(known, &told),
                None => return Err(Cut),
            },
        }
    }
}

/// Others are not heard any more.
struct Cut;

impl From<sqlx::Error> for Cut {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Cut {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}

fn forget(known: &Known, told: &PgNotification) {
    for client in told.payload().split(',').filter_map(|it| it.parse().ok()) {
        known.forget(client);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_client_is_named_once_and_no_statement_is_too_long() {
        let clients = (0..450).map(|it| ClientId::from_uuid(Uuid::from_u128(it % 401)));
        let statements = statements(clients);
        assert_eq!(statements.len(), 3);
        assert!(statements.iter().all(|it| it.len() < 8_000));
        let named: usize = statements.iter().map(|it| it.split(',').count() - 1).sum();
        assert_eq!(named, 401);
    }
}
