//! `gantry-device downtime`: starts, stops and lists downtimes, of the running client or, when none runs,
//! of the one that will be started.

use anyhow::{Error, Result, bail};
use serde_json::{Value, json};

use crate::arguments::{Downtime, Output};
use crate::clock::{self, Clock as _, SystemClock};
use crate::config::{Config, parse_duration, parse_moment};
use crate::control::{self, Answer, AskError, Length, Question};
use crate::downtimes::{Started, StartedDowntimes};
use crate::schedule::{self, Edge, When};
use crate::state_dir::StateDir;

pub(crate) fn perform(config: &Config, command: &Downtime) -> Result<()> {
    let question = match command {
        Downtime::Start { lasting, until, reason, now } => Question::DowntimeStart {
            length: length(config, lasting.as_deref(), until.as_deref())?,
            reason: reason.clone(),
            now: *now,
        },
        Downtime::Stop => Question::DowntimeStop,
        Downtime::List { output } => {
            return show(config, &started(config)?, *output);
        }
    };
    match control::ask(&config.control_socket(), &question) {
        Ok(Answer::Done(text)) => crate::print(&text),
        Ok(Answer::Refused(why)) => bail!("refused: {why}"),
        Ok(Answer::Status(_) | Answer::Downtimes(_)) => {
            bail!("the running client answers another question")
        }
        Err(AskError::NotRunning) => write_down(config, &question),
        Err(error) => Err(error.into()),
    }
}

fn length(config: &Config, lasting: Option<&str>, until: Option<&str>) -> Result<Length> {
    match (lasting, until) {
        (Some(text), _) => {
            let length =
                parse_duration(text).map_err(|it| Error::msg(it).context("reading --for"))?;
            Ok(Length::ForSeconds(length.as_secs()))
        }
        (None, Some(text)) => {
            let end = parse_moment(text, Edge::End, &config.hours.zone)
                .map_err(|it| Error::msg(it).context("reading --until"))?;
            Ok(Length::UntilMs(end))
        }
        (None, None) => bail!("--for or --until is missing"),
    }
}

/// Without a running client it takes effect when one is started.
fn write_down(config: &Config, question: &Question) -> Result<()> {
    let state = StateDir::open(&config.state_dir)?;
    let mut downtimes = StartedDowntimes::load(&state)?;
    let (now, monotonic) = (SystemClock.now_ms(), SystemClock.monotonic_ms());
    let done = match question {
        Question::DowntimeStart { length, reason, .. } => {
            let started = downtimes.start(length.end(now), reason, now, monotonic, &state)?;
            format!("downtime until {}", clock::rfc3339(started.end))
        }
        _ => format!("{} stopped", downtimes.stop(now, monotonic, &state)?),
    };
    crate::print(&format!("{done}; the client does not run"))
}

fn started(config: &Config) -> Result<Vec<Started>> {
    match control::ask(&config.control_socket(), &Question::DowntimeList) {
        Ok(Answer::Downtimes(started)) => Ok(started),
        Ok(_) => bail!("the running client answers another question"),
        Err(AskError::NotRunning) => {
            let downtimes = StartedDowntimes::load(&StateDir::look(&config.state_dir))?;
            Ok(downtimes.in_force(clock::now_ms(), SystemClock.monotonic_ms()).cloned().collect())
        }
        Err(error) => Err(error.into()),
    }
}

fn show(config: &Config, started: &[Started], output: Output) -> Result<()> {
    let now = clock::now_ms();
    let mut rows: Vec<Row> = started.iter().map(|it| Row::started(it, &config.hours)).collect();
    rows.extend(config.hours.downtimes.iter().map(|it| Row::configured(it, &config.hours, now)));
    match output {
        Output::Text if rows.is_empty() => crate::print("no downtime is configured or started"),
        Output::Text => {
            let lines: Vec<_> = rows.iter().map(Row::to_text).collect();
            crate::print(&lines.join("\n"))
        }
        Output::Json => {
            let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
            crate::print(&serde_json::to_string_pretty(&json!({ "downtimes": rows }))?)
        }
    }
}

/// A downtime, as it is listed.
struct Row {
    kind: &'static str,
    in_force: bool,
    /// Milliseconds since 1970 and as a clock on the owner's wall shows it, of the stretch that is in force
    /// or comes next.
    from: Option<(i64, String)>,
    to: Option<(i64, String)>,
    reason: String,
}

impl Row {
    fn started(started: &Started, hours: &schedule::Hours) -> Self {
        let local = |at| Some((at, hours.local(at)));
        let (from, to) = (local(started.start), local(started.end));
        Self { kind: "started", in_force: true, from, to, reason: started.reason.clone() }
    }

    fn configured(downtime: &schedule::Downtime, hours: &schedule::Hours, now_ms: i64) -> Self {
        let in_force = downtime.in_force(now_ms);
        let span = in_force.or_else(|| downtime.next_after(now_ms));
        let kind = match downtime.when {
            When::Once(_) => "once",
            When::Recurring(..) => "recurring",
        };
        Self {
            kind,
            in_force: in_force.is_some(),
            from: span.map(|it| (it.start, hours.local(it.start))),
            to: span.map(|it| (it.end, hours.local(it.end))),
            reason: downtime.reason.clone(),
        }
    }

    fn to_text(&self) -> String {
        let standing = if self.in_force { "in force" } else { "not now " };
        let when = match (&self.from, &self.to) {
            (Some((_, from)), Some((_, to))) => format!("{from} to {to}"),
            _ => "over, or not in sight".to_owned(),
        };
        format!("{standing}  {:9}  {when}  {}", self.kind, self.reason)
    }

    fn to_json(&self) -> Value {
        let rfc3339 = |it: &Option<(i64, String)>| it.as_ref().map(|(at, _)| clock::rfc3339(*at));
        json!({
            "kind": self.kind,
            "inForce": self.in_force,
            "start": rfc3339(&self.from),
            "end": rfc3339(&self.to),
            "reason": self.reason,
        })
    }
}
