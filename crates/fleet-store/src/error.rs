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
    /// The files of the database cannot be read or written: a disk that fails or is gone, or permissions.
    #[error("the database cannot be read or written")]
    Unreachable(#[source] Cause),
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
        match error {
            sqlx::Error::PoolTimedOut => return Self::Busy(error.into()),
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed => return Self::Unreachable(error.into()),
            _ => {}
        }
        let code = error.as_database_error().and_then(|it| it.code()?.parse::<i32>().ok());
        // The low byte is SQLite's primary result code: SQLITE_BUSY and _LOCKED, SQLITE_FULL, and
        // SQLITE_PERM, _READONLY, _IOERR and _CANTOPEN.
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Busy(error.into()),
            Some(13) => Self::Full(error.into()),
            Some(3 | 8 | 10 | 14) => Self::Unreachable(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}
