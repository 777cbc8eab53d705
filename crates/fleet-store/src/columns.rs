//! Reads the columns of a row into domain types, and says which one cannot be.

use std::str::FromStr;

use fleet_domain::ids::RevisionNumber;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::StoreError;

/// A row of a table.
pub(crate) struct Columns<'r> {
    table: &'static str,
    row: &'r AnyRow,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(table: &'static str, row: &'r AnyRow) -> Self {
        Self { table, row }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|cause| self.corrupt(column, cause))
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|cause| self.corrupt(column, cause))
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.row.try_get(column).map_err(|cause| self.corrupt(column, cause))
    }

    /// A time or another number that may be negative.
    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|cause| self.corrupt(column, cause))
    }

    pub(crate) fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.row.try_get(column).map_err(|cause| self.corrupt(column, cause))
    }

    /// A number that counts something.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.integer(column)?).map_err(|cause| self.corrupt(column, cause))
    }

    /// An id, or anything else that its text tells.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        self.text(column)?.parse().map_err(|cause: T::Err| self.corrupt(column, cause))
    }

    pub(crate) fn optional_parsed<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|cause: T::Err| self.corrupt(column, cause)))
            .transpose()
    }

    pub(crate) fn revision(&self, column: &'static str) -> Result<RevisionNumber, StoreError> {
        RevisionNumber::new(self.count(column)?)
            .ok_or_else(|| self.corrupt(column, "a revision number starts at 1"))
    }

    pub(crate) fn optional_revision(
        &self,
        column: &'static str,
    ) -> Result<Option<RevisionNumber>, StoreError> {
        match self.optional_integer(column)? {
            Some(_) => self.revision(column).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn corrupt(
        &self,
        column: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Corrupt { table: self.table, column, cause: StoreError::cause(cause) }
    }
}

/// A revision number as a column takes it.
pub(crate) fn revision_column(number: RevisionNumber) -> i64 {
    i64::try_from(number.get()).expect("a revision number is 2^63-1 at most")
}

/// A count, a limit or a sequence number as a column takes it. What is beyond all rows stays there.
pub(crate) fn count_column(count: impl Into<u64>) -> i64 {
    i64::try_from(count.into()).unwrap_or(i64::MAX)
}
