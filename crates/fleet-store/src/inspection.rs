//! Looks at a database without changing it, for whoever wants to know whether a server can use it.

use std::str::FromStr;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};

use crate::columns::Columns;
use crate::schema::{self, Schema};
use crate::{Database, OpenError, StoreError};

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub schema: Schema,
    /// The newest time that something happened, in seconds since 1970; nothing in one that is not used yet.
    pub newest: Option<i64>,
}

/// Looks at a database, which is left as it is. Nothing where no store was opened in it yet.
pub async fn inspect(database: &Database) -> Result<Option<Inspection>, OpenError> {
    if database.file().is_some_and(|it| !it.exists()) {
        return Ok(None);
    }
    sqlx::any::install_default_drivers();
    let options = AnyConnectOptions::from_str(&database.url_of_existing())
        .map_err(|cause| OpenError::Open(cause.into()))?;
    let mut connection = options.connect().await.map_err(|cause| OpenError::Open(cause.into()))?;
    database.engine().check_version(&mut connection).await?;
    let inspection = read(&mut connection).await;
    // It was only read from: nothing is lost if this fails.
    let _ = connection.close().await;
    match inspection {
        Ok(inspection) => Ok(Some(inspection)),
        Err(StoreError::Failed(cause)) if is_undefined_table(&*cause) => Ok(None),
        Err(cause) => Err(OpenError::Open(cause.into())),
    }
}

/// As PostgreSQL says it. A SQLite file is made with its tables.
fn is_undefined_table(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.and_then(sqlx::error::DatabaseError::code).as_deref() == Some("42P01")
}

async fn read(connection: &mut AnyConnection) -> Result<Inspection, StoreError> {
    let schema = schema::look_at(&mut *connection).await?;
    let row = sqlx::query(
        "SELECT MAX(at) AS at FROM (SELECT MAX(last_contact) AS at FROM contacts UNION ALL \
         SELECT at FROM audit WHERE sequence = (SELECT MAX(sequence) FROM audit)) AS times",
    )
    .fetch_one(connection)
    .await?;
    let newest = Columns::of("audit", &row).optional_integer("at")?;
    Ok(Inspection { schema, newest })
}
