//! `gantry-device config check`.

use std::path::Path;

use anyhow::Result;

use crate::config::Config;

/// Tells every mistake of a configuration file.
pub(crate) fn check(file: &Path) -> Result<()> {
    Config::read(file)?;
    crate::print(&format!("{} is valid", file.display()))
}
