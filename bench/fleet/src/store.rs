//! What lies below the server: its database, filled and measured while the server is away.

use std::fs;

use bench_population::{Database, Member};
use testkit::client::capabilities_of;
use testkit::fleet::TestFleet;
use testkit::postgres::Postgres;

use crate::settings::Engine;

/// The cluster of the database, where it is one of PostgreSQL; it has to outlive the server.
pub(crate) fn cluster(engine: Engine) -> Option<Postgres> {
    match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Postgres::start()),
    }
}

/// A server with an empty database of this cluster, or of its own.
pub(crate) fn server(cluster: Option<&Postgres>, configuration: &str) -> TestFleet {
    let Some(cluster) = cluster else { return TestFleet::start_with(configuration) };
    let mut server = TestFleet::start_on(cluster.database());
    stop(&mut server);
    server.configure(configuration);
    server.start_server();
    server
}

/// Adds so many clients to the server's store.
pub(crate) fn fill(server: &mut TestFleet, count: usize, step: &dyn Fn(&str)) -> Vec<Member> {
    stop(server);
    let database = match server.postgres() {
        Some(database) => database.url().parse().expect("it is a URL of a database"),
        None => Database::sqlite(&server.database_file()),
    };
    let members = bench_population::populate(&database, count, step);
    let capabilities = |device: &str| capabilities_of(device).to_string();
    bench_population::describe(&database, &members, &capabilities);
    server.start_server();
    members
}

/// The size of the database in bytes, with all that was written folded in: the server is asked to stop, and
/// comes back.
pub(crate) fn size(server: &mut TestFleet) -> u64 {
    stop(server);
    let size = match server.postgres() {
        Some(database) => {
            database.psql("CHECKPOINT");
            database.size()
        }
        None => {
            let log = server.database_file().with_extension("db-wal");
            let files = [server.database_file(), log];
            files.iter().filter_map(|it| fs::metadata(it).map(|it| it.len()).ok()).sum()
        }
    };
    server.start_server();
    size
}

fn stop(server: &mut TestFleet) {
    assert_eq!(server.stop(), Some(0), "a server that is asked to stop does so");
}
