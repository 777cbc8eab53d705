//! To which item of a source file a line belongs. It leans on `cargo fmt`: what is inside an item is
//! indented further than the item.

use super::scan::Line;

/// Where a line belongs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The names of the items around it, the outermost first, tests' modules left out.
    pub(super) items: Vec<String>,
    /// Whether one of the items is a test.
    pub(super) in_test: bool,
    /// Whether the mark stands right above a module of tests.
    pub(super) above_tests: bool,
    /// Whether one of the items is compiled for tests only.
    pub(super) in_test_module: bool,
}

struct Item {
    name: String,
    is_module: bool,
}

/// The place of a line: the item that it stands right above, or else the one around it.
pub(super) fn place_of(lines: &[Line], at: usize) -> Place {
    if lines[at].comment.starts_with('!') {
        return Place::default();
    }
    let below = item_below(lines, at);
    let own = below.or_else(|| lines[at].item().map(|_| at));
    let mut chain = enclosing(lines, own.unwrap_or(at));
    chain.extend(own);
    let mut place = Place::default();
    for at in chain {
        let Some(item) = lines[at].item() else { continue };
        let attributes = attributes(lines, at);
        let is_tests = item.is_module && attributes.contains("#[cfg(test)]");
        place.in_test |= is_test(&attributes);
        place.in_test_module |= is_tests;
        place.above_tests |= is_tests && below == Some(at);
        if !is_tests {
            place.items.push(item.name);
        }
    }
    place
}

/// The items around a line, the outermost first: each begins above it and further out.
fn enclosing(lines: &[Line], from: usize) -> Vec<usize> {
    let mut indent = lines[from].indent();
    let mut chain = Vec::new();
    for above in (0..from).rev() {
        let line = &lines[above];
        if !line.has_code() || line.indent() >= indent {
            continue;
        }
        // The end of a signature stands as far out as its beginning.
        let code = line.code.trim_start();
        let goes_on = code.starts_with([')', ']', '}', '{']) || code.starts_with("where");
        indent = if goes_on { line.indent() + 1 } else { line.indent() };
        if line.item().is_some() {
            chain.push(above);
        }
    }
    chain.reverse();
    chain
}

/// Whether a file has a test at all.
pub(super) fn has_tests(lines: &[Line]) -> bool {
    lines.iter().any(|line| is_test(&line.code))
}

fn is_test(attributes: &str) -> bool {
    attributes.contains("#[test]")
        || attributes.contains("::test]")
        || attributes.contains("::test(")
}

/// The item whose comment the line is part of.
fn item_below(lines: &[Line], at: usize) -> Option<usize> {
    if lines[at].has_code() {
        return None;
    }
    let below = (at + 1..lines.len()).find(|it| {
        let code = lines[*it].code.trim_start();
        !(code.starts_with("#[") || code.is_empty() && !lines[*it].comment.is_empty())
    })?;
    let is_item = lines[below].item().is_some() && lines[below].indent() == lines[at].indent();
    is_item.then_some(below)
}

/// The attributes of an item, which stand right above it.
fn attributes(lines: &[Line], item: usize) -> String {
    let above = lines[..item].iter().rev();
    above
        .take_while(|it| {
            it.code.trim_start().starts_with("#[") || !it.has_code() && !it.comment.is_empty()
        })
        .map(|it| it.code.trim())
        .collect()
}

impl Line {
    /// The item that begins in this line.
    fn item(&self) -> Option<Item> {
        let mut words = self.code.trim_start();
        if let Some(rest) = words.strip_prefix("pub") {
            words = match rest.strip_prefix('(') {
                Some(rest) => rest.split_once(')')?.1,
                None => rest,
            }
            .trim_start();
        }
        for modifier in ["async ", "const fn "] {
            if words.starts_with(modifier) {
                words = words.trim_start_matches("async ").trim_start_matches("const ");
            }
        }
        let (keyword, rest) = words.split_once(' ').unwrap_or((words, ""));
        let name = match keyword {
            "fn" | "struct" | "enum" | "trait" | "mod" | "const" | "static" | "type"
            | "macro_rules!" => identifier(rest),
            _ if keyword == "impl" || keyword.starts_with("impl<") => {
                identifier(implementor(words))
            }
            _ => return None,
        };
        let is_module = keyword == "mod";
        (!name.is_empty()).then(|| Item { name: name.to_owned(), is_module })
    }
}

/// What an `impl` is for.
fn implementor(words: &str) -> &str {
    if let Some((_, implementor)) = words.split_once(" for ") {
        return implementor;
    }
    let rest = &words["impl".len()..];
    let mut depth = 0_usize;
    for (at, character) in rest.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => return rest[at..].trim_start(),
            _ => {}
        }
    }
    ""
}

fn identifier(text: &str) -> &str {
    let end = text.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(text.len());
    &text[..end]
}
