//! The client, and its deaths. It runs under `strace`, which ends it with SIGKILL as it enters a system call:
//! one that changes the disk, starts a program or waits for one. Each kind of call has the number of the one
//! that is deadly; when one was, the next client gets past it. So the client dies at its first step, then
//! at its second, and so on, whichever kind comes next.
//!
//! `strace` follows neither other threads nor children: the client changes its state in one thread, and what
//! it started (Compose) is left to run on, as when a single process dies. After some deaths the whole
//! session is killed too, as when the machine loses its power.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process};
use testkit::device::TestDevice;
use testkit::wait;

/// The kinds of calls, and how many of a kind are passed over for each kill. Waiting comes in short naps of
/// which one is like the next.
const CALLS: [(&str, u64); 17] = [
    ("write", 1),
    ("pwrite64", 1),
    ("ftruncate", 1),
    ("fsync", 1),
    ("fdatasync", 1),
    ("rename", 1),
    ("renameat", 1),
    ("renameat2", 1),
    ("unlink", 1),
    ("unlinkat", 1),
    ("rmdir", 1),
    ("mkdir", 1),
    ("mkdirat", 1),
    ("vfork", 1),
    ("clone", 1),
    ("clone3", 1),
    ("clock_nanosleep", 10),
];
/// After each so manieth death all that the client had started dies with it.
const ALL_DIE: u64 = 3;
const SIGKILL: i32 = 9;

/// How often the client is to die.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deaths {
    /// In all lives together.
    pub(crate) wanted: u64,
    /// How many steps lie between one death and the next.
    pub(crate) stride: u64,
    /// The number of the life.
    pub(crate) life: u64,
}

/// Which call of each kind is deadly.
#[derive(Debug)]
pub(crate) struct Deadly {
    stride: u64,
    calls: BTreeMap<&'static str, u64>,
}

/// The client for one device, running or not.
pub(crate) struct Victim<'a> {
    device: &'a TestDevice,
    running: Option<Child>,
    /// What the clients have started may outlive them.
    sessions: BTreeSet<i32>,
}

impl Deadly {
    /// The calls of the first death in a step of a life. Lives begin at different ones.
    pub(crate) fn first(deaths: Deaths, step: usize) -> Self {
        let begin = deaths.life - 1 + 5 * step as u64;
        let first = |(place, (call, weight)): (usize, &(&'static str, u64))| {
            (*call, 1 + (begin + 3 * place as u64) % deaths.stride * weight)
        };
        Self { stride: deaths.stride, calls: CALLS.iter().enumerate().map(first).collect() }
    }

    /// The next client gets past the call that was deadly.
    fn move_on(&mut self, call: &str) {
        let known = CALLS.iter().find(|(it, _)| *it == call);
        let (call, weight) = known.unwrap_or_else(|| panic!("{call} was not to be deadly"));
        *self.calls.entry(call).or_default() += self.stride * weight;
    }

    fn arguments(&self) -> Vec<String> {
        let calls: Vec<String> = self.calls.keys().map(|call| format!("?{call}")).collect();
        let trace = ["-e".to_owned(), format!("trace={}", calls.join(","))];
        let inject = self.calls.iter().flat_map(|(call, when)| {
            ["-e".to_owned(), format!("inject=?{call}:signal=KILL:when={when}")]
        });
        trace.into_iter().chain(inject).collect()
    }
}

impl<'a> Victim<'a> {
    pub(crate) fn of(device: &'a TestDevice) -> Self {
        Self { device, running: None, sessions: BTreeSet::new() }
    }

    /// Starts the client, to die at a deadly call if there is one.
    pub(crate) fn start(&mut self, deadly: Option<&Deadly>) {
        let client = self.device.command(&["run"]);
        // A session of its own, to find all that it started.
        let mut command = Command::new("setsid");
        command.arg("strace").arg("-o").arg(self.trace()).args(["-e", "signal=none"]);
        match deadly {
            Some(deadly) => command.args(deadly.arguments()),
            None => command.args(["-e", "trace=none"]),
        };
        command.arg("--").arg(client.get_program()).args(client.get_args());
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.expect("the log can be written"));
        let child = command.spawn().expect("setsid is there");
        // Numbers are used again: those of sessions that are over are forgotten.
        let living: BTreeSet<i32> = processes().map(|it| it.session).collect();
        self.sessions.retain(|it| living.contains(it));
        self.sessions.extend(i32::try_from(child.id()));
        self.running = Some(child);
    }

    /// Whether the client runs; `deadly` moves on when it was killed there.
    pub(crate) fn is_alive(&mut self, deadly: Option<&mut Deadly>) -> bool {
        let Some(child) = &mut self.running else { return false };
        let Some(status) = child.try_wait().expect("a child can be waited for") else {
            return true;
        };
        self.running = None;
        let Some(deadly) = deadly.filter(|_| status.signal() == Some(SIGKILL)) else {
            panic!("the client ended by itself ({status}):\n{}", self.log());
        };
        deadly.move_on(&last_call(&self.trace()));
        false
    }

    /// What happens besides, at the so manieth death.
    pub(crate) fn die_with_all(&self, death: u64) {
        if death.is_multiple_of(ALL_DIE) {
            self.kill_sessions();
        }
    }

    /// Ends the client, and all that any client has started.
    pub(crate) fn end(&mut self) {
        self.kill_sessions();
        if let Some(mut child) = self.running.take() {
            let _ = child.wait();
        }
    }

    fn kill_sessions(&self) {
        let ours = || processes().filter(|it| self.sessions.contains(&it.session));
        let living = || ours().filter(|it| !it.is_dead).filter_map(|it| Pid::from_raw(it.id));
        // Until none is left: one that is killed may have started another one.
        wait::until("all processes to die", || {
            let mut are_gone = true;
            for process in living() {
                are_gone = false;
                let _ = kill_process(process, Signal::KILL);
            }
            are_gone.then_some(())
        });
    }

    /// The last that the clients have printed.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.device.folder().join("device.log")
    }

    fn trace(&self) -> PathBuf {
        self.device.folder().join("trace")
    }
}

impl Drop for Victim<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The call at which a trace ends: `rename("a", "b") = ?`.
fn last_call(trace: &Path) -> String {
    let text = fs::read_to_string(trace).expect("strace has written it");
    let mut calls = text.lines().filter(|it| !it.starts_with("+++"));
    let last = calls.next_back().and_then(|it| it.split_once('(')).map(|(call, _)| call.to_owned());
    last.unwrap_or_else(|| panic!("strace saw no call: {text}"))
}

struct Process {
    id: i32,
    session: i32,
    /// Dead and not yet waited for.
    is_dead: bool,
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").expect("Linux lists its processes");
    entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name stands in parentheses and may hold anything; state, parent, group, session follow.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let is_dead = words.next()? == "Z";
        Some(Process { id, session: words.nth(2)?.parse().ok()?, is_dead })
    })
}
