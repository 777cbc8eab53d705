//! Statements about several things at once: each way to the database costs more than most of what is done
//! there.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use crate::{StoreError, Transaction};

/// How many rows one statement writes at most: no database takes a statement of any length.
const MOST_ROWS: usize = 64;

/// How many bytes one statement carries at most, if it does not write a single row. The driver does not set
/// `TCP_NODELAY` (sqlx 0.9.0, issue 4335 there), so PostgreSQL waits some 40 ms for the end of what is sent to
/// it in more than one piece, and a TLS record is a piece of up to 16 KiB.
const MOST_BYTES: usize = 12 << 10;

/// What a value of no great length takes about, with what the protocol adds: most are ids and numbers.
const SHORT_VALUE: usize = 48;

/// What a report of a device takes about, and an order beside its reason.
pub(crate) const ABOUT_A_REPORT: usize = 400;
pub(crate) const ABOUT_AN_ORDER: usize = 400;

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

/// Of items without values of any length.
pub(crate) fn none<T>(_: &T) -> usize {
    0
}

/// The items in parts that fit into a statement each. Parts have 1, 2, 4 items and so on, so that there are few
/// different statements: a database prepares each of them.
fn parts<T>(items: &[T], columns: usize, long: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += columns * SHORT_VALUE + long(item);
            bytes <= MOST_BYTES
        };
        let fitting = rest.iter().take(MOST_ROWS).take_while(fits).count().max(1);
        let (part, others) = rest.split_at(1 << fitting.ilog2());
        parts.push(part);
        rest = others;
    }
    parts
}

impl Transaction {
    /// Writes a row of so many columns for each item, as many at a time as fit into a statement; how many rows
    /// were changed. Of values of any length `long` tells how many bytes an item has of them.
    pub(crate) async fn write_rows<'i, T>(
        &mut self,
        before: &str,
        columns: usize,
        items: &'i [T],
        long: impl Fn(&T) -> usize,
        after: &str,
        bind: impl Fn(AnyQuery<'i>, &'i T) -> AnyQuery<'i>,
    ) -> Result<u64, StoreError> {
        let mut written = 0;
        for some in parts(items, columns, long) {
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
        long: impl Fn(&T) -> usize,
        after: &str,
        bind: impl Fn(AnyQuery<'i>, &'i T) -> AnyQuery<'i>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut returned = Vec::new();
        for some in parts(items, columns, long) {
            let query = query_with(before, columns, some, after, &bind);
            returned.extend(query.fetch_all(self.connection()).await?);
        }
        Ok(returned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(items: &[usize], columns: usize) -> Vec<usize> {
        let parts = parts(items, columns, |it| *it);
        assert_eq!(parts.concat(), items, "each once, and in order");
        parts.iter().map(|it| it.len()).collect()
    }

    #[test]
    fn a_statement_has_as_many_rows_as_fit_into_it_and_there_are_few_different_ones() {
        assert_eq!(sizes(&[], 3), [0; 0]);
        assert_eq!(sizes(&[0; 100], 3), [64, 32, 4]);
        assert_eq!(sizes(&[1000; 12], 3), [8, 4]);
        assert_eq!(sizes(&[1 << 20, 1 << 20, 0], 3), [1, 1, 1]);
        assert_eq!(sizes(&[0; 65], 18), [8, 8, 8, 8, 8, 8, 8, 8, 1]);
    }

    #[test]
    fn values_are_numbered_through() {
        assert_eq!(rows(2, 2), "($1, $2), ($3, $4)");
        assert_eq!(rows(1, 3), "($1, $2, $3)");
    }
}
