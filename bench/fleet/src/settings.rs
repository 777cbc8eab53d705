//! What is measured, as the environment says it.

use std::env;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// How often a client looks for what an operator has ordered, in seconds, unless the fleet is so large that
/// [`POLLS_A_SECOND`] would come to more.
const ORDER_INTERVAL: usize = 10;
/// The fleet shares two cores with its server, which has the order to carry out.
const POLLS_A_SECOND: usize = 300;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) clients: usize,
    /// So many of them onboard over the API; the store is filled with the others.
    pub(crate) onboarding: usize,
    pub(crate) engine: Engine,
    /// How often each polls.
    pub(crate) interval: Duration,
    /// How many of a hundred poll with Git.
    pub(crate) git_percent: usize,
    /// How long polls are measured.
    pub(crate) window: Duration,
}

/// The database of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Settings {
    /// Panics at what it cannot read.
    pub(crate) fn from_environment() -> Self {
        let clients = number("CLIENTS", 10_000).max(1);
        Self {
            clients,
            onboarding: number("ONBOARDING", 2_000).clamp(1, clients),
            engine: number("DATABASE", Engine::Sqlite),
            interval: Duration::from_secs(number("POLL_SECONDS", 60).max(1)),
            git_percent: number("GIT_SHARE", 10).min(100),
            window: Duration::from_secs(number("WINDOW_SECONDS", 60).max(1)),
        }
    }

    /// How long polls are measured that come as fast as they can.
    pub(crate) fn flat_out(&self) -> Duration {
        self.window / 6
    }

    /// How often each polls while an order goes out.
    pub(crate) fn order_interval(&self) -> Duration {
        let seconds = (self.clients / POLLS_A_SECOND).max(ORDER_INTERVAL);
        self.interval.min(Duration::from_secs(seconds as u64))
    }

    /// Whether this one, of all, polls with Git.
    pub(crate) fn uses_git(&self, place: usize) -> bool {
        place % 100 < self.git_percent
    }
}

impl FromStr for Engine {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err("it has to be sqlite or postgres"),
        }
    }
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

fn number<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
        }
        _ => otherwise,
    }
}
