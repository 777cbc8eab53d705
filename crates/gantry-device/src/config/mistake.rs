//! What is wrong in a configuration file: every mistake of it, with its line and what would be right.

use std::cell::RefCell;
use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// From 1 on.
    pub(crate) line: usize,
    /// With its sections: `polling.interval`.
    pub(crate) field: String,
    pub(crate) problem: String,
    /// What would be right: one or more lines of TOML.
    pub(crate) example: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        match &self.example {
            Some(example) => write!(f, "; right would be: {example}"),
            None => Ok(()),
        }
    }
}

/// Gathers the mistakes of one file.
pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: RefCell<Vec<Mistake>>,
}

impl<'t> Mistakes<'t> {
    pub(super) fn in_file(text: &'t str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Notes a mistake at a place of the file, in bytes.
    pub(super) fn note(
        &self,
        place: usize,
        field: String,
        problem: String,
        example: Option<String>,
    ) {
        let before = self.text.as_bytes().iter().take(place);
        let line = before.filter(|it| **it == b'\n').count() + 1;
        self.found.borrow_mut().push(Mistake { line, field, problem, example });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// In the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|it| it.line);
        found
    }
}
