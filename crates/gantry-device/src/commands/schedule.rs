//! `gantry-device schedule`: when the client will look for changes, and why not earlier. The times are those
//! that are expected while all goes well, without jitter.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::arguments::{Output, Schedule};
use crate::clock::{self, Clock as _, SystemClock};
use crate::config::{Config, parse_moment};
use crate::downtimes::StartedDowntimes;
use crate::schedule::{Downtime, Edge, Expected, Hours, Opening, Purpose, Span, When, forecast};
use crate::state_dir::StateDir;

pub(crate) fn show(config: &Config, asked: &Schedule) -> Result<()> {
    let hours = &with_started(config)?;
    let (text, json) = match &asked.at {
        Some(text) => {
            let at = parse_moment(text, Edge::Start, &hours.zone).map_err(anyhow::Error::msg);
            explain(at.context("reading --at")?, hours)
        }
        None => {
            let now = clock::now_ms();
            let contacts = forecast::contacts(now, config.polling, hours.clone());
            let contacts: Vec<Expected> = contacts.take(asked.next.into()).collect();
            (as_text(&contacts, hours), as_json(&contacts, hours))
        }
    };
    match asked.output {
        Output::Text => crate::print(&text),
        Output::Json => crate::print(&serde_json::to_string_pretty(&json)?),
    }
}

/// The configured hours, with the downtimes that were started at the device.
fn with_started(config: &Config) -> Result<Hours> {
    let mut hours = config.hours.clone();
    let started = StartedDowntimes::load(&StateDir::look(&config.state_dir))?;
    let started = started.in_force(clock::now_ms(), SystemClock.monotonic_ms());
    hours.downtimes.extend(started.map(|it| Downtime {
        reason: it.reason.clone(),
        when: When::Once(Span { start: it.start, end: it.end }),
    }));
    Ok(hours)
}

fn as_text(contacts: &[Expected], hours: &Hours) -> String {
    let lines = contacts.iter().map(|it| match it.at {
        Opening::At(at) => format!("{}  {}", hours.local(at), it.because),
        Opening::NotBefore(at) => format!("none before {}  {}", hours.local(at), it.because),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn as_json(contacts: &[Expected], hours: &Hours) -> Value {
    let contacts = contacts.iter().map(|it| {
        let key = match it.at {
            Opening::At(_) => "at",
            Opening::NotBefore(_) => "notBefore",
        };
        json!({
            key: clock::rfc3339(it.at.at()),
            "because": it.because.code(),
            "detail": it.because.to_string(),
        })
    });
    json!({"timeZone": hours.zone.iana_name(), "contacts": contacts.collect::<Vec<_>>()})
}

/// What the client may do at an instant, and when it may look for changes.
fn explain(at: i64, hours: &Hours) -> (String, Value) {
    let closed = |purpose| hours.closed_at(at, purpose).map(|(closed, _)| closed);
    let (look, talk) = (closed(Purpose::Look), closed(Purpose::Talk));
    let opening = hours.opening(at, Purpose::Look).0;
    let next = match opening {
        Opening::At(at) => hours.local(at),
        Opening::NotBefore(at) => format!("not before {}", hours.local(at)),
    };
    let yes_or_no = |closed: &Option<_>| if closed.is_some() { "no" } else { "yes" };
    let mut text = format!(
        "time:                  {}\nlooks for changes:     {}\nreports:               {}",
        hours.local(at),
        yes_or_no(&look),
        yes_or_no(&talk),
    );
    if let Some(closed) = &look {
        text = format!("{text}\nwhy not:               {closed}\nlooks from then on:    {next}");
    }
    let json = json!({
        "at": clock::rfc3339(at),
        "timeZone": hours.zone.iana_name(),
        "mayLook": look.is_none(),
        "mayTalk": talk.is_none(),
        "because": look.as_ref().map(crate::schedule::Closed::code),
        "detail": look.as_ref().map(ToString::to_string),
        "opening": clock::rfc3339(opening.at()),
        "openingIsKnown": matches!(opening, Opening::At(_)),
    });
    (text, json)
}
