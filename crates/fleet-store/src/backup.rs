//! A SQLite database as a file that can be taken away and put back. The copy is made by the database, so it
//! is one state of it, whatever a running server writes meanwhile.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _};

use crate::columns::Columns;
use crate::{Database, OpenError, StoreError};

/// What a copy holds, for whoever wants to see that it is what he expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub clients: u64,
    pub revisions: u64,
}

/// Why a database cannot be copied, or a copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the database cannot be read as a whole")]
    Store(#[from] StoreError),
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Copies a SQLite database into a file, which has to be empty or missing. Neither waits for
/// the other when a server uses the database.
pub async fn copy(database: &Database, into: &Path) -> Result<(), BackupError> {
    let mut connection = connect(&database.url_of_existing()).await?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(into.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await;
    // It was only read from: nothing is lost if this fails.
    let _ = connection.close().await;
    copied?;
    Ok(())
}

/// Reads all of a database that nobody uses, and says what is in it.
pub async fn check(database: &Database) -> Result<Contents, BackupError> {
    let mut connection = connect(&database.url_of_existing()).await?;
    let contents = look_through(&mut connection).await;
    let _ = connection.close().await;
    contents
}

/// Puts all of a database into its one file, so that it can be renamed. Nobody may use it.
pub async fn settle(database: &Database) -> Result<(), BackupError> {
    let mut connection = connect(database.url()).await?;
    connection.execute("PRAGMA journal_mode = DELETE").await?;
    connection.close().await?;
    Ok(())
}

async fn look_through(connection: &mut AnyConnection) -> Result<Contents, BackupError> {
    let row = sqlx::query("SELECT integrity_check AS it FROM pragma_integrity_check LIMIT 1")
        .fetch_one(&mut *connection)
        .await?;
    let found = Columns::of("pragma", &row).text("it")?;
    if found != "ok" {
        return Err(BackupError::Damaged(found));
    }
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM clients) AS clients, \
         (SELECT COUNT(*) FROM revisions) AS revisions",
    )
    .fetch_one(connection)
    .await?;
    let row = Columns::of("clients", &row);
    Ok(Contents { clients: row.count("clients")?, revisions: row.count("revisions")? })
}

async fn connect(url: &str) -> Result<AnyConnection, OpenError> {
    sqlx::any::install_default_drivers();
    let options =
        AnyConnectOptions::from_str(url).map_err(|cause| OpenError::Open(cause.into()))?;
    options.connect().await.map_err(|cause| OpenError::Open(cause.into()))
}
