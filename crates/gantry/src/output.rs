//! All that `gantry` prints and asks. Results go to standard output, in the form that was asked for; what is for
//! people only goes to standard error.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::api::ApiError;
use crate::arguments::Format;
use crate::changes;
use crate::table::{clean, clean_lines};
use crate::wait::Step;

/// The longest answer of a person, in bytes.
const LONGEST_ANSWER: u64 = 1024;

/// Prints a result: `resource` for programs, or what `table` makes of it for people.
pub(crate) fn result<T: Serialize>(
    format: Format,
    resource: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<()> {
    let text = match format {
        Format::Table => table(resource),
        Format::Json => json(resource)? + "\n",
        Format::Yaml => serde_saphyr::to_string(resource).context("writing YAML")?,
    };
    print(&text)
}

/// JSON whose strings are harmless for a terminal: it escapes control characters, but not DEL and the
/// ones above it. Outside of strings there are none of these.
fn json<T: Serialize>(resource: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(resource).context("writing JSON")?;
    let harmless = text.chars().map(|it| match it {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(it)),
        other => other.to_string(),
    });
    Ok(harmless.collect())
}

/// Prints a sentence for people; programs that asked for a resource get none.
pub(crate) fn sentence(format: Format, text: &str) -> Result<()> {
    match format {
        Format::Table => print(&(clean(text) + "\n")),
        Format::Json | Format::Yaml => note(text),
    }
}

/// As [`sentence`], for several lines.
pub(crate) fn paragraphs(format: Format, text: &str) -> Result<()> {
    let text = clean_lines(text);
    match format {
        Format::Table => print(&text),
        Format::Json | Format::Yaml => Ok(io::stderr().write_all(text.as_bytes())?),
    }
}

/// Asks a person at a terminal a question that yes answers. Nothing where there is none to ask.
pub(crate) fn ask(question: &str) -> Result<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    write!(io::stderr(), "{} [y/N] ", clean(question))?;
    let mut answer = String::new();
    io::stdin().lock().take(LONGEST_ANSWER).read_line(&mut answer)?;
    Ok(Some(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())))
}

fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

fn note(text: &str) -> Result<()> {
    Ok(writeln!(io::stderr(), "{}", clean(text))?)
}

/// Whether the error is that nobody reads our output any more.
pub(crate) fn was_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error: the sentence and its causes, each field that was refused, and what to do next.
pub(crate) fn error(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell; the exit code remains.
    let _ = io::stderr().write_all(error_text(error).as_bytes());
}

fn error_text(error: &anyhow::Error) -> String {
    let mut text = clean_lines(&format!("gantry: {error:#}"));
    let Some(api) = error.chain().find_map(|it| it.downcast_ref::<ApiError>()) else {
        return text;
    };
    if let ApiError::Refused(refusal) = api {
        // A single fault is often the sentence itself.
        for fault in refusal.errors.iter().filter(|it| it.message != refusal.detail) {
            text.push_str(&clean(&format!("  {}: {}", fault.field, fault.message)));
            text.push('\n');
        }
        text.extend(refusal.meanwhile.iter().map(changes::meanwhile));
    }
    if let Some(hint) = api.hint() {
        text.push_str(hint);
        text.push('\n');
    }
    text
}

/// Tells the steps of an order: on a terminal one line for each subject, redrawn; else a line each.
pub(crate) struct Progress {
    format: Format,
    live: bool,
    /// Steps are told.
    tells_steps: bool,
    /// The lines on the screen, by subject.
    drawn: Vec<(String, String)>,
}

impl Progress {
    pub(crate) fn new(format: Format) -> Self {
        let live = match format {
            Format::Table => io::stdout().is_terminal(),
            Format::Json | Format::Yaml => io::stderr().is_terminal(),
        };
        Self { format, live, tells_steps: true, drawn: Vec::new() }
    }

