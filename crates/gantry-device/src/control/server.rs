//! Answers the owner on a thread of its own. It never waits for the agent: downtimes and permissions take
//! effect at the gate at once, the rest is sent to the agent, which sees to it when it is done with what it
//! does now.

use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use rustix::fs::Mode;
use rustix::process::umask;

use super::{Answer, LONGEST_QUESTION, PATIENCE, Question};
use crate::agent::Wake;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::gate::{Gate, Pass};
use crate::live::Live;

/// What answering needs.
pub(crate) struct Control {
    pub(crate) gate: Arc<Gate>,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Sender<Wake>,
}

/// Why nobody can speak to the running client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("{} is in the way of the control socket", .0.display())]
    InTheWay(PathBuf),
    #[error("there is no group `{0}`; see [control] group")]
    NoGroup(String),
    #[error("cannot listen on the control socket {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl Control {
    /// Listens, and answers on a thread of its own until the program ends. To be called before another
    /// thread makes files: it changes the mode that new files get, for a moment.
    pub(crate) fn listen(self, config: &Config) -> Result<(), ControlError> {
        let path = config.control_socket();
        let listener = bind(&path, config.control.group.as_deref())?;
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever asked has gone, which is none of ours.
                let _ = stream.and_then(|it| self.serve(it));
            }
        });
        Ok(())
    }

    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let answer = match serde_json::from_slice(&read_line(&mut stream)?) {
            Ok(question) => self.answer(&question),
            Err(error) => Answer::Refused(format!("the question makes no sense: {error}")),
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        stream.write_all(&line)
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Status => match self.live.get() {
                Some(status) => Answer::Status(Box::new(status)),
                None => Answer::Refused("the client has only just begun".to_owned()),
            },
            Question::DowntimeStart { length, reason } => {
                match self.gate.start_downtime(length.end(self.clock.now_ms()), reason) {
                    Ok(started) => {
                        tracing::info!(
                            until = clock::rfc3339(started.end),
                            reason,
                            "downtime started"
                        );
                        self.wake(Wake::Look);
                        let until = clock::rfc3339(started.end);
                        Answer::Done(format!("downtime until {until}{}", self.under_way()))
                    }
                    Err(error) => Answer::Refused(crate::chain(&error)),
                }
            }
            Question::DowntimeStop => match self.gate.stop_downtimes() {
                Ok(stopped) => {
                    tracing::info!(stopped, "downtime stopped");
                    self.wake(Wake::Look);
                    Answer::Done(match stopped {
                        0 => "no started downtime is in force".to_owned(),
                        1 => "the downtime is stopped".to_owned(),
                        many => format!("{many} downtimes are stopped"),
                    })
                }
                Err(error) => Answer::Refused(crate::chain(&error)),
            },
            Question::DowntimeList => Answer::Downtimes(self.gate.started_downtimes()),
            Question::PollNow { force } => {
                let pass = if *force { Pass::All } else { Pass::PollingPeriod };
                match self.gate.grant(pass) {
                    Ok(()) => {
                        self.wake(Wake::Poll);
                        Answer::Done("the client looks for changes now".to_owned())
                    }
                    Err(shut) => {
                        Answer::Refused(format!("{}; --force does it all the same", shut.why))
                    }
                }
            }
            Question::Reload => {
                self.wake(Wake::Reload);
                Answer::Done(
                    "the client reads its configuration; its log says what came of it".into(),
                )
            }
        }
    }

    fn under_way(&self) -> &'static str {
        match self.gate.is_busy() {
            true => {
                "; a request is under way and may take up to a minute to end, no other one follows it"
            }
            false => "",
        }
    }

    fn wake(&self, wake: Wake) {
        // The agent may have ended already.
        let _ = self.wake.send(wake);
    }
}

/// A line, without its end; at most so long and so slow.
fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let (asked, mut line) = (Instant::now(), Vec::new());
    let mut buffer = [0; 1024];
    loop {
        let left = PATIENCE.saturating_sub(asked.elapsed());
        if left.is_zero() || line.len() as u64 > LONGEST_QUESTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut buffer)?;
        line.extend_from_slice(&buffer[..count]);
        if let Some(end) = line.iter().position(|it| *it == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if count == 0 {
            return Ok(line);
        }
    }
}

/// The socket is private from its first moment on, and opened to the group only then.
fn bind(path: &Path, group: Option<&str>) -> Result<UnixListener, ControlError> {
    let failed = |cause| ControlError::Io { path: path.to_owned(), cause };
    let group = group.map(|it| group_id(it).ok_or_else(|| ControlError::NoGroup(it.to_owned())));
    let group = group.transpose()?;
    match fs::symlink_metadata(path) {
        // Left by a client that was killed: this one holds the state directory.
        Ok(it) if it.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(ControlError::InTheWay(path.to_owned())),
        Err(_) => {}
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let former = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(former);
    let listener = listener.map_err(failed)?;
    if let Some(group) = group {
        chown(path, None, Some(group)).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed)?;
    }
    Ok(listener)
}

