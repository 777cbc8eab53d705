//! Starts programs: the one place in the product that does.
//!
//! A program gets an argument list, never a shell; an environment of its own, not ours; and a time
//! limit. It runs in its own process group, which is ended as a whole, so that nothing it started
//! outlives it. What it prints is read to the end but kept only in part, so that a talkative program
//! costs no memory.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How many bytes of each of the two outputs are kept where nobody needs more.
pub const KEPT: usize = 1 << 20;
/// How long a program that was asked to end gets before it is made to.
const GRACE: Duration = Duration::from_secs(5);
/// How long the last output of an ended program may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often a running program is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// What every program may know of our environment.
const INHERITED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// A program and how to run it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The program: a path, or a name to be found in `PATH`.
    pub program: &'a OsStr,
    /// Its arguments, each passed as it is.
    pub arguments: &'a [&'a OsStr],
    /// The folder that it works in.
    pub folder: &'a Path,
    /// Names of our environment variables that it gets, beside `PATH`, `HOME` and `TMPDIR`.
    pub inherited: &'a [&'a str],
    /// Further variables of its environment.
    pub variables: &'a [(&'a str, &'a OsStr)],
    /// How many bytes are kept of the end of each of its outputs, such as [`KEPT`].
    pub kept: usize,
    /// How long it may run.
    pub timeout: Duration,
    /// Ends it early once set.
    pub stop: &'a AtomicBool,
}

/// A program that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
}

/// What a program printed: the end of it.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    kept: usize,
    cut: bool,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("the program `{program}` could not be started")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was ended for taking too long.
    #[error("the program `{program}` was ended after {} s", after.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// How long it had.
        after: Duration,
        /// What it had written to standard error.
        stderr: Output,
    },
    /// It was ended because we are to stop.
    #[error("the program `{program}` was ended because the client is being stopped")]
    Interrupted {
        /// The program.
        program: String,
    },
}

/// Runs a program to its end, or to the end of the time that it has.
pub fn run(call: &Call<'_>) -> Result<Finished, ProcessError> {
    let program = call.program.to_string_lossy().into_owned();
    let started = Instant::now();
    let mut child = match command(call).spawn() {
        Ok(child) => Group { child },
        Err(source) => return Err(ProcessError::NotStarted { program, source }),
    };
    let stdout = Reader::start(child.child.stdout.take(), call.kept);
    let stderr = Reader::start(child.child.stderr.take(), call.kept);

    let interrupted = loop {
        if child.has_ended() {
            let status = child
                .end()
                .map_err(|source| ProcessError::NotStarted { program: program.clone(), source })?;
            return Ok(Finished { status, stdout: stdout.finish(), stderr: stderr.finish() });
        }
        if call.stop.load(Ordering::Relaxed) {
            break true;
        }
        if started.elapsed() >= call.timeout {
            break false;
        }
        thread::sleep(INTERVAL);
    };
    child.ask_to_end();
    drop(child);
    if interrupted {
        return Err(ProcessError::Interrupted { program });
    }
    Err(ProcessError::TimedOut { program, after: call.timeout, stderr: stderr.finish() })
}

