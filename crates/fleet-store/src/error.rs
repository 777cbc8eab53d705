//! What can go wrong with a database that is asked the right questions.

use sqlx::error::ErrorKind;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store could not do what it was asked. Nothing of the transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Others kept the database busy for longer than the store waits. Worth another try.
    #[error("the database is busy")]
    Busy(#[source] Cause),
    /// The disk is full. What is stored stays readable.
    #[error("there is no room left for the database")]
    Full(#[source] Cause),
    /// Something that must be unique is there already.
    #[error("this would be stored twice")]
    Duplicate(#[source] Cause),
    /// Something refers to what is not there, or would after a removal.
    #[error("this refers to what is not stored")]
    UnknownReference(#[source] Cause),
    /// Somebody else has written to the database, or it is damaged.
    #[error("table `{table}` holds a `{column}` that is none")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        #[source]
        cause: Cause,
    },
    #[error("the database failed")]
    Failed(#[source] Cause),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let kind = error.as_database_error().map(sqlx::error::DatabaseError::kind);
        match kind {
            Some(ErrorKind::UniqueViolation) => return Self::Duplicate(error.into()),
            Some(ErrorKind::ForeignKeyViolation) => return Self::UnknownReference(error.into()),
            _ => {}
        }
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error.into());
        }
        let code = error.as_database_error().and_then(|it| it.code()?.parse::<i32>().ok());
        // The low byte is SQLite's primary result code: SQLITE_BUSY, SQLITE_FULL.
        match code.map(|code| code & 0xff) {
            Some(5) => Self::Busy(error.into()),
            Some(13) => Self::Full(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}
