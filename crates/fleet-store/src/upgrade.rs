//! Why the tables of a database cannot be brought up to date, in words that say what to do. Steps only ever
//! lead forwards, and what they find unfit they leave as it is.

use sqlx::migrate::MigrateError;

use crate::OpenError;

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(step) => Self::Newer { step },
            MigrateError::VersionMismatch(step) => Self::MadeOtherwise { step },
            error => Self::Migrate(error.into()),
        }
    }
}
