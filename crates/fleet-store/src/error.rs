//! What can go wrong with a database that is asked the right questions.

use std::sync::Arc;

use sqlx::error::ErrorKind;

use crate::engine::{Trouble, trouble};

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
    /// The database cannot be reached, or its files cannot be read or written: a network or a disk that fails
    /// or is gone, or permissions.
    #[error("the database cannot be reached, read or written")]
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

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`{scheme}` is not a kind of database that this program can use; `postgres` and `sqlite` are"
    )]
    UnsupportedDatabase { scheme: String },
    /// It is not repeated: it may hold a password.
    #[error(
        "the URL of the database cannot be read; it has to look like postgres://USER:PASSWORD@HOST:5432/NAME"
    )]
    UnreadableUrl,
    #[error("the database is PostgreSQL {version}; this program needs 15 or newer")]
    TooOld { version: i64 },
    #[error("the database cannot be opened")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "a newer server has changed the tables of the database (step {step}), and this one does not know \
         them; start that server or a newer one, or restore a backup from before the upgrade"
    )]
    Newer { step: i64 },
    #[error(
        "the tables of the database were made by a server that was built otherwise (step {step}); start \
         that one"
    )]
    MadeOtherwise { step: i64 },
    #[error(
        "a fleet is being moved into the database and not all of it is there; run `gantry-server migrate-to` \
         again, it goes on where it was"
    )]
    Unfinished,
    #[error("the tables of the database cannot be brought up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Arc::new(error).into()
    }
}

/// Of an error that several are told of.
impl From<Arc<sqlx::Error>> for StoreError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        match error.as_database_error().map(sqlx::error::DatabaseError::kind) {
            Some(ErrorKind::UniqueViolation) => return Self::Duplicate(error),
            Some(ErrorKind::ForeignKeyViolation) => return Self::UnknownReference(error),
            _ => {}
        }
        match trouble(&error) {
            Some(Trouble::Busy) => Self::Busy(error),
            Some(Trouble::Full) => Self::Full(error),
            Some(Trouble::Unreachable) => Self::Unreachable(error),
            None => Self::Failed(error),
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
}
