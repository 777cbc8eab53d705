//! How files look: each Rust file opens with what it is for, modules live in `foo.rs` and never in
//! `mod.rs`, and no file is longer than somebody would read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const LONGEST_FILE: usize = 900;

/// Every file that breaks one of the rules above.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for folder in ["crates", "examples", "xtask", "bench"] {
        let folder = root.join(folder);
        if folder.is_dir() {
            super::rust_files(&folder, &mut files)?;
        }
    }
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let place = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        faults.extend(faults_of(&file, &text).into_iter().map(|fault| format!("{place}: {fault}")));
    }
    Ok(faults)
}

fn faults_of(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push("opens without saying what it is for (`//!`)".to_owned());
    }
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        faults.push("is called mod.rs; call it after its folder".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        faults.push(format!("has {lines} lines; {LONGEST_FILE} are the limit"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_opens_with_its_purpose_has_no_fault() {
        assert!(faults_of(Path::new("fleet.rs"), "//! What it is for.\n").is_empty());
    }

    #[test]
    fn a_file_without_purpose_called_mod_rs_has_two_faults() {
        assert_eq!(faults_of(Path::new("fleet/mod.rs"), "use std::fs;\n").len(), 2);
    }

    #[test]
    fn a_file_that_nobody_would_read_to_its_end_has_a_fault() {
        let text = "//! Long.\n".repeat(LONGEST_FILE + 1);
        assert_eq!(faults_of(Path::new("long.rs"), &text).len(), 1);
    }
}
