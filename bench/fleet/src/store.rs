//! What lies below the server: its database, filled and measured while the server is away.

use std::fs;

use bench_population::Member;
use testkit::client::capabilities_of;
use testkit::fleet::TestFleet;

use crate::settings::Engine;

/// Adds so many clients to the server's store.
pub(crate) fn fill(
    server: &mut TestFleet,
    engine: Engine,
    count: usize,
    step: &dyn Fn(&str),
) -> Vec<Member> {
    assert_eq!(server.stop(), Some(0), "a server that is asked to stop does so");
    let members = match engine {
        Engine::Sqlite => {
            let database = server.dir().join("data/gantry.db");
            let members = bench_population::populate(&database, count, step);
            let capabilities = |device: &str| capabilities_of(device).to_string();
            bench_population::describe(&database, &members, &capabilities);
            members
        }
    };
    server.start_server();
    members
}

/// The size of the database in bytes, with all that was written folded in: the server is asked to stop, and
/// comes back.
pub(crate) fn size(server: &mut TestFleet, engine: Engine) -> u64 {
    assert_eq!(server.stop(), Some(0), "a server that is asked to stop does so");
    let size = match engine {
        Engine::Sqlite => {
            let files = ["gantry.db", "gantry.db-wal"].map(|it| server.dir().join("data").join(it));
            files.iter().filter_map(|it| fs::metadata(it).map(|it| it.len()).ok()).sum()
        }
    };
    server.start_server();
    size
}
