//! A database of every earlier server is brought up to date with all that is in it, and one of a newer server
//! is left alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use fleet_store::{Database, OpenError, Store, StoreOptions};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{
    AnyConnection, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Row as _,
};
use tempfile::TempDir;
use testkit::postgres::{Postgres, PostgresDatabase};

use crate::support::*;

/// Every row of every table, its values in the database's own notation, under the names of their columns.
type Content = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// The place of a database that servers have left.
enum Scene {
    File(TempDir),
    Postgres(PostgresDatabase),
}

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

impl Scene {
    fn new() -> Self {
        match Postgres::of_tests() {
            Some(postgres) => Self::Postgres(postgres.database()),
            None => Self::File(tempfile::tempdir().expect("a place for a database")),
        }
    }

    /// A database as a server left it whose newest step was the last of these.
    async fn left_at(steps: &[PathBuf]) -> Self {
        let scene = Self::new();
        let mut connection = scene.connect().await;
        for (number, step) in (1..).zip(steps) {
            let folder = tempfile::tempdir().expect("a temporary directory can be made");
            for step in &steps[..number] {
                let name = step.file_name().expect("a step has a name");
                fs::copy(step, folder.path().join(name)).expect("writable");
            }
            let migrator = done(Migrator::new(folder.path()).await);
            done(migrator.run(&mut connection).await);
            if let Some(rows) = rows_of(step) {
                scene.run(&mut connection, &rows).await;
            }
        }
        done(connection.close().await);
        scene
    }

    fn database(&self) -> Database {
        match self {
            Self::File(folder) => Database::sqlite(&folder.path().join("fleet.db")),
            Self::Postgres(database) => done(database.url().parse()),
        }
    }

    async fn open(&self) -> Result<Store, OpenError> {
        Store::open(&self.database(), &StoreOptions::default()).await
    }

    async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = match self {
            Self::File(folder) => {
                format!("sqlite:{}?mode=rwc", folder.path().join("fleet.db").display())
            }
            Self::Postgres(database) => database.url(),
        };
        done(done(AnyConnectOptions::from_str(&url)).connect().await)
    }

    /// Runs statements in which bytes stand as SQLite has them.
    async fn run(&self, connection: &mut AnyConnection, statements: &str) {
        let statements = match self {
            Self::File(_) => statements.to_owned(),
            Self::Postgres(_) => statements.replace("X'", "'\\x"),
        };
        done(sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await);
    }

    async fn change(&self, statement: &str) {
        let mut connection = self.connect().await;
        self.run(&mut connection, statement).await;
        done(connection.close().await);
    }

    async fn content(&self) -> Content {
        let tables = match self {
            Self::File(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' \
                 ESCAPE '\\'"
            }
            Self::Postgres(_) => {
                "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables \
                 WHERE table_schema = 'public'"
            }
        };
        let mut connection = self.connect().await;
        let tables = names(&mut connection, tables.to_owned()).await;
        let mut content = Content::new();
        for table in tables.into_iter().filter(|it| !it.starts_with('_')) {
            let columns = match self {
                Self::File(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
                Self::Postgres(_) => format!(
                    "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns \
                     WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
                ),
            };
            let columns = names(&mut connection, columns).await;
            let columns: Vec<String> = columns.iter().map(|it| self.notation(it)).collect();
            let rows = format!("SELECT {} FROM \"{table}\" ORDER BY 1, 2", columns.join(", "));
            let rows = done(sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut connection).await);
            let rows = rows.iter().map(|row| {
                let names = row.columns().iter().map(|it| it.name().to_owned());
                names.map(|name| (name.clone(), row.get::<String, _>(name.as_str()))).collect()
            });
            content.insert(table, rows.collect());
        }
        done(connection.close().await);
        content
    }

    /// The value of a column as text, whatever it is.
    fn notation(&self, column: &str) -> String {
        match self {
            Self::File(_) => format!("quote(\"{column}\") AS \"{column}\""),
            Self::Postgres(_) => {
                format!("coalesce(CAST(\"{column}\" AS TEXT), 'NULL') AS \"{column}\"")
            }
        }
    }
}

async fn names(connection: &mut AnyConnection, query: String) -> Vec<String> {
    let rows = done(sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await);
    rows.iter().map(|row| row.get("name")).collect()
}

#[tokio::test]
async fn a_database_of_every_earlier_server_is_brought_up_to_date_and_loses_nothing() {
    let steps = steps();
    for number in 1..=steps.len() {
        let scene = Scene::left_at(&steps[..number]).await;
        let before = scene.content().await;
        assert!(!before.is_empty());
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "rows/ has nothing for `{table}`, which step {number} knows");
        }
        let store = done(scene.open().await);
        let press = client(7).id;
        let mut snapshot = done(store.read().await);
        assert!(done(snapshot.client(press).await).is_some(), "step {number}");
        assert_eq!(done(snapshot.newest_revision(press).await).map(|it| it.number.get()), Some(1));
        drop(snapshot);
        store.close().await;

        let after = scene.content().await;
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
    let scene = Scene::left_at(&steps()).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'of a newer server', TRUE, X'00', 0)";
    scene.change(newer).await;
    let before = scene.content().await;

    let error = scene.open().await.expect_err("the tables may be others");
    assert!(matches!(error, OpenError::Newer { step: 9999 }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("a newer server") && said.contains("start that server"), "{said}");
    assert_eq!(scene.content().await, before);
}

#[tokio::test]
async fn a_database_that_was_made_otherwise_is_refused_and_left_as_it_is() {
    let scene = Scene::left_at(&steps()).await;
    scene.change("UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1").await;
    let before = scene.content().await;
    let refused = scene.open().await;
    assert!(matches!(refused, Err(OpenError::MadeOtherwise { step: 1 })), "{refused:?}");
    assert_eq!(scene.content().await, before);
}
