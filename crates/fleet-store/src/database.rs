//! Which database a fleet is kept in: a SQLite file, or one that speaks PostgreSQL's protocol.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::OpenError;

/// Where a fleet is kept. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    url: String,
    engine: Engine,
    file: Option<PathBuf>,
    shown: String,
}

/// What answers, and what it understands beyond the common text of all statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    /// 15 or newer.
    Postgres,
}

impl Database {
    /// A SQLite file, which [`Store::open`](crate::Store::open) makes when it is not there.
    pub fn sqlite(file: &Path) -> Self {
        let mut url = "sqlite://".to_owned();
        for character in file.to_string_lossy().chars() {
            match character {
                '%' => url.push_str("%25"),
                '?' => url.push_str("%3F"),
                '#' => url.push_str("%23"),
                other => url.push(other),
            }
        }
        url.push_str("?mode=rwc");
        let (file, shown) = (Some(file.to_owned()), file.display().to_string());
        Self { url, engine: Engine::Sqlite, file, shown }
    }

    /// The file, of SQLite.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// With the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same, which is not made when it is not there.
    pub(crate) fn url_of_existing(&self) -> String {
        match self.engine {
            Engine::Sqlite => self.url.replace("?mode=rwc", "?mode=ro"),
            Engine::Postgres => self.url.clone(),
        }
    }
}

/// From `postgres://USER:PASSWORD@HOST:PORT/NAME`, or `sqlite:` and a file.
impl FromStr for Database {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {
                let options: PgConnectOptions =
                    url.parse().map_err(|_| OpenError::UnreadableUrl)?;
                let shown = format!(
                    "postgres://{}@{}:{}/{}",
                    options.get_username(),
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or(options.get_username()),
                );
                Ok(Self { url: url.to_owned(), engine: Engine::Postgres, file: None, shown })
            }
            Some(("sqlite", file)) if !file.is_empty() => {
                Ok(Self::sqlite(&PathBuf::from(file.trim_start_matches("//"))))
            }
            Some((scheme, _)) => Err(OpenError::UnsupportedDatabase { scheme: scheme.to_owned() }),
            None => Err(OpenError::UnreadableUrl),
        }
    }
}

impl Display for Database {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_shown_without_its_password() {
        let database: Database =
            "postgres://gantry:s3cret@db.example:5433/fleet?sslmode=verify-full"
                .parse()
                .expect("a URL");
        assert_eq!(database.to_string(), "postgres://gantry@db.example:5433/fleet");
        assert_eq!(database.engine(), Engine::Postgres);
        assert!(!format!("{database:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_database_is_refused_without_repeating_what_may_be_a_secret() {
        for (url, expected) in [
            ("mysql://gantry:s3cret@db/fleet", "`mysql` is not"),
            ("postgres://gantry:s3cret@db:port/fleet", "cannot be read"),
            ("s3cret", "cannot be read"),
        ] {
            let refused = url.parse::<Database>().expect_err(url).to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn a_file_is_found_whatever_its_name() {
        let database = Database::sqlite(Path::new("/srv/fleet #1 100%?.db"));
        assert_eq!(database.url(), "sqlite:///srv/fleet %231 100%25%3F.db?mode=rwc");
        assert_eq!(
            "sqlite:/srv/fleet.db".parse().ok(),
            Some(Database::sqlite(Path::new("/srv/fleet.db")))
        );
    }
}
