//! What a program or a service said last, made fit for a message.

/// How many lines of it go into a message.
pub(crate) const LAST_LINES: usize = 10;
/// How many characters of it go into a message.
const LAST_CHARACTERS: usize = 1_500;

/// The end of what was printed, to be put behind a sentence.
pub(crate) fn last_words(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    let excess = end.chars().count().saturating_sub(LAST_CHARACTERS);
    let end: String = end.chars().skip(excess).collect();
    format!(": {}", printable(&end))
}

/// A text without what steers terminals, which reports end up on.
pub(crate) fn printable(text: &str) -> String {
    text.replace(|it: char| it.is_control() && it != '\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_quote_only_the_end_of_what_was_printed_and_nothing_that_steers_terminals() {
        assert_eq!(last_words(" \n"), "");
        let text: String = (0..100).map(|it| format!("line {it}\n")).collect();
        assert!(last_words(&text).starts_with(": line 90\n"));
        assert!(last_words(&"ä".repeat(10_000)).chars().count() <= LAST_CHARACTERS + 2);
        assert_eq!(last_words("a\x1b[31mb"), ": a [31mb");
    }
}
