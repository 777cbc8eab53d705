//! Reads Rust source as far as marks need it: which text is comment, and to which item a line
//! belongs. It leans on `cargo fmt`: what is inside an item is indented further than the item.

/// One line of a source file.
#[derive(Debug)]
pub(super) struct Line {
    /// The code, with the contents of its texts blanked.
    code: String,
    /// What stands behind `//`, empty without a comment.
    pub(super) comment: String,
    /// Whether it begins inside a text, so that its place in the line means nothing.
    in_text: bool,
}

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

/// The lines of a file.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut state = State::Code;
    text.lines().map(|line| scan(line, &mut state)).collect()
}

/// The place of a line: the item that it stands right above, or else the one around it.
pub(super) fn place_of(lines: &[Line], at: usize) -> Place {
    if lines[at].comment.starts_with('!') {
        return Place::default();
    }
    let below = item_below(lines, at);
    let mut place = Place::default();
    let mut chain = Vec::new();
    let mut indent = match below {
        Some(below) => {
            chain.push(below);
            lines[below].indent()
        }
        None => lines[at].indent(),
    };
    for above in (0..below.map_or(at + 1, |_| at)).rev().filter(|it| lines[*it].has_code()) {
        let line = &lines[above];
        if line.indent() >= indent && !(above == at && line.item().is_some()) {
            continue;
        }
        // The end of a signature stands as far in as its beginning.
        let goes_on = line.code.trim_start().starts_with([')', ']', '}', '{'])
            || line.code.trim_start().starts_with("where");
        indent = if goes_on { line.indent() + 1 } else { line.indent() };
        if line.item().is_some() {
            chain.push(above);
        }
    }
    for at in chain.into_iter().rev() {
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
    fn has_code(&self) -> bool {
        !self.in_text && !self.code.trim().is_empty()
    }

    fn indent(&self) -> usize {
        self.code.len() - self.code.trim_start().len()
    }

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

#[derive(Clone, Copy)]
enum State {
    Code,
    Text,
    RawText { hashes: usize },
    Comment { depth: usize },
}

fn scan(line: &str, state: &mut State) -> Line {
    let in_text = !matches!(state, State::Code);
    let mut code = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let mut used = next.len_utf8();
        match *state {
            State::Code => {
                if let Some(comment) = rest.strip_prefix("//") {
                    // The place of a comment is where it begins.
                    let comment = comment.strip_prefix('/').unwrap_or(comment).to_owned();
                    return Line { code, comment, in_text };
                }
                if let Some(hashes) = raw_text(rest, &code) {
                    *state = State::RawText { hashes };
                    used = hashes + 2;
                } else if rest.starts_with("/*") {
                    *state = State::Comment { depth: 1 };
                    used = 2;
                } else if next == '"' {
                    *state = State::Text;
                } else if next == '\'' {
                    used = character(rest);
                }
                match *state {
                    State::Code if used == next.len_utf8() => code.push(next),
                    _ => code.push_str(&" ".repeat(used)),
                }
            }
            State::Text => {
                if next == '\\' {
                    used += rest[used..].chars().next().map_or(0, char::len_utf8);
                } else if next == '"' {
                    *state = State::Code;
                }
                code.push(' ');
            }
            State::RawText { hashes } => {
                if rest[used..].starts_with(&"#".repeat(hashes)) && next == '"' {
                    *state = State::Code;
                    used += hashes;
                }
                code.push(' ');
            }
            State::Comment { depth } => {
                if rest.starts_with("*/") {
                    used = 2;
                    *state =
                        if depth == 1 { State::Code } else { State::Comment { depth: depth - 1 } };
                } else if rest.starts_with("/*") {
                    used = 2;
                    *state = State::Comment { depth: depth + 1 };
                }
            }
        }
        rest = &rest[used..];
    }
    Line { code, comment: String::new(), in_text }
}

/// The number of hashes of a raw text that begins here, behind this code.
fn raw_text(rest: &str, before: &str) -> Option<usize> {
    let behind_word = before.ends_with(|it: char| it.is_alphanumeric() && it != 'b');
    let rest = rest.strip_prefix('r').filter(|_| !behind_word)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// How long a character is that begins here in quotes; a lifetime is one quote long.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next(), characters.next()) {
        (Some((_, '\\')), Some((_, _)), Some((escaped, _))) => {
            rest[escaped..].find('\'').map_or(1, |end| escaped + end + 1)
        }
        (Some(_), Some((end, '\'')), _) => end + 1,
        _ => 1,
    }
}
