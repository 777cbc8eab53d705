//! Moves a fleet from a SQLite file into a PostgreSQL database: row by row in the order in which SQLite has
//! them, in transactions that also write down how far it has come, so that it goes on where it was cut off.
//! At the end the rows of both are counted and hashed.

use std::str::FromStr as _;

use futures_util::TryStreamExt as _;
use ring::digest;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row,
};

use crate::columns::{Columns, count_column};
use crate::statements::rows;
use crate::{Database, Engine, OpenError, Store, StoreError, StoreOptions};

/// Where it is written down how far it has come. A server does not open a database that has it.
pub(crate) const PROGRESS: &str = "relocation_progress";
/// Held by whoever moves a fleet into a database.
const LOCK: i64 = 7_449_354_444_534_473_060;
/// A statement of PostgreSQL takes 65,535 values.
const VALUES_AT_A_TIME: usize = 16_000;
/// Rows are gathered until they take so much.
const BYTES_AT_A_TIME: usize = 4 << 20;

/// How far it has come in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelocationStep {
    pub table: String,
    /// Rows that are there.
    pub done: u64,
    pub of: u64,
    /// Whether it counts and compares, or copies.
    pub verifying: bool,
}

/// What was moved and found to be equal on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocated {
    pub tables: usize,
    pub rows: u64,
    /// SHA-256 over all of them, in hexadecimal digits.
    pub digest: String,
}

/// Why a fleet was not moved.
#[derive(Debug, thiserror::Error)]
pub enum RelocationError {
    #[error("only a fleet in a SQLite file can be moved, and only to PostgreSQL")]
    Engines,
    #[error("there is no fleet in the database that it should be moved from")]
    NoSource,
    #[error("the database to move to holds a fleet already; choose an empty one")]
    NotEmpty,
    #[error("the database to move to holds a part of another fleet; choose an empty one")]
    OtherFleet,
    #[error("another program moves a fleet into the database now")]
    Locked,
    #[error(
        "table `{table}` is not the same on both sides: {source_rows} rows here, {target_rows} there; drop the database, make it anew, and begin again"
    )]
    Different { table: String, source_rows: u64, target_rows: u64 },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the fleet could not be moved; run it again, and it goes on where it was")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RelocationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Moves the fleet. Nobody may write to either database meanwhile. `step` hears of the progress.
pub async fn relocate(
    source: &Database,
    target: &Database,
    mut step: impl FnMut(&RelocationStep),
) -> Result<Relocated, RelocationError> {
    if (source.engine(), target.engine()) != (Engine::Sqlite, Engine::Postgres) {
        return Err(RelocationError::Engines);
    }
    if source.file().is_none_or(|it| !it.exists()) {
        return Err(RelocationError::NoSource);
    }
    // Both have the newest tables after this.
    Store::open(source, &StoreOptions::default()).await?.close().await;
    let mut from = connect(source).await?;
    let mut to = connect(target).await?;
    let row = sqlx::query("SELECT pg_try_advisory_lock($1) AS taken").bind(LOCK);
    let taken: bool = row.fetch_one(&mut to).await?.try_get("taken")?;
    if !taken {
        return Err(RelocationError::Locked);
    }
    Store::prepare(target).await?;

    let tables = tables(&mut from).await?;
    begin(&mut from, &mut to, &tables).await?;
    for table in &tables {
        copy(&mut from, &mut to, table, &mut step).await?;
    }
    let relocated = verify(&mut from, &mut to, &tables, &mut step).await?;
    to.execute("ANALYZE").await?;
    to.execute(AssertSqlSafe(format!("DROP TABLE {PROGRESS}"))).await?;
    to.close().await?;
    from.close().await?;
    Ok(relocated)
}

async fn connect(database: &Database) -> Result<AnyConnection, RelocationError> {
    let options = AnyConnectOptions::from_str(&database.url_of_existing());
    let options = options.map_err(|cause| OpenError::Open(cause.into()))?;
    Ok(options.connect().await.map_err(|cause| OpenError::Open(cause.into()))?)
}

/// Whether a fleet is being moved into a database, and not all of it is there.
pub(crate) async fn is_unfinished(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS tables FROM information_schema.tables \
         WHERE table_name = $1 AND table_schema = current_schema()",
    )
    .bind(PROGRESS)
    .fetch_one(connection)
    .await?;
    Ok(Columns::of("tables", &row).count("tables")? > 0)
}

#[derive(Debug)]
struct Table {
    name: String,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Bytes,
}

#[derive(Debug)]
enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

