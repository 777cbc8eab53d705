//! Where the fleet manager keeps everything, and whether that can be killed.

use std::fs;

use testkit::fleet::TestFleet;
use testkit::postgres::Postgres;
use testkit::{programs, wait};

pub(crate) enum Database {
    /// A part of the server, which dies with it.
    Sqlite,
    Postgres(Postgres),
}

impl Database {
    /// The one of this name.
    pub(crate) fn called(name: &str) -> Self {
        match name {
            "sqlite" => Self::Sqlite,
            "postgres" => Self::Postgres(Postgres::start()),
            other => panic!("DATABASE={other} is neither sqlite nor postgres"),
        }
    }

    pub(crate) fn is_mortal(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Starts a fleet manager on it, with these lines of configuration.
    pub(crate) fn start_fleet(&self, configuration: &str) -> TestFleet {
        let mut fleet = match self {
            Self::Sqlite => TestFleet::start_on_sqlite(),
            Self::Postgres(postgres) => TestFleet::start_on(postgres.database()),
        };
        fleet.stop();
        fleet.configure(configuration);
        fleet.start_server();
        fleet
    }

    /// Takes it away without a warning, where it can be.
    pub(crate) fn kill(&self) {
        if let Self::Postgres(postgres) = self {
            postgres.kill();
        }
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        if let Self::Postgres(postgres) = self {
            postgres.start_again();
        }
    }

    /// Writes into the fleet manager's folder what it keeps, unless it is there.
    pub(crate) fn dump(&self, fleet: &TestFleet) {
        if let Some(database) = fleet.postgres() {
            let dump = programs::stdout_of(&mut database.tool("pg_dump"));
            fs::write(fleet.dir().join("database.sql"), dump).expect("the folder can be written");
        }
    }
}

/// What a server that was killed has asked its database for: that goes on until it is done.
pub(crate) struct FormerServer {
    /// By the clock of the database, when the server was gone.
    gone_at: Option<String>,
}

impl FormerServer {
    /// The server that was killed just now.
    pub(crate) fn of(fleet: &TestFleet) -> Self {
        let gone_at = fleet.postgres().map(|it| it.psql("SELECT clock_timestamp()"));
        Self { gone_at }
    }

    /// Waits until nothing goes on for it any more.
    pub(crate) fn await_end(&self, fleet: &TestFleet) {
        let (Some(database), Some(gone_at)) = (fleet.postgres(), &self.gone_at) else { return };
        let connected = format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_start < '{}'",
            gone_at.trim()
        );
        wait::until("what the former server has begun to end", || {
            (database.psql(&connected).trim() == "0").then_some(())
        });
    }
}