/// The number of a group, from its name or its number.
fn group_id(group: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    named.or_else(|| group.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::control::{AskError, Length, ask};
    use crate::schedule::{Hours, Purpose};
    use crate::state_dir::StateDir;

    struct Bench {
        folder: tempfile::TempDir,
        config: Config,
        gate: Arc<Gate>,
        woken: mpsc::Receiver<Wake>,
    }

    fn bench(more: &str) -> Bench {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let example = include_str!("../../gantry-device.example.toml");
        let state_dir = folder.path().join("state").display().to_string();
        let text = example.replace("/var/lib/gantry-device", &state_dir);
        let config = Config::parse(&format!("{text}\n{more}")).expect("valid");
        let state = Arc::new(StateDir::open(&config.state_dir).expect("nobody else has it"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hours = Hours { ..config.hours.clone() };
        let gate = Arc::new(Gate::new(Arc::clone(&clock), hours, state).expect("readable"));
        let (wake, woken) = mpsc::channel();
        let live = Arc::default();
        let control = Control { gate: Arc::clone(&gate), live, clock, wake };
        control.listen(&config).expect("it can listen");
        Bench { folder, config, gate, woken }
    }

    impl Bench {
        fn ask(&self, question: &Question) -> Answer {
            ask(&self.config.control_socket(), question).expect("an answer")
        }
    }

    #[test]
    fn a_downtime_is_in_force_as_soon_as_it_is_answered_and_a_contact_has_to_be_forced_in_it() {
        let bench = bench("");
        let start = Question::DowntimeStart {
            length: Length::ForSeconds(3600),
            reason: "press moved".to_owned(),
        };
        let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
        assert!(text.starts_with("downtime until "), "{text}");
        assert!(bench.gate.permit("GET /").is_err());
        assert_eq!(bench.woken.recv().expect("told"), Wake::Look);
        let Answer::Downtimes(listed) = bench.ask(&Question::DowntimeList) else {
            panic!("a list")
        };
        assert_eq!(listed[0].reason, "press moved");

        let Answer::Refused(why) = bench.ask(&Question::PollNow { force: false }) else {
            panic!("it is refused")
        };
        assert!(why.contains("downtime: press moved") && why.contains("--force"), "{why}");
        assert!(matches!(bench.ask(&Question::PollNow { force: true }), Answer::Done(_)));
        assert_eq!(bench.woken.recv().expect("told"), Wake::Poll);
        assert!(bench.gate.permit("GET /").is_ok());
        bench.gate.contact_is_over();
        assert!(bench.gate.permit("GET /").is_err());

        assert!(matches!(bench.ask(&Question::DowntimeStop), Answer::Done(_)));
        assert!(bench.gate.permit("GET /").is_ok());
    }

    #[test]
    fn the_answer_says_whether_a_request_is_still_under_way() {
        let bench = bench("");
        let permit = bench.gate.permit("GET /").expect("it is a time to talk");
        let length = Length::ForSeconds(60);
        let start = Question::DowntimeStart { length, reason: String::new() };
        let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
        assert!(text.contains("a request is under way"), "{text}");
        drop(permit);
        let Answer::Done(text) = bench.ask(&start) else { panic!("it is started") };
        assert!(!text.contains("under way"), "{text}");
    }

    #[test]
    fn outside_the_polling_period_the_owner_may_ask_for_a_contact() {
        let bench = bench("[[polling.period]]\ndates = [\"2001-01-01\"]\n");
        assert!(bench.gate.shut(Purpose::Look).is_some());
        assert!(matches!(bench.ask(&Question::PollNow { force: false }), Answer::Done(_)));
        assert!(bench.gate.shut(Purpose::Look).is_none());
    }

    #[test]
    fn the_socket_is_private_and_what_makes_no_sense_is_answered_in_words() {
        let bench = bench("");
        let socket = bench.config.control_socket();
        let mode = fs::metadata(&socket).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.write_all(b"dance\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.contains("makes no sense"), "{answer}");
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        let _ = stream.write_all(&vec![b' '; 64 << 10]);
        assert!(matches!(bench.ask(&Question::DowntimeList), Answer::Downtimes(_)), "it goes on");

        let nowhere = bench.folder.path().join("nowhere.sock");
        let asked = ask(&nowhere, &Question::Status);
        assert!(matches!(asked, Err(AskError::NotRunning)));
    }

    #[test]
    fn a_group_gets_the_socket_and_what_is_in_its_way_is_named() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let path = folder.path().join("run/control.sock");
        // The one group that every user of a machine may give files to is its own.
        let own = rustix::process::getgid().as_raw().to_string();
        for _ in 0..2 {
            let _listener =
                bind(&path, Some(&own)).expect("also over the socket of a killed client");
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o660);
        }
        assert!(matches!(bind(&path, Some("no such group")), Err(ControlError::NoGroup(_))));
        let file = folder.path().join("file");
        fs::write(&file, "").expect("writable");
        assert!(matches!(bind(&file, None), Err(ControlError::InTheWay(_))));
        assert!(file.is_file());
    }

    #[test]
    fn groups_are_known_by_name_and_number() {
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("4711"), Some(4711));
        assert_eq!(group_id("no such group"), None);
    }
}
