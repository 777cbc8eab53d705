//! Checks of the tree that the compiler cannot make: `cargo xtask layers` and `cargo xtask tidy`.
//! Both print every fault that they find and exit with status 1 when there is one.

mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                say(&fault);
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    match env::args().nth(1).as_deref() {
        Some("layers") => layers::faults(root),
        Some("tidy") => tidy::faults(root),
        _ => bail!("usage: cargo xtask layers|tidy"),
    }
}

/// The entries of a folder, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>()
        })
        .with_context(|| format!("reading {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

#[expect(clippy::print_stderr, reason = "a command line tool speaks on standard error")]
fn say(line: &str) {
    eprintln!("{line}");
}
