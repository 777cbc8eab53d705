//! The file that hands parameters to Compose, margo(PA-4).
//!
//! Compose reads it with rules of its own, so each value is written in double quotes with all that
//! is special there escaped. Values are data: none of them is looked at for `$`.

use std::collections::BTreeMap;

use margo_contract::configuration::as_text;
use serde_json::Value;

use crate::{Failure, code};

/// Names that would steer Compose, the engine's command line or the search for programs instead of
/// reaching the workload.
const RESERVED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];
const RESERVED_PREFIXES: [&str; 2] = ["COMPOSE_", "DOCKER_"];
/// The longest value, in bytes.
const LONGEST_VALUE: usize = 64 << 10;

/// The text of the file; one line for each variable.
pub(super) fn env_file(parameters: &BTreeMap<String, Value>) -> Result<String, Failure> {
    let mut text = String::new();
    for (name, value) in parameters {
        let value = as_text(value);
        check(name, &value).map_err(|why| {
            Failure::new(code::BAD_PARAMETER, format!("the environment variable `{name}` {why}"))
        })?;
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' | '"' | '$' => text.extend(['\\', character]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                _ => text.push(character),
            }
        }
        text.push_str("\"\n");
    }
    Ok(text)
}

fn check(name: &str, value: &str) -> Result<(), &'static str> {
    let starts_well = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    if !starts_well || !name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_') {
        return Err("has a name that is not of letters, digits and `_`");
    }
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|it| name.starts_with(it)) {
        return Err("has a name that Docker itself uses");
    }
    if value.contains('\0') {
        return Err("has a value with a NUL character");
    }
    if value.len() > LONGEST_VALUE {
        return Err("has a value of more than 64 KiB");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, value: &str) -> Result<String, Failure> {
        env_file(&BTreeMap::from([(name.to_owned(), value.into())]))
    }

    // margo(PA-4)
    #[test]
    fn a_value_stays_on_one_line_with_all_that_is_special_escaped() {
        // margo(PA-4)
        assert_eq!(written("A", "b").expect("a good value"), "A=\"b\"\n");
        assert_eq!(
            written("A", "$B \"c\" \\ 'd' # e\r\n").expect("a good value"),
            "A=\"\\$B \\\"c\\\" \\\\ 'd' # e\\r\\n\"\n"
        );
    }

    #[test]
    fn a_variable_that_would_steer_docker_is_refused() {
        for name in ["PATH", "HOME", "DOCKER_HOST", "COMPOSE_FILE"] {
            let failure = written(name, "x").expect_err("a reserved name");
            assert_eq!(failure.code, code::BAD_PARAMETER);
            assert!(failure.message.contains(name), "{failure}");
        }
    }

    #[test]
    fn a_name_or_value_that_no_environment_can_hold_is_refused() {
        for name in ["", "1A", "A-B", "A=B", "A\nB", "Ä"] {
            written(name, "x").expect_err("a bad name");
        }
        written("A", "a\0b").expect_err("a NUL character");
        written("A", &"a".repeat(LONGEST_VALUE + 1)).expect_err("too long a value");
    }
}
