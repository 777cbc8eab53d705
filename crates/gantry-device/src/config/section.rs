//! Reads one section of the file field by field. What is wrong with a field is noted and the reading goes
//! on, so that all mistakes are told at once.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistakes;

/// The furthest that a misspelt name may be from the right one, in letters.
const FURTHEST_NAME: usize = 2;

/// A section of the file.
pub(super) struct Section<'a> {
    /// With a dot at the end, unless it is the whole file.
    path: String,
    place: usize,
    /// Those that have not been read yet.
    fields: BTreeMap<&'a str, (usize, &'a Spanned<DeValue<'a>>)>,
    /// Where each field is, read or not.
    places: BTreeMap<&'a str, usize>,
    known: Vec<&'static str>,
    mistakes: &'a Mistakes<'a>,
}

impl<'a> Section<'a> {
    pub(super) fn of_file(table: &'a DeTable<'a>, mistakes: &'a Mistakes<'a>) -> Self {
        Self::new(String::new(), 0, Some(table), mistakes)
    }

    fn new(
        path: String,
        place: usize,
        table: Option<&'a DeTable<'a>>,
        mistakes: &'a Mistakes<'a>,
    ) -> Self {
        let fields = table.into_iter().flatten();
        let fields = fields.map(|(key, it)| (key.get_ref().as_ref(), (key.span().start, it)));
        let fields: BTreeMap<_, _> = fields.collect();
        let places = fields.iter().map(|(key, (place, _))| (*key, *place)).collect();
        Self { path, place, fields, places, known: Vec::new(), mistakes }
    }

    /// A field, if it is there and right. `example` is what could stand behind the `=`.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let (place, value) = self.fields.remove(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(problem) => {
                let example = Some(format!("{key} = {example}"));
                self.mistakes.note(place, format!("{}{key}", self.path), problem, example);
                None
            }
        }
    }

    /// A field that has to be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.fields.contains_key(key) {
            self.known.push(key);
            self.wrong(key, "it is missing".to_owned(), Some(format!("{key} = {example}")));
            return None;
        }
        self.optional(key, example, read)
    }

    /// A section below this one; empty when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        self.known.push(key);
        let path = format!("{}{key}", self.path);
        let (place, table) = match self.fields.remove(key) {
            None => (self.place, None),
            Some((place, value)) => match value.get_ref() {
                DeValue::Table(table) => (place, Some(table)),
                _ => {
                    let example = Some(format!("[{path}]"));
                    self.mistakes.note(place, path.clone(), "it is no section".to_owned(), example);
                    (place, None)
                }
            },
        };
        Section::new(format!("{path}."), place, table, self.mistakes)
    }

    /// The sections of this name below this one, as in `[[downtime]]`.
    pub(super) fn sections(&mut self, key: &'static str, most: usize) -> Vec<Section<'a>> {
        self.known.push(key);
        let path = format!("{}{key}", self.path);
        let Some((place, value)) = self.fields.remove(key) else { return Vec::new() };
        let wrong = |place, problem: String| {
            self.mistakes.note(place, path.clone(), problem, Some(format!("[[{path}]]")));
        };
        let DeValue::Array(array) = value.get_ref() else {
            wrong(place, "it is no list of sections".to_owned());
            return Vec::new();
        };
        if array.len() > most {
            wrong(place, format!("there are {} of them, {most} is the most", array.len()));
        }
        let mut sections = Vec::new();
        for item in array.iter().take(most) {
            let place = item.span().start;
            match item.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{path}.");
                    sections.push(Section::new(path, place, Some(table), self.mistakes));
                }
                _ => wrong(place, "it is no section".to_owned()),
            }
        }
        sections
    }

    /// Fields that may be there, whether or not they were read.
    pub(super) fn may_have(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Whether a field is there and was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Whether a field is there, read or not, right or not.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Notes what is wrong with the section as a whole, or with how its fields go together.
    pub(super) fn wrong(&self, key: &str, problem: String, example: Option<String>) {
        let path = if key.is_empty() { self.path.trim_end_matches('.') } else { &self.path };
        let place = self.places.get(key).copied().unwrap_or(self.place);
        self.mistakes.note(place, format!("{path}{key}"), problem, example);
    }

    /// All fields that are known have been read: what is left has a name that nothing has.
    pub(super) fn end(self) {
        for (name, (place, _)) in &self.fields {
            let nearest = self.known.iter().map(|it| (distance(name, it), *it)).min();
            let example = nearest.filter(|(far, _)| *far <= FURTHEST_NAME);
            let example = example.map(|(_, it)| format!("{}{it}", self.path));
            let problem = match &example {
                Some(_) => "there is no such field".to_owned(),
                None => format!("there is no such field; there are {}", self.known.join(", ")),
            };
            self.mistakes.note(*place, format!("{}{name}", self.path), problem, example);
        }
    }
}

/// How many letters have to be added, taken away or changed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, it) in other.iter().enumerate() {
            let changed = diagonal + usize::from(*it != letter);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_near_the_right_one() {
        assert_eq!(distance("intervall", "interval"), 1);
        assert_eq!(distance("poling", "polling"), 1);
        assert_eq!(distance("", "ca"), 2);
        assert_eq!(distance("url", "url"), 0);
        assert!(distance("days", "reason") > FURTHEST_NAME);
    }
}
