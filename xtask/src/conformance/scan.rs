//! Tells code, texts and comments of Rust source apart, line by line.

/// One line of a source file.
#[derive(Debug)]
pub(super) struct Line {
    /// The code, with texts and comments blanked.
    pub(super) code: String,
    /// What stands behind `//`, empty without a comment.
    pub(super) comment: String,
    /// Whether it begins inside a text, so that its place in the line means nothing.
    in_text: bool,
}

impl Line {
    pub(super) fn has_code(&self) -> bool {
        !self.in_text && !self.code.trim().is_empty()
    }

    /// How far in the code stands, or the comment where there is no code.
    pub(super) fn indent(&self) -> usize {
        self.code.len() - self.code.trim_start().len()
    }
}

/// The lines of a file.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut inside = Inside::Code;
    text.lines().map(|line| scan(line, &mut inside)).collect()
}

/// What a character is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    Text,
    RawText { hashes: usize },
    Comment { depth: usize },
}

/// Some characters that belong together, and what comes after them.
struct Step {
    bytes: usize,
    is_code: bool,
    then: Inside,
}

fn scan(line: &str, inside: &mut Inside) -> Line {
    let in_text = *inside != Inside::Code;
    let mut code = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        if let (Inside::Code, Some(comment)) = (*inside, rest.strip_prefix("//")) {
            let comment = comment.strip_prefix('/').unwrap_or(comment).to_owned();
            return Line { code, comment, in_text };
        }
        let step = match *inside {
            Inside::Code => step_in_code(rest, &code),
            Inside::Text => step_in_text(rest),
            Inside::RawText { hashes } => step_in_raw_text(rest, hashes),
            Inside::Comment { depth } => step_in_comment(rest, depth),
        };
        let (these, others) = rest.split_at(step.bytes);
        match step.is_code {
            true => code.push_str(these),
            false => code.extend(these.chars().map(|_| ' ')),
        }
        (rest, *inside) = (others, step.then);
    }
    Line { code, comment: String::new(), in_text }
}

fn step_in_code(rest: &str, before: &str) -> Step {
    let blank = |bytes, then| Step { bytes, is_code: false, then };
    if let Some(hashes) = raw_text(rest, before) {
        return blank(hashes + 2, Inside::RawText { hashes });
    }
    if rest.starts_with("/*") {
        return blank(2, Inside::Comment { depth: 1 });
    }
    if rest.starts_with('"') {
        return blank(1, Inside::Text);
    }
    match character(rest) {
        Some(bytes) => blank(bytes, Inside::Code),
        None => Step { bytes: first(rest), is_code: true, then: Inside::Code },
    }
}

fn step_in_text(rest: &str) -> Step {
    let bytes = match rest.strip_prefix('\\') {
        Some(escaped) => 1 + first(escaped),
        None => first(rest),
    };
    let then = if rest.starts_with('"') { Inside::Code } else { Inside::Text };
    Step { bytes, is_code: false, then }
}

fn step_in_raw_text(rest: &str, hashes: usize) -> Step {
    let end = format!("\"{}", "#".repeat(hashes));
    match rest.starts_with(&end) {
        true => Step { bytes: end.len(), is_code: false, then: Inside::Code },
        false => Step { bytes: first(rest), is_code: false, then: Inside::RawText { hashes } },
    }
}

fn step_in_comment(rest: &str, depth: usize) -> Step {
    let (bytes, then) = match (rest.get(..2), depth) {
        (Some("*/"), 1) => (2, Inside::Code),
        (Some("*/"), depth) => (2, Inside::Comment { depth: depth - 1 }),
        (Some("/*"), depth) => (2, Inside::Comment { depth: depth + 1 }),
        (_, depth) => (first(rest), Inside::Comment { depth }),
    };
    Step { bytes, is_code: false, then }
}

/// The size of the first character.
fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// The number of hashes of a raw text that begins here, behind this code.
fn raw_text(rest: &str, before: &str) -> Option<usize> {
    let behind_word = before.ends_with(|it: char| it.is_alphanumeric() && it != 'b');
    let rest = rest.strip_prefix('r').filter(|_| !behind_word)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// How long a character in quotes is that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let bytes = match inner.strip_prefix('\\') {
        Some(escaped) => 1 + first(escaped) + escaped[first(escaped)..].find('\'')?,
        None => first(inner),
    };
    inner[bytes..].starts_with('\'').then_some(bytes + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_code() {
        for (text, code, comment) in [
            ("let a = 1; // why", "let a = 1; ", " why"),
            ("/// what", "", " what"),
            ("    //! for", "    ", "! for"),
            ("f(\"// no\", x)", "f(       , x)", ""),
            ("f(\"\\\"// no\")", "f(         )", ""),
            ("f(r#\"\"// no\"#)", "f(           )", ""),
            ("f('\"', '\\'', 'ü') // b", "f(   ,     ,    ) ", " b"),
            ("fn f<'a>(it: &'a str) {", "fn f<'a>(it: &'a str) {", ""),
            ("a /* b /* c */ d */ e", "a                   e", ""),
            ("for \"\" in x", "for    in x", ""),
        ] {
            let [line] = &lines(text)[..] else { panic!("one line: {text}") };
            assert_eq!((line.code.as_str(), line.comment.as_str()), (code, comment), "{text}");
        }
    }

    #[test]
    fn a_text_may_go_over_lines() {
        let lines = lines("let a = \"b\n// c\nd\"; // e");
        let comments: Vec<&str> = lines.iter().map(|it| it.comment.as_str()).collect();
        assert_eq!(comments, ["", "", " e"]);
        let with_code: Vec<bool> = lines.iter().map(Line::has_code).collect();
        assert_eq!(with_code, [true, false, false]);
    }
}
