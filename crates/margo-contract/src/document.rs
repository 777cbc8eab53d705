//! Reading a document of unknown quality: every fault is found and named by its field, not only the
//! first. The documents come in several shapes, so they are read from a tree of values.

use std::cell::RefCell;
use std::fmt;

use serde_json::{Map, Value};

/// More faults than this are not collected: a hostile document must not make a huge answer.
const MOST_FAULTS: usize = 50;

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read at all: not JSON or YAML, or not an object.
    #[error("{0}")]
    Malformed(String),
    /// It can be read, and breaks rules.
    #[error("{0}")]
    Semantic(Faults),
}

/// Rules that a document breaks, each with the field that breaks it. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the field, such as `properties.cpus[0].cores`.
    pub field: String,
    pub message: String,
}

impl DocumentError {
    /// The single fault of one field.
    pub fn of(field: &str, message: impl Into<String>) -> Self {
        let fault = Fault { field: field.to_owned(), message: message.into() };
        Self::Semantic(Faults(vec![fault]))
    }

    /// The faults, where the document could be read.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Malformed(_) => &[],
            Self::Semantic(faults) => &faults.0,
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> =
            self.0.iter().map(|it| format!("{}: {}", it.field, it.message)).collect();
        f.write_str(&texts.join("; "))
    }
}

/// Parses JSON into a tree.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, DocumentError> {
    serde_json::from_slice(bytes)
        .map_err(|error| DocumentError::Malformed(format!("not valid JSON: {error}")))
}

/// Reads a tree with `read`; whatever faults it noted become the error.
pub(crate) fn read<T>(
    root: &Value,
    read: impl FnOnce(&Node<'_>) -> Option<T>,
) -> Result<T, DocumentError> {
    if !root.is_object() {
        return Err(DocumentError::Malformed("the document has to be an object".to_owned()));
    }
    let faults = RefCell::new(Vec::new());
    let document = read(&Node { value: root, path: String::new(), faults: &faults });
    let faults = faults.into_inner();
    match document {
        Some(document) if faults.is_empty() => Ok(document),
        _ if faults.is_empty() => Err(DocumentError::of("", "the document cannot be read")),
        _ => Err(DocumentError::Semantic(Faults(faults))),
    }
}

/// A place in a document.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
    faults: &'a RefCell<Vec<Fault>>,
}

impl<'a> Node<'a> {
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Notes a fault of this place.
    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.fault_at(self.path.clone(), message);
    }

    /// Notes a fault of a field below this place.
    pub(crate) fn fault_of(&self, key: &str, message: impl Into<String>) {
        self.fault_at(self.below(key), message);
    }

    fn fault_at(&self, field: String, message: impl Into<String>) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MOST_FAULTS {
            faults.push(Fault { field, message: message.into() });
        }
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The field with this name, unless it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Node { value, path: self.below(key), faults: self.faults })
    }

    /// As [`Node::get`]; an absent field is a fault.
    pub(crate) fn need(&self, key: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            self.fault_of(key, "is missing");
        }
        node
    }

    /// This place as text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.fault("has to be text; put it into quotes");
        }
        text
    }

    /// The text of a field that has to be there.
    pub(crate) fn need_text(&self, key: &str) -> Option<String> {
        let text = self.need(key)?.text()?;
        if text.is_empty() {
            self.fault_of(key, "must not be empty");
            return None;
        }
        Some(text.to_owned())
    }

    /// The text of a field, if it is there.
    pub(crate) fn get_text(&self, key: &str) -> Option<String> {
        Some(self.get(key)?.text()?.to_owned())
    }

    /// The fields of this place, which has to be an object.
    pub(crate) fn fields(&self) -> Vec<(&'a str, Node<'a>)> {
        let Some(fields) = self.value.as_object() else {
            self.fault("has to be an object");
            return Vec::new();
        };
        let node = |key: &str, value| Node { value, path: self.below(key), faults: self.faults };
        fields.iter().map(|(key, value)| (key.as_str(), node(key, value))).collect()
    }

    /// The items of this place, which has to be a list.
    pub(crate) fn items(&self) -> Vec<Node<'a>> {
        let Some(items) = self.value.as_array() else {
            self.fault("has to be a list");
            return Vec::new();
        };
        let node = |place, value| Node {
            value,
            path: format!("{}[{place}]", self.path),
            faults: self.faults,
        };
        items.iter().enumerate().map(|(place, value)| node(place, value)).collect()
    }

    /// The items of a field, none if it is absent.
    pub(crate) fn items_of(&self, key: &str) -> Vec<Node<'a>> {
        self.get(key).map(|it| it.items()).unwrap_or_default()
    }

    /// A list of texts in a field; a single text counts as a list of one, margo(X-21).
    pub(crate) fn texts_of(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(node) if node.value.is_string() => {
                node.text().map(str::to_owned).into_iter().collect()
            }
            Some(node) => node.items().iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => Vec::new(),
        }
    }

    /// A whole number from 0 in a field. `7.0` is 7, margo(X-16, D-7); fractions are refused.
    pub(crate) fn get_unsigned(&self, key: &str) -> Option<u64> {
        let node = self.get(key)?;
        let whole = |number: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the number is whole and inside the range that a double holds exactly"
            )]
            (number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number))
                .then_some(number as u64)
        };
        let number = node.value.as_u64().or_else(|| node.value.as_f64().and_then(whole));
        if number.is_none() {
            node.fault("has to be a whole number, not negative");
        }
        number
    }

    /// The extension trees of this place, as they are.
    // margo(EX-2, EX-3)
    pub(crate) fn extensions(&self) -> Map<String, Value> {
        let mut extensions = Map::new();
        for (key, value) in self.value.as_object().into_iter().flatten() {
            if !is_extension(key) {
                continue;
            }
            if value.is_object() {
                extensions.insert(key.clone(), value.clone());
            } else {
                self.fault_of(key, "an extension has to be an object");
            }
        }
        extensions
    }
}

/// Whether a key is `x-<name>-extensions`, margo(EX-2).
fn is_extension(key: &str) -> bool {
    key.strip_prefix("x-").and_then(|it| it.strip_suffix("-extensions")).is_some_and(|name| {
        name.starts_with(|it: char| it.is_ascii_lowercase())
            && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_named_by_its_field() {
        let document = json!({"a": {"b": [1, "x"]}, "n": 1.5});
        let error = read(&document, |root| {
            for item in root.get("a")?.items_of("b") {
                item.text();
            }
            root.need_text("missing");
            root.get_unsigned("n");
            Some(())
        })
        .expect_err("three faults");
        let fields: Vec<&str> = error.faults().iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["a.b[0]", "missing", "n"]);
    }

    #[test]
    fn the_number_of_faults_is_bounded() {
        let document = json!({"list": vec![0; 10_000]});
        let error = read(&document, |root| {
            root.items_of("list").iter().for_each(|it| {
                it.text();
            });
            Some(())
        })
        .expect_err("faults");
        assert_eq!(error.faults().len(), MOST_FAULTS);
    }

    #[test]
    fn only_well_named_keys_are_extensions() {
        for good in ["x-acme-extensions", "x-a1-b-extensions"] {
            assert!(is_extension(good), "{good}");
        }
        for bad in
            ["x--extensions", "x-Acme-extensions", "acme-extensions", "x-acme", "x-1-extensions"]
        {
            assert!(!is_extension(bad), "{bad}");
        }
    }
}
