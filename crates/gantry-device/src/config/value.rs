//! What single fields may hold. Each reader says what is wrong with a value in words for its owner.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// The longest duration.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How deep values may lie in each other.
const DEEPEST: usize = 16;

pub(super) type Read<T> = Result<T, String>;

pub(super) fn text(value: &DeValue<'_>) -> Read<String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err("it has to be a text in quotes".to_owned()),
    }
}

/// A text of at least one letter.
pub(super) fn name(value: &DeValue<'_>) -> Read<String> {
    let text = text(value)?;
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
}

pub(super) fn path(value: &DeValue<'_>) -> Read<PathBuf> {
    Ok(name(value)?.into())
}

pub(super) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    match value {
        DeValue::Boolean(it) => Ok(*it),
        _ => Err("it has to be true or false".to_owned()),
    }
}

pub(super) fn number(value: &DeValue<'_>) -> Read<f64> {
    let text = match value {
        DeValue::Integer(it) if it.radix() == 10 => it.as_str(),
        DeValue::Float(it) => it.as_str(),
        _ => return Err("it has to be a number".to_owned()),
    };
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

pub(super) fn texts(value: &DeValue<'_>) -> Read<Vec<String>> {
    match value {
        DeValue::Array(items) => items.iter().map(|it| text(it.get_ref())).collect(),
        _ => Err("it has to be a list of texts in quotes".to_owned()),
    }
}

/// A duration such as `90s`, `5m`, `6h` or `1d`.
pub(super) fn duration(value: &DeValue<'_>) -> Read<Duration> {
    parse_duration(&text(value)?)
}

/// A duration of at least a second.
pub(super) fn pause(value: &DeValue<'_>) -> Read<Duration> {
    let duration = duration(value)?;
    if duration < Duration::from_secs(1) { Err("1s is the least".to_owned()) } else { Ok(duration) }
}

/// Reads a duration such as `90s`, `5m`, `6h` or `1d`; a year at most.
pub(crate) fn parse_duration(text: &str) -> Read<Duration> {
    let seconds = text.find(|it: char| !it.is_ascii_digit()).and_then(|place| {
        let (number, unit) = text.split_at(place);
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    });
    match seconds.map(Duration::from_secs) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) => Err(format!("`{text}` is too long; a year is the most")),
        None => Err(format!("`{text}` is not a duration; it is a number and s, m, h or d")),
    }
}

pub(super) fn time_zone(value: &DeValue<'_>) -> Read<TimeZone> {
    let name = text(value)?;
    TimeZone::get(&name).map_err(|_| format!("`{name}` is no time zone of the IANA database"))
}

/// One of several words.
pub(super) fn one_of<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Read<T> {
    move |value| {
        let word = text(value)?;
        words.iter().find(|(it, _)| *it == word).map(|(_, it)| *it).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(it, _)| format!("`{it}`")).collect();
            format!("`{word}` is none of {}", words.join(", "))
        })
    }
}

/// A table of anything, as JSON.
pub(super) fn table(value: &DeValue<'_>) -> Read<Map<String, Value>> {
    match value {
        DeValue::Table(table) => json_object(table, 0),
        _ => Err("it has to be a section".to_owned()),
    }
}

fn json_object(table: &DeTable<'_>, depth: usize) -> Read<Map<String, Value>> {
    let fields = table.iter();
    fields
        .map(|(key, it)| Ok((key.get_ref().clone().into_owned(), json(it.get_ref(), depth)?)))
        .collect()
}

fn json(value: &DeValue<'_>, depth: usize) -> Read<Value> {
    if depth > DEEPEST {
        return Err("values lie too deep in each other".to_owned());
    }
    Ok(match value {
        DeValue::String(it) => Value::String(it.clone().into_owned()),
        DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix())
            .map_err(|_| format!("`{it}` is too large a number"))?
            .into(),
        DeValue::Float(_) => number(value)?.into(),
        DeValue::Boolean(it) => Value::Bool(*it),
        DeValue::Datetime(it) => Value::String(it.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|it| json(it.get_ref(), depth + 1)).collect::<Read<_>>()?)
        }
        DeValue::Table(it) => Value::Object(json_object(it, depth + 1)?),
    })
}
