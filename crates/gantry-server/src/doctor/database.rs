//! The database, and the clock, which the database knows something about.

use fleet_store::{Engine, Schema};

use super::Finding;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::problem;

const DATABASE: &str = "database";
const CLOCK: &str = "clock";

/// 2024-01-01: before that there was no Gantry.
const FIRST_TIME: i64 = 1_704_067_200;
/// So far, in seconds, the clock may be behind what the database knows: it was set since.
const STEP: i64 = 60;

pub(super) async fn check(config: &Config, now: i64) -> [Finding; 2] {
    let database = config.database();
    match Fleet::inspect(&database).await {
        Ok(Some(inspection)) => [schema(inspection.schema), clock(now, inspection.newest)],
        Ok(None) => {
            let finding = format!("{database} will be filled at the first start");
            [Finding::ok(DATABASE, finding), clock(now, None)]
        }
        Err(error) => {
            let finding = format!("{database}: {}", problem::chain(&error));
            [Finding::fail(DATABASE, finding, advice(database.engine())), clock(now, None)]
        }
    }
}

fn advice(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "look at the disk and at who owns the file; a damaged one has to come back from a backup"
        }
        Engine::Postgres => {
            "look whether PostgreSQL runs and is reached from here, and at user, password, name and \
             `sslmode` in the URL of the database"
        }
    }
}

fn schema(schema: Schema) -> Finding {
    match schema {
        Schema::Newest => Finding::ok(DATABASE, "it opens, and its tables are the newest"),
        Schema::Older(_) => Finding::warn(
            DATABASE,
            "its tables are those of an older server",
            "the next start of this one changes them, and the older one cannot use them after that: back the \
             database up first",
        ),
        Schema::Other => Finding::fail(
            DATABASE,
            "its tables were made by a newer server, or by one that was built otherwise",
            "start the server that has made them",
        ),
    }
}

fn clock(now: i64, newest: Option<i64>) -> Finding {
    let finding = format!("it is {}", rfc3339(now));
    let advice =
        "set the clock and keep it right with NTP: signatures and certificates are judged by it";
    match newest {
        _ if now < FIRST_TIME => Finding::fail(CLOCK, finding, advice),
        Some(newest) if now + STEP < newest => {
            let finding = format!("{finding}, and the database knows of {}", rfc3339(newest));
            Finding::fail(CLOCK, finding, advice)
        }
        _ => Finding::ok(CLOCK, finding),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_is_behind_what_is_known_is_wrong() {
        let now = 1_800_000_000;
        for (now, newest, expected) in [
            (now, None, Verdict::Ok),
            (now, Some(now), Verdict::Ok),
            (now, Some(now + 30), Verdict::Ok),
            (now, Some(now + 3_600), Verdict::Fail),
            (0, None, Verdict::Fail),
        ] {
            assert_eq!(clock(now, newest).verdict, expected, "{now} {newest:?}");
        }
    }
}