    /// Of many orders: what is noted beside their steps is told, and no step.
    pub(crate) fn without_steps(format: Format) -> Self {
        Self { tells_steps: false, ..Self::new(format) }
    }

    pub(crate) fn show(&mut self, step: &Step, zone: &TimeZone) -> Result<()> {
        if !self.tells_steps {
            return Ok(());
        }
        let line = step_line(step, zone);
        if !self.live {
            return sentence(self.format, &line);
        }
        let text = self.redraw(&step.subject, line);
        match self.format {
            Format::Table => print(&text),
            Format::Json | Format::Yaml => Ok(io::stderr().write_all(text.as_bytes())?),
        }
    }

    /// Says something beside the steps, once and below them.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.drawn.clear();
        note(text)
    }

    fn redraw(&mut self, subject: &str, line: String) -> String {
        let up = self.drawn.len();
        match self.drawn.iter_mut().find(|(drawn, _)| drawn == subject) {
            Some((_, drawn)) => *drawn = line,
            None => self.drawn.push((subject.to_owned(), line)),
        }
        // A line that the terminal wraps would be two lines to move up: let it cut long ones instead.
        let mut text = "\u{1b}[?7l".to_owned();
        if up > 0 {
            text.push_str(&format!("\u{1b}[{up}A"));
        }
        for (_, line) in &self.drawn {
            text.push_str(&format!("\u{1b}[2K{line}\n"));
        }
        text + "\u{1b}[?7h"
    }
}

fn step_line(step: &Step, zone: &TimeZone) -> String {
    let time = step.at.parse::<Timestamp>().map_or_else(
        |_| step.at.clone(),
        |at| at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string(),
    );
    clean(&format!("{time} {}: {}", step.subject, step.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_step(subject: &str, what: &str) -> Step {
        let at = "2026-01-02T12:00:01Z".to_owned();
        Step { at, subject: subject.to_owned(), what: what.to_owned() }
    }

    #[test]
    fn a_step_is_a_line_with_the_time_of_day() {
        let line = step_line(&a_step("hello", "installing"), &TimeZone::UTC);
        assert_eq!(line, "12:00:01 hello: installing");
    }

    #[test]
    fn redrawing_replaces_the_line_of_a_subject() {
        let mut progress =
            Progress { format: Format::Table, live: true, tells_steps: true, drawn: Vec::new() };
        progress.redraw("web", "web: pending".to_owned());
        progress.redraw("db", "db: pending".to_owned());
        let text = progress.redraw("web", "web: installed".to_owned());
        let drawn = "\u{1b}[2A\u{1b}[2Kweb: installed\n\u{1b}[2Kdb: pending\n";
        assert_eq!(text, format!("\u{1b}[?7l{drawn}\u{1b}[?7h"));
    }

    #[test]
    fn a_refusal_is_shown_with_every_field_and_what_to_do() {
        let refusal = serde_json::from_str(
            r#"{"detail": "two values are wrong", "errors": [{"field": "port", "message": "too big"}]}"#,
        )
        .expect("a problem document");
        let text = error_text(&ApiError::Refused(refusal).into());
        assert_eq!(text, "gantry: two values are wrong\n  port: too big\n");
    }

    #[test]
    fn a_fault_that_is_the_sentence_is_told_once() {
        let refusal = serde_json::from_str(
            r#"{"detail": "no such device", "errors": [{"field": "deviceId", "message": "no such device"}]}"#,
        )
        .expect("a problem document");
        assert_eq!(error_text(&ApiError::Refused(refusal).into()), "gantry: no such device\n");
    }

    #[test]
    fn json_cannot_command_the_terminal_and_keeps_its_meaning() {
        let text = json(&["\u{1b}[2J\u{9b}2J\u{7f}ü"]).expect("JSON");
        assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
        let back: Vec<String> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(back, ["\u{1b}[2J\u{9b}2J\u{7f}ü"]);
    }

    #[test]
    fn a_closed_output_is_told_from_other_errors() {
        assert!(was_closed(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!was_closed(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
