//! Statements about several things at once: each way to the database costs more than most of what is done
//! there.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use crate::{StoreError, Transaction};

/// How many rows one statement adds at most. It is as long as what it adds, and no database takes one of any
/// length.
const ROWS_AT_A_TIME: usize = 64;

pub(crate) type AnyQuery<'q> = Query<'q, Any, AnyArguments>;

/// The values of so many rows as a statement takes them: `($1, $2), ($3, $4)`.
pub(crate) fn rows(count: usize, columns: usize) -> String {
    let mut text = String::new();
    for row in 0..count {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            text.push_str(&format!("{comma}${}", row * columns + column + 1));
        }
        text.push(')');
    }
    text
}

/// A query about some of what has ids: the list of them stands between the two parts of the statement.
pub(crate) fn query_of<'q>(before: &str, ids: &[impl ToString], after: &str) -> AnyQuery<'q> {
    // One row of as many values. No database takes a list of none.
    let statement = match ids {
        [] => format!("{before} (NULL) {after}"),
        ids => format!("{before} {} {after}", rows(1, ids.len())),
    };
    let query = sqlx::query(AssertSqlSafe(statement));
    ids.iter().fold(query, |query, id| query.bind(id.to_string()))
}

/// A query about several rows of values, of so many columns each: they stand between the two parts of the
/// statement. At least one.
pub(crate) fn query_with<'i, T>(
    before: &str,
    columns: usize,
    items: &'i [T],
    after: &str,
    bind: impl Fn(AnyQuery<'i>, &'i T) -> AnyQuery<'i>,
) -> AnyQuery<'i> {
    let statement = format!("{before} {} {after}", rows(items.len(), columns));
    items.iter().fold(sqlx::query(AssertSqlSafe(statement)), bind)
}

impl Transaction {
    /// Writes a row of so many columns for each item, a few at a time; how many rows were changed.
    pub(crate) async fn write_rows<'i, T>(
        &mut self,
        before: &str,
        columns: usize,
        items: &'i [T],
        after: &str,
        bind: impl Fn(AnyQuery<'i>, &'i T) -> AnyQuery<'i>,
    ) -> Result<u64, StoreError> {
        let mut written = 0;
        for some in items.chunks(ROWS_AT_A_TIME) {
            let query = query_with(before, columns, some, after, &bind);
            written += query.execute(self.connection()).await?.rows_affected();
        }
        Ok(written)
    }

    /// As [`write_rows`](Self::write_rows): what the statement gives back.
    pub(crate) async fn write_returning<'i, T>(
        &mut self,
        before: &str,
        columns: usize,
        items: &'i [T],
        after: &str,
        bind: impl Fn(AnyQuery<'i>, &'i T) -> AnyQuery<'i>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut returned = Vec::new();
        for some in items.chunks(ROWS_AT_A_TIME) {
            let query = query_with(before, columns, some, after, &bind);
            returned.extend(query.fetch_all(self.connection()).await?);
        }
        Ok(returned)
    }
}
