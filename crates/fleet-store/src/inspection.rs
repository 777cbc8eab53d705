//! Looks at a database without changing it, for whoever wants to know whether a server can use it.

use std::collections::BTreeMap;
use std::str::FromStr;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};

use crate::OpenError;
use crate::columns::Columns;
use crate::store::MIGRATIONS;

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub schema: Schema,
    /// The newest time that something happened, in seconds since 1970; nothing in one that is not used yet.
    pub newest: Option<i64>,
}

/// How the tables of a database are to what this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Newest,
    /// So many steps lead to the newest one; [`Store::open`](crate::Store::open) takes them.
    Older(usize),
    /// A newer program, or one that was built otherwise, has made them.
    Other,
}

/// Looks at the database at a `sqlite:` URL, which is left as it is.
pub async fn inspect(url: &str) -> Result<Inspection, OpenError> {
    sqlx::any::install_default_drivers();
    let url = url.replace("?mode=rwc", "?mode=ro");
    let options =
        AnyConnectOptions::from_str(&url).map_err(|cause| OpenError::Open(cause.into()))?;
    let mut connection = options.connect().await.map_err(|cause| OpenError::Open(cause.into()))?;
    let inspection = read(&mut connection).await;
    // It was only read from: nothing is lost if this fails.
    let _ = connection.close().await;
    inspection.map_err(|cause| OpenError::Open(cause.into()))
}

async fn read(connection: &mut AnyConnection) -> Result<Inspection, crate::StoreError> {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success = TRUE")
        .fetch_all(&mut *connection)
        .await?;
    let mut done = BTreeMap::new();
    for row in &rows {
        let row = Columns::of("_sqlx_migrations", row);
        done.insert(row.integer("version")?, row.bytes("checksum")?);
    }
    let row = sqlx::query(
        "SELECT MAX(at) AS at FROM (SELECT MAX(last_contact) AS at FROM contacts UNION ALL \
         SELECT at FROM audit WHERE sequence = (SELECT MAX(sequence) FROM audit)) AS times",
    )
    .fetch_one(connection)
    .await?;
    let newest = Columns::of("audit", &row).optional_integer("at")?;
    Ok(Inspection { schema: schema(&done), newest })
}

fn schema(done: &BTreeMap<i64, Vec<u8>>) -> Schema {
    let mut missing = 0;
    let mut known = 0;
    for step in MIGRATIONS.iter() {
        match done.get(&step.version) {
            Some(checksum) if checksum.as_slice() == &*step.checksum => known += 1,
            Some(_) => return Schema::Other,
            None => missing += 1,
        }
    }
    match missing {
        _ if known < done.len() => Schema::Other,
        0 => Schema::Newest,
        missing => Schema::Older(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_told_by_the_steps_that_led_to_it() {
        let newest: BTreeMap<i64, Vec<u8>> =
            MIGRATIONS.iter().map(|it| (it.version, it.checksum.to_vec())).collect();
        assert_eq!(schema(&newest), Schema::Newest);
        let mut older = newest.clone();
        older.pop_last();
        assert_eq!(schema(&older), Schema::Older(1));
        let mut newer = newest.clone();
        newer.insert(i64::MAX, vec![1]);
        assert_eq!(schema(&newer), Schema::Other);
        let mut other = newest;
        other.insert(1, vec![1]);
        assert_eq!(schema(&other), Schema::Other);
    }
}
