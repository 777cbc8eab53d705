//! The tables, and the steps that lead from an older form of them to the newest. Steps only lead forwards.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use sqlx::migrate::{MigrateError, Migrator};

use crate::columns::Columns;
use crate::{OpenError, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How the tables of a database are to what this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Newest,
    /// So many steps lead to the newest one; [`Store::open`](crate::Store::open) takes them.
    Older(usize),
    /// A newer program, or one that was built otherwise, has made them.
    Other,
}

/// Takes the steps that are missing, each wholly or not at all. Servers that start together take turns.
pub(crate) async fn bring_up_to_date(database: &mut AnyConnection) -> Result<(), OpenError> {
    MIGRATIONS.run(database).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => OpenError::Newer { step },
        MigrateError::VersionMismatch(step) => OpenError::MadeOtherwise { step },
        error => OpenError::Migrate(error.into()),
    })
}

/// The tables of a database as they are.
pub(crate) async fn look_at(connection: &mut AnyConnection) -> Result<Schema, StoreError> {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success = TRUE")
        .fetch_all(connection)
        .await?;
    let mut done = BTreeMap::new();
    for row in &rows {
        let row = Columns::of("_sqlx_migrations", row);
        done.insert(row.integer("version")?, row.bytes("checksum")?);
    }
    Ok(schema(&done))
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
