//! What can go wrong with a database that is asked the right questions.

use std::sync::Arc;

use sqlx::error::ErrorKind;

/// Several may be told of the same trouble.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the store could not do what it was asked. Nothing of the transaction is kept.
#[derive(Debug, Clone, thiserror::Error)]
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
        Arc::new(error).into()
    }
}

/// Of an error that several are told of.
impl From<Arc<sqlx::Error>> for StoreError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        let database = error.as_database_error();
        let code = database.and_then(|it| it.code()?.parse::<i32>().ok());
        // The low byte is SQLite's primary result code: SQLITE_BUSY and _LOCKED, SQLITE_FULL, and
        // SQLITE_PERM, _READONLY, _IOERR and _CANTOPEN.
        let primary = code.map(|code| code & 0xff);
        match (database.map(sqlx::error::DatabaseError::kind), primary) {
            (Some(ErrorKind::UniqueViolation), _) => Self::Duplicate(error),
            (Some(ErrorKind::ForeignKeyViolation), _) => Self::UnknownReference(error),
            (_, Some(5 | 6)) => Self::Busy(error),
            (_, Some(13)) => Self::Full(error),
            (_, Some(3 | 8 | 10 | 14)) => Self::Unreachable(error),
            _ => Self::without_code(error),
        }
    }
}

impl StoreError {
    /// What whoever still asks is told of a store that is closed.
    pub fn closed() -> Self {
        Self::Unreachable(Self::cause("the store is closed"))
    }

    /// The cause of an error from what there is to say of it.
    pub(crate) fn cause(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Cause {
        cause.into().into()
    }

    fn without_code(error: Arc<sqlx::Error>) -> Self {
        match *error {
            sqlx::Error::PoolTimedOut => Self::Busy(error),
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed => Self::Unreachable(error),
            _ => Self::Failed(error),
        }
    }
}
