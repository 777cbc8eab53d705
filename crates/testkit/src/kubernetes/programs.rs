//! The programs of a test's cluster: where they are, and how to run them so that they end with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, path};

use crate::programs::Running;

/// Runs a program to its end, or until its own input ends, which comes when the test's process ends, however it
/// does; then the folder of the cluster goes too.
const KEEPER: &str = r#"folder=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & program=$!
(read -r _ <&3; kill -9 $program; rm -rf "$folder" || rm -rf "$folder") 2>/dev/null &
exec 3<&-
wait $program"#;

/// The `helm` of this major version that the set-up has built.
pub fn helm(major: u8) -> PathBuf {
    tool(&format!("helm-{major}"))
}

/// A program that the set-up has built.
fn tool(name: &str) -> PathBuf {
    let built = target().join("kubernetes").join(name);
    assert!(built.is_file(), "{name} is missing: run `scripts/set-up.sh test`");
    built
}

/// The folder `target` of the repository, wherever Cargo's own is.
fn target() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    path::absolute(crate_folder.join("../../target")).expect("the repository has a path")
}

/// Starts a program of the control plane, which works in the folder of the cluster.
pub(super) fn start(folder: &Path, name: &str, arguments: &[String]) -> Running {
    let mut command = Command::new("sh");
    command
        .args(["-c", KEEPER, name])
        .arg(folder)
        // It is all of them, and is told which.
        .arg(tool("cluster"))
        .arg(name)
        .args(arguments)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::piped());
    Running::start(&mut command, &folder.join(format!("{name}.log")))
}