fn command(call: &Call<'_>) -> Command {
    let mut command = Command::new(call.program);
    command
        .args(call.arguments)
        .current_dir(call.folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in INHERITED.iter().chain(call.inherited) {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(call.variables.iter().copied());
    command
}

impl Output {
    /// The text, with replacement characters for what is no UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The bytes, unless some at the beginning were not kept.
    pub fn whole(&self) -> Option<&[u8]> {
        (!self.cut).then_some(&self.bytes)
    }

    /// Keeps the end of what was printed: that is where programs say what went wrong.
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > self.kept {
            let excess = self.bytes.len() - self.kept;
            self.bytes.drain(..excess);
            self.cut = true;
        }
    }
}

/// A started program with all that it started; dropping it ends them.
struct Group {
    child: Child,
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the program has ended. It is not reaped yet, so that its number, which is that of
    /// the group as well, cannot become another's before the group is ended.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }

    fn ask_to_end(&self) {
        // It may have ended just now, which is as well.
        let _ = kill_process_group(self.pid(), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !self.has_ended() {
            thread::sleep(INTERVAL);
        }
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        // Fails when nobody is left in the group but the program, which has ended.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Waiting again for a program that was waited for gives its status again.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.end();
        }
    }
}

/// Reads one output on a thread of its own, so that neither can block the program.
struct Reader {
    output: Arc<Mutex<Output>>,
    done: mpsc::Receiver<()>,
}

impl Reader {
    fn start(pipe: Option<impl Read + Send + 'static>, kept: usize) -> Self {
        let output = Arc::new(Mutex::new(Output { kept, ..Output::default() }));
        let (ended, done) = mpsc::channel();
        if let Some(mut pipe) = pipe {
            let output = Arc::clone(&output);
            thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = read(&mut pipe, &mut buffer) {
                    output.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..count]);
                }
                // Nobody listens any more when the output took too long.
                let _ = ended.send(());
            });
        }
        Self { output, done }
    }

    /// What was printed. A process that left the group may hold the pipe open for ever, so the end
    /// of the pipe is not waited for long.
    fn finish(self) -> Output {
        let _ = self.done.recv_timeout(LAST_WORDS);
        std::mem::take(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(pipe: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration, stop: bool) -> Result<Finished, ProcessError> {
        let arguments = [OsStr::new("-c"), OsStr::new(script)];
        run(&Call {
            program: OsStr::new("sh"),
            arguments: &arguments,
            folder: Path::new("/"),
            inherited: &[],
            variables: &[("GIVEN", OsStr::new("1"))],
            kept: KEPT,
            timeout,
            stop: &AtomicBool::new(stop),
        })
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_program_is_run_with_its_own_environment_to_its_end() {
        let ended = shell("env; pwd; echo no >&2; exit 3", LONG, false).expect("sh is there");
        assert_eq!(ended.status.code(), Some(3));
        let stdout = ended.stdout.text();
        assert!(
            stdout.contains("PATH=") && stdout.contains("GIVEN=1\n") && stdout.ends_with("/\n"),
            "{stdout}"
        );
        assert!(!stdout.contains("CARGO"), "our environment is not its own: {stdout}");
        assert_eq!(ended.stderr.text(), "no\n");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_all_that_it_started() {
        let started = Instant::now();
        // Neither the shell nor its children heed the polite signal.
        let script = "trap '' TERM; sleep 1000 & echo $! >&2; sleep 1000";
        let ended = shell(script, Duration::from_millis(300), false);
        let Err(ProcessError::TimedOut { stderr, .. }) = ended else { panic!("{ended:?}") };
        assert!(started.elapsed() < LONG);
        let child = stderr.text().trim().parse().ok().and_then(Pid::from_raw).expect("a number");
        // A zombie that nobody waits for may remain; it runs no more. A busy kernel takes its time.
        let runs = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            state.is_ok_and(|it| !it.contains(") Z "))
        };
        while runs() {
            assert!(started.elapsed() < LONG, "the child outlives the program");
            thread::sleep(INTERVAL);
        }
    }

    #[test]
    fn a_program_is_ended_when_we_are_to_stop() {
        let ended = shell("sleep 1000", LONG, true);
        assert!(matches!(ended, Err(ProcessError::Interrupted { .. })), "{ended:?}");
    }

    #[test]
    fn a_talkative_program_is_read_to_its_end_but_kept_in_part() {
        let script = "head -c 3000000 /dev/zero; echo end";
        let ended = shell(script, LONG, false).expect("sh is there");
        assert!(ended.status.success());
        assert!(ended.stdout.whole().is_none());
        assert_eq!(ended.stdout.text().len(), KEPT);
        assert!(ended.stdout.text().ends_with("end\n"));
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let call = Call {
            program: OsStr::new("/nowhere/tool"),
            arguments: &[],
            folder: Path::new("/"),
            inherited: &[],
            variables: &[],
            kept: KEPT,
            timeout: LONG,
            stop: &AtomicBool::new(false),
        };
        let error = run(&call).expect_err("no such program");
        assert_eq!(error.to_string(), "the program `/nowhere/tool` could not be started");
    }
}