impl Table {
    fn column_names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|it| it.name.as_str()).collect();
        names.join(", ")
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
        let value = |column: &Column| {
            let name = column.name.as_str();
            Ok(match column.kind {
                Kind::Text => Value::Text(row.try_get(name)?),
                Kind::Integer => Value::Integer(row.try_get(name)?),
                Kind::Bytes => Value::Bytes(row.try_get(name)?),
            })
        };
        self.columns.iter().map(value).collect()
    }
}

impl Value {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => text.as_ref().map(String::as_bytes),
            Self::Integer(_) => None,
            Self::Bytes(bytes) => bytes.as_deref(),
        }
    }
}

/// The tables of a fleet, each after those that its rows refer to: in the order in which they were made.
async fn tables(from: &mut AnyConnection) -> Result<Vec<Table>, RelocationError> {
    let names = sqlx::query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '!_%' ESCAPE '!' \
         AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid",
    )
    .fetch_all(&mut *from)
    .await?;
    let mut tables = Vec::with_capacity(names.len());
    for row in &names {
        let name = Columns::of("sqlite_master", row).text("name")?;
        let described = sqlx::query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
            .bind(name.as_str())
            .fetch_all(&mut *from)
            .await?;
        let mut columns = Vec::with_capacity(described.len());
        for row in &described {
            let row = Columns::of("pragma_table_info", row);
            let kind = match row.text("type")?.as_str() {
                "TEXT" => Kind::Text,
                "BIGINT" => Kind::Integer,
                "BYTEA" => Kind::Bytes,
                _ => return Err(row.corrupt("type", "no such type of column").into()),
            };
            columns.push(Column { name: row.text("name")?, kind });
        }
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

/// Goes on with what was begun, or begins with an empty database.
async fn begin(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    tables: &[Table],
) -> Result<(), RelocationError> {
    let fleet = fleet(from).await?;
    if is_unfinished(to).await? {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT fleet FROM {PROGRESS} LIMIT 1")));
        let known = row.fetch_optional(to).await?;
        let known = known.map(|row| Columns::of("progress", &row).text("fleet")).transpose()?;
        return match known {
            Some(known) if known != fleet => Err(RelocationError::OtherFleet),
            _ => Ok(()),
        };
    }
    for Table { name, .. } in tables {
        let any = sqlx::query(AssertSqlSafe(format!("SELECT 1 AS it FROM {name} LIMIT 1")));
        if any.fetch_optional(&mut *to).await?.is_some() {
            return Err(RelocationError::NotEmpty);
        }
    }
    let mut begin = to.begin().await?;
    begin
        .execute(AssertSqlSafe(format!(
            "CREATE TABLE {PROGRESS} (name TEXT PRIMARY KEY NOT NULL, fleet TEXT NOT NULL, \
             newest BIGINT NOT NULL, done BIGINT NOT NULL)"
        )))
        .await?;
    for Table { name, .. } in tables {
        sqlx::query(AssertSqlSafe(format!("INSERT INTO {PROGRESS} VALUES ($1, $2, 0, 0)")))
            .bind(name.as_str())
            .bind(fleet.as_str())
            .execute(&mut *begin)
            .await?;
    }
    begin.commit().await?;
    Ok(())
}

/// What tells a fleet from others: the hash of the secrets that it has made for itself.
async fn fleet(from: &mut AnyConnection) -> Result<String, RelocationError> {
    let rows = sqlx::query("SELECT value FROM settings ORDER BY name").fetch_all(from).await?;
    let mut hash = digest::Context::new(&digest::SHA256);
    for row in &rows {
        hash.update(
            digest::digest(&digest::SHA256, &Columns::of("settings", row).bytes("value")?).as_ref(),
        );
    }
    Ok(hexadecimal(hash.finish().as_ref()))
}

async fn count(connection: &mut AnyConnection, table: &Table) -> Result<u64, StoreError> {
    let count = format!("SELECT COUNT(*) AS it FROM {}", table.name);
    let row = sqlx::query(AssertSqlSafe(count)).fetch_one(connection).await?;
    Columns::of("count", &row).count("it")
}

async fn copy(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    table: &Table,
    step: &mut impl FnMut(&RelocationStep),
) -> Result<(), RelocationError> {
    let of = count(from, table).await?;
    let row =
        sqlx::query(AssertSqlSafe(format!("SELECT newest, done FROM {PROGRESS} WHERE name = $1")));
    let row = row.bind(table.name.as_str()).fetch_one(&mut *to).await?;
    let row = Columns::of("progress", &row);
    let (mut newest, mut done) = (row.integer("newest")?, row.count("done")?);
    let most = (VALUES_AT_A_TIME / table.columns.len().max(1)).max(1);
    loop {
        let mut some = Vec::new();
        let (mut bytes, mut last) = (0, newest);
        {
            let select = format!(
                "SELECT rowid AS place, {} FROM {} WHERE rowid > $1 ORDER BY rowid",
                table.column_names(),
                table.name
            );
            let mut rows = sqlx::query(AssertSqlSafe(select)).bind(newest).fetch(&mut *from);
            while some.len() < most
                && bytes < BYTES_AT_A_TIME
                && let Some(row) = rows.try_next().await?
            {
                let values = table.values(&row)?;
                bytes += values.iter().filter_map(Value::bytes).map(<[u8]>::len).sum::<usize>();
                last = row.try_get("place")?;
                some.push(values);
            }
        }
        if some.is_empty() {
            return Ok(());
        }
        done += some.len() as u64;
        insert(to, table, some, last, done).await?;
        newest = last;
        step(&RelocationStep { table: table.name.clone(), done, of, verifying: false });
    }
}

/// Rows, and how far it has come with them, at once.
async fn insert(
    to: &mut AnyConnection,
    table: &Table,
    some: Vec<Vec<Value>>,
    newest: i64,
    done: u64,
) -> Result<(), RelocationError> {
    let mut transaction = to.begin().await?;
    let statement = format!(
        "INSERT INTO {} ({}) VALUES {}",
        table.name,
        table.column_names(),
        rows(some.len(), table.columns.len())
    );
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    for value in some.into_iter().flatten() {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        };
    }
    query.execute(&mut *transaction).await?;
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE {PROGRESS} SET newest = $1, done = $2 WHERE name = $3"
    )))
    .bind(newest)
    .bind(count_column(done))
    .bind(table.name.as_str())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Compares all rows of both sides.
