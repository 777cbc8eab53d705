//! Where a parameter goes among a chart's values, margo(PA-3): `servers[0].port`, in the notation of
//! `helm --set`. A backslash takes away what a character means: `a\.b` is one key.

/// How deep a value may lie; Helm has the same limit.
const DEEPEST: usize = 30;
/// The last place in a list. What lies before it is filled up, so that it must not be far.
const LAST_INDEX: usize = 1000;

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Reads a pointer; what is wrong with it otherwise.
pub(super) fn parse(pointer: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = pointer.chars().peekable();
    loop {
        steps.push(Step::Key(key(&mut rest)?));
        while rest.next_if_eq(&'[').is_some() {
            steps.push(Step::Index(index(&mut rest)?));
        }
        match rest.next() {
            None => break,
            Some('.') => {}
            Some(other) => return Err(format!("has `{other}` behind a `]`")),
        }
    }
    if steps.len() > DEEPEST {
        return Err(format!("is deeper than {DEEPEST} levels"));
    }
    Ok(steps)
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn key(rest: &mut Characters<'_>) -> Result<String, String> {
    let mut key = String::new();
    while let Some(character) = rest.next_if(|it| !['.', '['].contains(it)) {
        match character {
            '\\' => key.push(rest.next().ok_or("ends with a backslash")?),
            ']' => return Err("has a `]` without a `[`".to_owned()),
            _ => key.push(character),
        }
    }
    if key.is_empty() { Err("has an empty key".to_owned()) } else { Ok(key) }
}

fn index(rest: &mut Characters<'_>) -> Result<usize, String> {
    let mut digits = String::new();
    loop {
        match rest.next() {
            None => return Err("has a `[` without a `]`".to_owned()),
            Some(']') => break,
            Some(character) => digits.push(character),
        }
    }
    let index = digits.parse().ok().filter(|_| digits.bytes().all(|it| it.is_ascii_digit()));
    index
        .filter(|it| *it <= LAST_INDEX)
        .ok_or_else(|| format!("has `[{digits}]`, which is no place from 0 to {LAST_INDEX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(PA-3)
    #[test]
    fn dots_brackets_and_backslashes_mean_what_they_mean_to_helm() {
        let key = |it: &str| Step::Key(it.to_owned());
        for (pointer, steps) in [
            ("a", vec![key("a")]),
            ("a.b-c", vec![key("a"), key("b-c")]),
            (r"a\.b.c", vec![key("a.b"), key("c")]),
            (r"a\\b\[0\]", vec![key(r"a\b[0]")]),
            ("a[0].b", vec![key("a"), Step::Index(0), key("b")]),
            ("a[1][20]", vec![key("a"), Step::Index(1), Step::Index(20)]),
            ("ä b=,", vec![key("ä b=,")]),
        ] {
            assert_eq!(parse(pointer), Ok(steps), "{pointer}");
        }
    }

    #[test]
    fn a_pointer_that_leads_nowhere_is_refused() {
        let deep = vec!["a"; DEEPEST + 1].join(".");
        for pointer in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "[0]",
            "a[",
            "a[]",
            "a[-1]",
            "a[+1]",
            "a[x]",
            "a[1001]",
            "a[99999999999999999999]",
            "a[0]b",
            "a]",
            "a\\",
            &deep,
        ] {
            parse(pointer).expect_err(pointer);
        }
    }
}
