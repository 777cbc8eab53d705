//! Checks of the tree that the compiler cannot make: `cargo xtask layers`, `cargo xtask tidy` and
//! `cargo xtask conformance`. Each prints every fault that it finds and exits with status 1 when
//! there is one.

mod conformance;
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
        Some("conformance") => conformance::faults(root, env::args().nth(2).as_deref()),
        _ => bail!("usage: cargo xtask layers|tidy|conformance [--check]"),
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

/// The Rust files below a folder, without what was built.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command line tool speaks on standard error")]
fn say(line: &str) {
    eprintln!("{line}");
}
