//! `gantry-server migrate-to`: moves the fleet from the SQLite file of the data directory into PostgreSQL.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use fleet_store::{Database, RelocationStep, relocate};

use crate::config::{Arguments, Config};
use crate::data_dir;

/// Moves the fleet, and says how far it is. The file stays as it is.
pub(crate) fn run(arguments: &Arguments, to: &str) -> Result<ExitCode> {
    let config = Config::load(arguments)?;
    let target: Database = to.parse()?;
    let source = config.database_file();
    // Whoever serves from the file would go on with what is left behind.
    let _lock = data_dir::open(&config.data_dir)
        .context("the server has to be stopped while its fleet is moved")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut out = io::stdout().lock();
    writeln!(out, "moving {source} to {target}")?;
    let mut told = String::new();
    let moved = runtime.block_on(relocate(&source, &target, |step| {
        let line = line(step);
        if line != told {
            // Whoever no longer reads wants it to be done all the same.
            let _ = writeln!(out, "{line}");
            told = line;
        }
    }))?;
    writeln!(
        out,
        "moved {} rows in {} tables; both sides are equal, SHA-256 {}",
        moved.rows, moved.tables, moved.digest
    )?;
    writeln!(
        out,
        "Now put `database` with this URL into the configuration and start the server. Certificate and keys \
         stay in {}; the file {source} is no longer used, keep it until you trust the new database.",
        config.data_dir.display()
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each tenth of a table.
fn line(step: &RelocationStep) -> String {
    let RelocationStep { table, done, of, verifying } = step;
    match (verifying, done == of) {
        (true, _) => format!("verified {table}: {of} rows are the same"),
        (false, true) => format!("copied {table}: {of} rows"),
        (false, false) => format!("copying {table}: {} %", done * 10 / (*of).max(1) * 10),
    }
}
