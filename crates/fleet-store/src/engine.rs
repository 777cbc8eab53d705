//! What differs between the engines: how a connection is set up, how one begins to write, and how a failure
//! is told. Everything else is one text for both.

use sqlx::AnyConnection;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::OpenError;
use crate::columns::Columns;
use crate::database::Engine;

/// How an engine is used.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the connection that writes is told first.
    pub(crate) writer: &'static [&'static str],
    /// And each of those that read.
    pub(crate) reader: &'static [&'static str],
    /// Begins to write, when no other writer is in the way.
    pub(crate) begin: &'static str,
    /// Whether others have to be told of what is changed.
    pub(crate) shared: bool,
    /// Whether a connection may have been cut since it was last used.
    pub(crate) over_a_network: bool,
}

/// What kind of trouble a database reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Busy,
    Full,
    Unreachable,
}

const SQLITE: Settings = Settings {
    writer: &[
        "PRAGMA busy_timeout = 5000",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    ],
    reader: &["PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON"],
    // Takes the lock of SQLite now: a transaction that first reads could not take it later when another
    // process has written since.
    begin: "BEGIN IMMEDIATE",
    shared: false,
    over_a_network: false,
};

const POSTGRES: Settings = Settings {
    writer: &[
        "SET synchronous_commit = on",
        // The lock of all writers is free again soon after the server that has it stopped in the middle.
        "SET idle_in_transaction_session_timeout = '3s'",
        "SET lock_timeout = '8s'",
        "SET statement_timeout = '30s'",
    ],
    reader: &[
        // One state of the fleet, whatever is written meanwhile.
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET idle_in_transaction_session_timeout = '60s'",
        "SET statement_timeout = '30s'",
    ],
    // One writer at a time, of all servers: what one decides on is what another has left behind.
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7449354444534473059)",
    shared: true,
    over_a_network: true,
};

/// The first version that is tested.
const OLDEST_POSTGRES: i64 = 15;

impl Engine {
    /// Refuses a server that is too old.
    pub(crate) async fn check_version(
        self,
        connection: &mut AnyConnection,
    ) -> Result<(), OpenError> {
        if self == Self::Sqlite {
            return Ok(());
        }
        let row =
            sqlx::query("SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version")
                .fetch_one(connection)
                .await
                .map_err(|cause| OpenError::Open(cause.into()))?;
        let version = Columns::of("pg_settings", &row).integer("version");
        let version = version.map_err(|cause| OpenError::Open(cause.into()))? / 10_000;
        if version < OLDEST_POSTGRES {
            return Err(OpenError::TooOld { version });
        }
        Ok(())
    }

    pub(crate) fn settings(self) -> &'static Settings {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        }
    }
}

/// What passes when somebody helps, or by itself.
pub(crate) fn trouble(error: &sqlx::Error) -> Option<Trouble> {
    match error {
        sqlx::Error::PoolTimedOut => Some(Trouble::Busy),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Trouble::Unreachable),
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                return sqlstate(error.code());
            }
            let error = error.try_downcast_ref::<SqliteError>()?;
            primary_result_code(sqlx::error::DatabaseError::code(error)?.parse().ok()?)
        }
        _ => None,
    }
}

/// PostgreSQL, appendix A of its manual.
fn sqlstate(code: &str) -> Option<Trouble> {
    match code {
        // disk_full
        "53100" => Some(Trouble::Full),
        // lock_not_available, query_canceled (by a timeout), idle_in_transaction_session_timeout,
        // serialization_failure, deadlock_detected
        "55P03" | "57014" | "25P03" | "40001" | "40P01" => Some(Trouble::Busy),
        // read_only_sql_transaction: the database has become a standby; io_error
        "25006" | "58030" => Some(Trouble::Unreachable),
        // insufficient_resources
        _ if code.starts_with("53") => Some(Trouble::Busy),
        // connection_exception, operator_intervention, invalid_authorization, invalid_catalog_name
        _ if ["08", "57", "28", "3D"].iter().any(|it| code.starts_with(it)) => {
            Some(Trouble::Unreachable)
        }
        _ => None,
    }
}

/// The low byte is SQLite's primary result code: SQLITE_BUSY and _LOCKED, SQLITE_FULL, and SQLITE_PERM,
/// _READONLY, _IOERR and _CANTOPEN.
fn primary_result_code(code: i32) -> Option<Trouble> {
    match code & 0xff {
        5 | 6 => Some(Trouble::Busy),
        13 => Some(Trouble::Full),
        3 | 8 | 10 | 14 => Some(Trouble::Unreachable),
        _ => None,
    }
}
