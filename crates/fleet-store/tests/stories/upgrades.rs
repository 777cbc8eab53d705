//! A database of every earlier server is brought up to date with all that is in it, and one of a newer server
//! is left alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fleet_store::{Database, OpenError, Store, StoreOptions};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Column as _, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;

use crate::support::*;

/// Every row of every table, its values in SQLite's own notation, under the names of their columns.
type Content = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// The steps that lead to the newest tables, in order.
fn steps() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut steps: Vec<PathBuf> =
        fs::read_dir(folder).expect("readable").map(|it| it.expect("readable").path()).collect();
    steps.sort();
    steps
}

/// The rows that were written since a step, if it brought tables of its own.
fn rows_of(step: &Path) -> Option<String> {
    let number = step.file_name()?.to_str()?.get(..4)?;
    let rows = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/rows");
    fs::read_to_string(rows.join(format!("{number}.sql"))).ok()
}

async fn connect(file: &Path) -> SqliteConnection {
    done(SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await)
}

/// A database as a server left it whose newest step was the last of these.
async fn database(steps: &[PathBuf], file: &Path) {
    let mut connection = connect(file).await;
    for (number, step) in (1..).zip(steps) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        for step in &steps[..number] {
            let name = step.file_name().expect("a step has a name");
            fs::copy(step, folder.path().join(name)).expect("writable");
        }
        let migrator = done(Migrator::new(folder.path()).await);
        done(migrator.run(&mut connection).await);
        if let Some(rows) = rows_of(step) {
            done(connection.execute(sqlx::AssertSqlSafe(rows)).await);
        }
    }
    done(connection.close().await);
}

async fn content(file: &Path) -> Content {
    let mut connection = connect(file).await;
    let tables =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'";
    let tables: Vec<String> = done(connection.fetch_all(tables).await)
        .iter()
        .map(|row| row.get::<String, _>("name"))
        .filter(|it| !it.starts_with("sqlite_"))
        .collect();
    let mut content = Content::new();
    for table in tables {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = done(connection.fetch_all(sqlx::AssertSqlSafe(columns)).await)
            .iter()
            .map(|row| row.get("name"))
            .collect();
        let quoted: Vec<String> =
            columns.iter().map(|it| format!("quote(\"{it}\") AS \"{it}\"")).collect();
        let rows = format!("SELECT {} FROM \"{table}\" ORDER BY 1, 2", quoted.join(", "));
        let rows = done(connection.fetch_all(sqlx::AssertSqlSafe(rows)).await);
        let rows = rows.iter().map(|row| {
            let names = row.columns().iter().map(|it| it.name().to_owned());
            names.map(|name| (name.clone(), row.get::<String, _>(name.as_str()))).collect()
        });
        content.insert(table, rows.collect());
    }
    done(connection.close().await);
    content
}

fn scene() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("fleet.db");
    (folder, file)
}

#[tokio::test]
async fn a_database_of_every_earlier_server_is_brought_up_to_date_and_loses_nothing() {
    let steps = steps();
    for number in 1..=steps.len() {
        let (_folder, file) = scene();
        database(&steps[..number], &file).await;
        let before = content(&file).await;
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "rows/ has nothing for `{table}`, which step {number} knows");
        }
        let store = done(Store::open(&Database::sqlite(&file), &StoreOptions::default()).await);
        let press = client(7).id;
        let mut snapshot = done(store.read().await);
        assert!(done(snapshot.client(press).await).is_some(), "step {number}");
        assert_eq!(done(snapshot.newest_revision(press).await).map(|it| it.number.get()), Some(1));
        drop(snapshot);
        store.close().await;

        let after = content(&file).await;
        for (table, rows) in &before {
            let kept = &after[table];
            assert_eq!(kept.len(), rows.len(), "`{table}` after step {number}");
            for (row, kept) in rows.iter().zip(kept) {
                for (column, value) in row {
                    let kept = kept.get(column);
                    assert_eq!(kept, Some(value), "`{table}.{column}` after step {number}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_server_is_refused_and_left_as_it_is() {
    let (_folder, file) = scene();
    database(&steps(), &file).await;
    let mut connection = connect(&file).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'of a newer server', TRUE, X'00', 0)";
    done(connection.execute(newer).await);
    done(connection.close().await);
    let before = content(&file).await;

    let refused = Store::open(&Database::sqlite(&file), &StoreOptions::default()).await;
    let error = refused.expect_err("the tables may be others");
    assert!(matches!(error, OpenError::Newer { step: 9999 }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("a newer server") && said.contains("start that server"), "{said}");
    assert_eq!(content(&file).await, before);
}

#[tokio::test]
async fn a_database_that_was_made_otherwise_is_refused_and_left_as_it_is() {
    let (_folder, file) = scene();
    database(&steps(), &file).await;
    let mut connection = connect(&file).await;
    let other = "UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1";
    done(connection.execute(other).await);
    done(connection.close().await);
    let before = content(&file).await;
    let refused = Store::open(&Database::sqlite(&file), &StoreOptions::default()).await;
    assert!(matches!(refused, Err(OpenError::MadeOtherwise { step: 1 })), "{refused:?}");
    assert_eq!(content(&file).await, before);
}
