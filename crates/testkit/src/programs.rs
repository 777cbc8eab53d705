//! Where the programs under test are, and how to run them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::{env, fs};

use rustix::process::{Pid, Signal};

/// The path of one of Gantry's programs, built beside the running test.
pub fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");

    test.ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins`"))
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// What a program printed on standard output; panics with all that it said when it failed.
pub fn stdout_of(command: &mut Command) -> String {
    let output = run(command);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{stdout}{stderr}", output.status);
    stdout
}

/// A program that runs until it is dropped, and then ends at once.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command`; what it prints goes to the file `log`, after what is there.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self::start_apart(command, log, log)
    }

    /// As [`Running::start`], with what it prints on standard output in a file of its own.
    pub fn start_apart(command: &mut Command, stdout: &Path, log: &Path) -> Self {
        let open = |path: &Path| {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
        };
        let child = command
            .stdout(open(stdout))
            .stderr(open(log))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Panics with the program's last words when it has ended.
    pub fn assert_running(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the program ended with {status}:\n{}", self.log());
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that the program and its predecessors with the same log have printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the program ends by itself, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        crate::wait::until("the program to end", || {
            self.child.try_wait().expect("a child can be waited for")
        })
        .code()
    }

    /// Takes the program away without a warning, as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().expect("the program is ours to kill");
        self.child.wait().expect("a killed program ends");
    }

    /// Asks the program to stop, as `systemctl stop` does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks the program to read its files again, as `systemctl reload` does.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Lets the program do nothing until [`Running::thaw`], as a machine that is suspended does.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a running program has a process id");
        rustix::process::kill_process(pid, signal).expect("the program is ours to signal");
    }

    /// Asks the program to stop and gives its exit code.
    pub fn stop(self) -> Option<i32> {
        self.terminate();
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
