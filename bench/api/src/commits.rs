//! Single durable commits: what the store does when nobody shares one, and each waits for the disk.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fleet_store::{Database, Store, StoreOptions};

/// The first argument of this program when it is asked for nothing but commits.
pub(crate) const ARGUMENT: &str = "single-commits";

/// So many commits to a store of its own, one after the other: how many there are in a second. In a
/// process of its own, so that what slows the disk down can be loaded into it.
pub(crate) fn rate_in_a_process(folder: &Path, count: u32, slow_sync: &Path) -> f64 {
    let program = std::env::current_exe().expect("a program knows its file");
    let mut command = Command::new(program);
    command.arg(ARGUMENT).arg(folder.join("single.db")).arg(count.to_string());
    let output = command.env("LD_PRELOAD", slow_sync).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("it prints a number")
}

/// The commits, in the process that was started for them.
pub(crate) fn rate(database: &Path, count: u32) -> f64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let store = Store::open(&Database::sqlite(database), &StoreOptions::default()).await;
        let store = store.expect("a new store can be made");
        let start = Instant::now();
        for number in 0..count {
            let mut transaction = store.begin().await.expect("nobody else writes");
            let value = number.to_be_bytes();
            transaction.set_setting("number", &value).await.expect("there is such a table");
            transaction.commit().await.expect("there is room on the disk");
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    })
}
