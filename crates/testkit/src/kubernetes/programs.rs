//! The programs of a test's cluster: where they are, and how to run them so that they end with the test.

use std::fs;
use std::net::TcpListener;
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

/// Where the programs of a cluster write.
pub(super) struct Logs {
    pub(super) folder: PathBuf,
}

/// The `helm` of this major version that the set-up has built.
pub fn helm(major: u8) -> PathBuf {
    tool(&format!("helm-{major}"))
}

/// A program of the set-up: one that is on the machine already, or one that it has built.
pub(super) fn tool(name: &str) -> PathBuf {
    let built = target().join("kubernetes").join(name);
    if built.is_file() {
        return built;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `scripts/set-up.sh test`"))
}

/// The folder `target` of the repository, wherever Cargo's own is.
fn target() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    path::absolute(crate_folder.join("../../target")).expect("the repository has a path")
}

/// A port that was free just now.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
}

/// Starts a program. `cluster` holds several and is told which it is to be.
pub(super) fn start(logs: &Logs, name: &str, program: &Path, arguments: &[String]) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, name]).arg(&logs.folder).arg(program);
    if program.ends_with("cluster") {
        command.arg(name);
    }
    command
        .args(arguments)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", &logs.folder)
        .current_dir(&logs.folder)
        .stdin(Stdio::piped());
    let log = logs.folder.join(format!("{name}.log"));
    fs::write(&log, "").expect("a writable folder");
    Running::start(&mut command, &log)
}
