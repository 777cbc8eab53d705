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

use super::{Answer, LONGEST_QUESTION, Length, PATIENCE, Question};
use crate::agent::Wake;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::downtimes::{StartError, Started};
use crate::gate::{Gate, Pass};
use crate::last_word::{LastWord, Untold};
use crate::live::Live;

/// What answering needs.
pub(crate) struct Control {
    pub(crate) gate: Arc<Gate>,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Sender<Wake>,
}

/// What becomes of a question.
enum Reply {
    Now(Answer),
    /// It takes a while, and others do not wait for it.
    Later(Box<dyn FnOnce() -> Answer + Send>),
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
        let control = Arc::new(self);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever asked has gone, which is none of ours.
                let _ = stream.and_then(|it| control.serve(it));
            }
        });
        Ok(())
    }

    fn serve(self: &Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let reply = match serde_json::from_slice(&read_line(&mut stream)?) {
            Ok(question) => self.reply(&question),
            Err(error) => {
                Reply::Now(Answer::Refused(format!("the question makes no sense: {error}")))
            }
        };
        match reply {
            Reply::Now(answer) => write_line(&mut stream, &answer),
            Reply::Later(answer) => {
                thread::spawn(move || write_line(&mut stream, &answer()));
                Ok(())
            }
        }
    }

    fn reply(self: &Arc<Self>, question: &Question) -> Reply {
        Reply::Now(match question {
            Question::DowntimeStart { length, reason, now } => {
                return self.start_downtime(*length, reason, *now);
            }
            Question::Status => match self.live.status() {
                Some(status) => Answer::Status(Box::new(status)),
                None => Answer::Refused("the client has only just begun".to_owned()),
            },
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
        })
    }

    /// Starts a downtime, and answers when the fleet manager was told, if it can be told. There is no
    /// second one to be told of meanwhile: it is quiet already.
    fn start_downtime(self: &Arc<Self>, length: Length, reason: &str, now: bool) -> Reply {
        let end = length.end(self.clock.now_ms());
        let (started, last_word) = match self.started(end, reason, now) {
            Ok(it) => it,
            Err(error) => return Reply::Now(Answer::Refused(crate::chain(&error))),
        };
        let until = clock::rfc3339(started.end);
        tracing::info!(until, reason, "downtime started");
        self.wake(Wake::Look);
        let control = Arc::clone(self);
        let answer = move |told: Result<(), Untold>| {
            let told = match told {
                Ok(()) => "the fleet manager was told".to_owned(),
                Err(why) => format!("the fleet manager was not told: {}", crate::chain(&why)),
            };
            tracing::info!("{told}");
            Answer::Done(format!("downtime until {until}; {told}{}", control.under_way()))
        };
        match last_word {
            Ok(last_word) => {
                let control = Arc::clone(self);
                let say = move || answer(last_word.say(&control.gate, &*control.clock));
                Reply::Later(Box::new(say))
            }
            Err(why) => Reply::Now(answer(Err(why))),
        }
    }

    fn started(
        &self,
        end: i64,
        reason: &str,
        now: bool,
    ) -> Result<(Started, Result<LastWord, Untold>), StartError> {
        let voice = match (now, self.live.voice()) {
            (true, _) => Err(Untold::AsAsked),
            (false, None) => Err(Untold::Stranger),
            (false, Some(voice)) => Ok(voice),
        };
        match voice {
            Ok(voice) => {
                let request = "the last word before a downtime";
                let (started, permit) = self.gate.start_downtime_after(request, end, reason)?;
                let last_word = permit.map(|permit| LastWord { voice, permit });
                Ok((started, last_word.map_err(Untold::Quiet)))
            }
            Err(why) => Ok((self.gate.start_downtime(end, reason)?, Err(why))),
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

fn write_line(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
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
mod tests;
