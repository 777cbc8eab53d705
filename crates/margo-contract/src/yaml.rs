//! YAML, read with a budget: a small document must not become a large tree, and no document may keep
//! the reader busy for long. Some Margo documents are YAML written by strangers.

use serde::Serialize;
use serde_json::Value;

use crate::document::DocumentError;

/// The longest YAML document that is read, in bytes.
pub const LONGEST: usize = 1 << 20;

/// Parses a YAML document into a tree, merge keys (`<<`) and anchors resolved.
///
/// # Errors
/// [`DocumentError::Malformed`] where it is no YAML, has a key twice, or is beyond the budget.
pub fn parse(bytes: &[u8]) -> Result<Value, DocumentError> {
    if bytes.len() > LONGEST {
        return Err(DocumentError::Malformed(format!(
            "the document has {} bytes; {LONGEST} are the limit",
            bytes.len()
        )));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(LONGEST),
            max_events: 50_000,
            max_nodes: 20_000,
            max_aliases: 200,
            max_depth: 32,
            max_total_scalar_bytes: 2 << 20,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| DocumentError::Malformed(format!("not valid YAML: {error}")))
}

/// Writes a document as YAML. A value on one line stays on one line, so that people and line tools
/// find it there.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<String, UnwritableYaml> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: LONGEST };
    serde_saphyr::to_string_with_options(document, options).map_err(UnwritableYaml)
}

/// A document cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("writing the document as YAML")]
pub struct UnwritableYaml(#[source] serde_saphyr::ser::Error);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_types() {
        let text = b"a: 1\nb: \"1\"\nc: 1.5\nd: true\ne: NO\nf: [x, 2.4.0]\n";
        assert_eq!(
            parse(text),
            Ok(json!({"a": 1, "b": "1", "c": 1.5, "d": true, "e": "NO", "f": ["x", "2.4.0"]}))
        );
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        let tree = json!({"a": "1", "b": [true, "true", "null", "no", "1.10", "2024-01-01"],
            "c": {"d": "two\nlines", "e": "x: y # z", "f": "", "g": " blank "}, "h": -1.5});
        let text = write(&tree).expect("a tree can be written");
        assert_eq!(parse(text.as_bytes()), Ok(tree), "{text}");
    }

    #[test]
    fn a_long_value_stays_on_its_line() {
        let url = format!("https://fleet.example/{}", "x y/".repeat(100));
        let text = write(&json!({"packageLocation": url})).expect("a tree can be written");
        assert_eq!(text.trim_end(), format!("packageLocation: {url}"));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let items = [before.as_str(); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(matches!(parse(bomb.as_bytes()), Err(DocumentError::Malformed(_))));
        let deep = "[".repeat(5_000);
        assert!(matches!(parse(deep.as_bytes()), Err(DocumentError::Malformed(_))));
        let long = vec![b'a'; LONGEST + 1];
        assert!(matches!(parse(&long), Err(DocumentError::Malformed(_))));
    }

    #[test]
    fn an_error_says_where() {
        let Err(DocumentError::Malformed(text)) = parse(b"a: 1\na: 2\n") else {
            panic!("a key twice");
        };
        assert!(text.contains("line 2"), "{text}");
    }
}
