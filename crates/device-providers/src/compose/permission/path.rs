//! Whether a path stays in a folder, wherever links on the way lead.

use std::path::{Component, Path, PathBuf};

/// Whether a path of the host lies in the folder, wherever links on the way lead.
pub(super) fn is_inside(path: &Path, folder: &Path) -> bool {
    if !path.is_absolute() || path.components().any(|it| it == Component::ParentDir) {
        return false;
    }
    real(path).starts_with(real(folder))
}

/// The path with its links followed as far as it exists.
fn real(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        // A link that leads nowhere yet may lead anywhere once its target is made.
        if existing.is_symlink() && !existing.exists() {
            return PathBuf::new();
        }
        if let Ok(real) = existing.canonicalize() {
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_package_that_leads_out_of_it_is_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let package = folder.path().join("package");
        std::fs::create_dir(&package).expect("a folder");
        for (name, target) in [("out", "/etc"), ("later", "/nowhere/yet"), ("in", ".")] {
            std::os::unix::fs::symlink(target, package.join(name)).expect("a link");
        }
        let is_inside = |it: &str| is_inside(&package.join(it), &package);
        assert!(is_inside("state") && is_inside("in/state"));
        assert!(!is_inside("out") && !is_inside("out/x") && !is_inside("later"));
    }
}
