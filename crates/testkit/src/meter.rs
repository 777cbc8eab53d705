//! CPU time of whole servers. Each server runs in a control group of its own, so that every
//! process that it ever started counts to the nanosecond, also those that lived for a moment: the times
//! of processes that nobody waits for are in no `/proc/PID/stat`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use crate::wait;
use rustix::process::{Pid, Signal, kill_process};

/// Counts the CPU time of a control group.
pub struct Meter {
    folder: PathBuf,
}

/// Where control groups are made that count CPU time, by a file that is there: version 2, or version 1.
const ROOTS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "cgroup.controllers"), ("/sys/fs/cgroup/cpuacct", "cpuacct.usage")];

impl Meter {
    /// Makes an empty group.
    pub fn new(name: &str) -> Self {
        let name = format!("gantry-bench-{}-{name}", process::id());
        let roots = ROOTS.map(|(root, file)| (Path::new(root), file));
        let mut roots = roots.iter().filter(|(root, file)| root.join(file).is_file());
        let folder = roots.next().map(|(root, _)| root.join(name));
        let folder = folder.filter(|it| fs::create_dir(it).is_ok());
        let folder = folder.expect(
            "the CPU time of a server is counted by a control group, and none can be made below \
             /sys/fs/cgroup; run as root on a machine where that can be written",
        );
        Self { folder }
    }

    /// Counts a running process and all that it starts from now on.
    pub fn adopt(&self, process: u32) {
        fs::write(self.members(), process.to_string()).expect("a process can change its group");
    }

    /// A program that is counted from its start.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.members()).arg(program);
        command
    }

    /// How many microseconds of CPU time the group takes while something is done.
    pub fn cpu_of(&self, work: impl FnOnce()) -> f64 {
        let before = self.nanoseconds();
        work();
        (self.nanoseconds() - before) as f64 / 1_000.0
    }

    fn nanoseconds(&self) -> u64 {
        let number = |text: &str| text.trim().parse::<u64>().expect("the kernel counts in digits");
        match fs::read_to_string(self.folder.join("cpuacct.usage")) {
            Ok(text) => number(&text),
            Err(_) => {
                let text = fs::read_to_string(self.folder.join("cpu.stat"));
                let text = text.expect("a control group counts CPU time");
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                number(usage.expect("cpu.stat has usage_usec")) * 1_000
            }
        }
    }

    fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Meter {
    /// Ends what runs in the group: a server that is killed leaves its workers behind.
    fn drop(&mut self) {
        let deadline = Instant::now() + wait::PATIENCE;
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < deadline {
            let members = fs::read_to_string(self.members()).unwrap_or_default();
            for process in members.lines().filter_map(|it| it.parse().ok()) {
                if let Some(process) = Pid::from_raw(process) {
                    let _ = kill_process(process, Signal::KILL);
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The CPU time of all threads that a process has now, to the nanosecond, without its children.
pub fn cpu_time(process: u32) -> Duration {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).expect("a running process has threads");
    let nanoseconds = threads.map(|thread| {
        let path = thread.expect("the folder can be read").path().join("schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default()
    });
    let sum = nanoseconds.sum();
    assert_ne!(sum, 0, "the kernel does not count CPU time in {folder}/*/schedstat");
    Duration::from_nanos(sum)
}
