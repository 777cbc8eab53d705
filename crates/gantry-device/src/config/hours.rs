//! The owner's hours in the configuration: `[[polling.period]]` and `[[downtime]]`.

use std::ops::RangeInclusive;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::section::Section;
use super::value::{self, Read};
use crate::schedule::{self, Downtime, Edge, Span, When, Window};

/// More windows of a kind than these are not taken.
pub(super) const MOST_WINDOWS: usize = 64;
/// More days or dates than these are not taken in one window.
const MOST_DAYS: usize = 366;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A window of a section, whose other fields are for the caller.
// margo(PO-3, PO-5)
pub(super) fn window(section: &mut Section<'_>) -> Window {
    let days = section.optional("days", "[\"mon-fri\", \"sun\"]", days);
    let dates = section.optional("dates", "[\"2026-12-24\", \"2026-12-27..2026-12-31\"]", dates);
    let from = section.optional("from", "\"22:00\"", |it| minutes(it, 24 * 60 - 1));
    let to = section.optional("to", "\"05:00\"", |it| minutes(it, 24 * 60));
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(24 * 60));
    if from == to {
        let example = Some("to = \"24:00\"".to_owned());
        let problem = "it ends when it begins; a whole day is from 00:00 to 24:00";
        section.wrong("to", problem.to_owned(), example);
    }
    Window { days: days.unwrap_or_default(), dates: dates.unwrap_or_default(), from, to }
}

/// A downtime of a section, in its own time zone or in that of the client.
// margo(PO-2, PO-5)
pub(super) fn downtime(mut section: Section<'_>, zone: &TimeZone) -> Option<Downtime> {
    let reason = section.optional("reason", "\"production\"", value::name);
    let own_zone = section.optional("time_zone", "\"Europe/Berlin\"", value::time_zone);
    let zone = own_zone.unwrap_or_else(|| zone.clone());
    let when = if section.has("start") || section.has("end") {
        once(&mut section, &zone).map(When::Once)
    } else {
        Some(When::Recurring(window(&mut section), zone))
    };
    section.end();
    Some(Downtime { reason: reason.unwrap_or_else(|| "no reason given".to_owned()), when: when? })
}

fn once(section: &mut Section<'_>, zone: &TimeZone) -> Option<Span> {
    for key in ["days", "dates", "from", "to"] {
        if section.has(key) {
            let problem = "a downtime has start and end, or it comes again on days from and to";
            section.wrong(key, problem.to_owned(), None);
            let _ = section.optional(key, "", |_| Ok(()));
        }
    }
    let edge = |edge| move |value: &DeValue<'_>| moment(value, edge, zone);
    let start = section.required("start", "\"2026-12-24T18:00\"", edge(Edge::Start));
    let end = section.required("end", "\"2026-12-27T06:00\"", edge(Edge::End));
    let span = Span { start: start?, end: end? };
    if span.start >= span.end {
        let example = Some("end = a time after start".to_owned());
        section.wrong("end", "it is not after start".to_owned(), example);
        return None;
    }
    Some(span)
}

/// A moment: local time of the zone, or with an offset of its own.
fn moment(value: &DeValue<'_>, edge: Edge, zone: &TimeZone) -> Read<i64> {
    let text = match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Datetime(it) => it.to_string(),
        _ => return Err("it has to be a date and a time".to_owned()),
    };
    parse_moment(&text, edge, zone)
}

/// Reads a moment such as `2026-12-24T18:00`, local time of the zone, or `2026-12-24T18:00+01:00`.
pub(crate) fn parse_moment(text: &str, edge: Edge, zone: &TimeZone) -> Read<i64> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let civil = text.parse::<DateTime>().ok();
    civil
        .and_then(|it| schedule::instant(it, edge, zone))
        .ok_or_else(|| format!("`{text}` is not a date and a time"))
}

fn days(value: &DeValue<'_>) -> Read<Vec<Weekday>> {
    let mut days = Vec::new();
    for text in bounded(value)? {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let place = |it: &str| {
            let name = it.trim().to_ascii_lowercase();
            let day = DAYS.iter().position(|(it, _)| *it == name);
            day.ok_or_else(|| format!("`{it}` is no day of the week; they are mon, tue to sun"))
        };
        let (first, last) = (place(first)?, place(last)?);
        // From Friday to Monday there are three days.
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).map(|it| DAYS[it % 7].1));
    }
    Ok(days)
}

fn dates(value: &DeValue<'_>) -> Read<Vec<RangeInclusive<Date>>> {
    let mut dates = Vec::new();
    for text in bounded(value)? {
        let (first, last) = text.split_once("..").unwrap_or((&text, &text));
        let date = |it: &str| {
            it.trim().parse::<Date>().map_err(|_| format!("`{it}` is no date such as 2026-12-24"))
        };
        let (first, last) = (date(first)?, date(last)?);
        if last < first {
            return Err(format!("`{text}` ends before it begins"));
        }
        dates.push(first..=last);
    }
    Ok(dates)
}

fn bounded(value: &DeValue<'_>) -> Read<Vec<String>> {
    let texts = value::texts(value)?;
    match texts.len() {
        0 => Err("it is empty; leave it out for every day".to_owned()),
        1..=MOST_DAYS => Ok(texts),
        _ => Err(format!("{MOST_DAYS} is the most")),
    }
}

/// Minutes since midnight of a time such as `05:30`.
fn minutes(value: &DeValue<'_>, last: u16) -> Read<u16> {
    let text = match value {
        DeValue::Datetime(it) => it.to_string(),
        _ => value::text(value)?,
    };
    // As TOML's own times are written.
    let text = text.strip_suffix(":00").filter(|it| it.len() == 5).unwrap_or(&text);
    let two_digits = |it: &str| {
        let is_right = it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit());
        is_right.then(|| it.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)))
        .filter(|(_, minute)| *minute < 60)
        .map(|(hour, minute)| hour * 60 + minute)
        .filter(|it| *it <= last)
        .ok_or_else(|| format!("`{text}` is no time of the day such as 05:30"))
}