async fn verify(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    tables: &[Table],
    step: &mut impl FnMut(&RelocationStep),
) -> Result<Relocated, RelocationError> {
    let mut all = digest::Context::new(&digest::SHA256);
    let mut rows = 0;
    for table in tables {
        let here = summary(from, table).await?;
        let there = summary(to, table).await?;
        if here != there {
            let table = table.name.clone();
            let (source_rows, target_rows) = (here.rows, there.rows);
            return Err(RelocationError::Different { table, source_rows, target_rows });
        }
        rows += here.rows;
        all.update(table.name.as_bytes());
        all.update(&here.sum);
        let (done, of) = (here.rows, here.rows);
        step(&RelocationStep { table: table.name.clone(), done, of, verifying: true });
    }
    let digest = hexadecimal(all.finish().as_ref());
    Ok(Relocated { tables: tables.len(), rows, digest })
}

/// What a table holds, in whatever order.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    rows: u64,
    /// The sum of the hashes of all rows, as numbers of 256 bits.
    sum: [u8; 32],
}

async fn summary(connection: &mut AnyConnection, table: &Table) -> Result<Summary, StoreError> {
    let select = format!("SELECT {} FROM {}", table.column_names(), table.name);
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(connection);
    let mut summary = Summary { rows: 0, sum: [0; 32] };
    while let Some(row) = rows.try_next().await? {
        let mut hash = digest::Context::new(&digest::SHA256);
        for value in table.values(&row)? {
            let number = match value {
                Value::Integer(number) => number.map(i64::to_be_bytes),
                Value::Text(_) | Value::Bytes(_) => None,
            };
            match number.as_ref().map(<[u8; 8]>::as_slice).or(value.bytes()) {
                Some(bytes) => {
                    hash.update(&(bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
                None => hash.update(&u64::MAX.to_be_bytes()),
            }
        }
        add(&mut summary.sum, hash.finish().as_ref());
        summary.rows += 1;
    }
    Ok(summary)
}

fn add(sum: &mut [u8; 32], number: &[u8]) {
    let mut carry = 0;
    for (digit, other) in sum.iter_mut().zip(number).rev() {
        let total = u16::from(*digit) + u16::from(*other) + carry;
        *digit = total.to_be_bytes()[1];
        carry = total >> 8;
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_carries_and_does_not_depend_on_the_order() {
        let (one, most) = (
            {
                let mut it = [0; 32];
                it[31] = 1;
                it
            },
            [0xff; 32],
        );
        let mut sum = one;
        add(&mut sum, &most);
        assert_eq!(sum, [0; 32]);
        let mut other = most;
        add(&mut other, &one);
        assert_eq!(sum, other);
    }
}
