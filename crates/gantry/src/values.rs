//! Values for parameters, from `--set` and `--values`.

use std::collections::BTreeMap;

use anyhow::Result;
use operator_api::ParameterInput;
use serde_json::Value;

use crate::arguments::Values;
use crate::config::read_text;
use crate::failure::Failure;

/// All values that the command line names; `--set` goes before the file.
pub(crate) fn read(values: &Values) -> Result<BTreeMap<String, ParameterInput>> {
    let mut inputs = match &values.values {
        Some(path) => of_file(&read_text(path)?)
            .map_err(|problem| Failure::Usage(format!("{}: {problem}", path.display())))?,
        None => BTreeMap::new(),
    };
    inputs.extend(of_set(&values.set)?);
    Ok(inputs)
}

/// Text stays text: only the application's schema knows what `8080` is.
fn of_set(set: &[String]) -> Result<BTreeMap<String, ParameterInput>, Failure> {
    let mut inputs = BTreeMap::new();
    for argument in set {
        let Some((name, text)) = argument.split_once('=').filter(|(name, _)| !name.is_empty())
        else {
            return Err(Failure::Usage(format!("--set {argument}: expected NAME=VALUE")));
        };
        let input = ParameterInput::Text { text: text.to_owned() };
        if inputs.insert(name.to_owned(), input).is_some() {
            return Err(Failure::Usage(format!("--set names `{name}` twice")));
        }
    }
    Ok(inputs)
}

/// JSON is YAML too, so one reader does for both.
fn of_file(text: &str) -> Result<BTreeMap<String, ParameterInput>, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let values: BTreeMap<String, Value> =
        serde_saphyr::from_slice_with_options(text.as_bytes(), options)
            .map_err(|error| format!("not a mapping of names to values: {error}"))?;
    for (name, value) in &values {
        let is_plain =
            |value: &Value| !matches!(value, Value::Null | Value::Object(_) | Value::Array(_));
        let good = match value {
            Value::Array(items) => items.iter().all(is_plain),
            other => is_plain(other),
        };
        if !good {
            return Err(format!(
                "`{name}` has to be text, a number, true, false or a list of these"
            ));
        }
    }
    Ok(values.into_iter().map(|(name, value)| (name, ParameterInput::Json(value))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn set_splits_at_the_first_equals_sign_and_keeps_text() {
        let inputs = of_set(&["url=http://a/?b=c".to_owned(), "port=8080".to_owned()]);
        let inputs = inputs.expect("good arguments");
        assert_eq!(inputs["url"], ParameterInput::Text { text: "http://a/?b=c".to_owned() });
        assert_eq!(inputs["port"], ParameterInput::Text { text: "8080".to_owned() });
    }

    #[test]
    fn set_needs_a_name_and_names_it_once() {
        for bad in [&["x"][..], &["=1"], &["a=1", "a=2"]] {
            let bad: Vec<String> = bad.iter().map(|&it| it.to_owned()).collect();
            assert!(of_set(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_is_yaml_or_json_and_keeps_types() {
        let expected = json!({"port": 8080, "version": "1.0", "on": true, "list": ["a", "b"]});
        let yaml = "port: 8080\nversion: \"1.0\"\non: true\nlist: [a, b]\n";
        for text in [yaml.to_owned(), expected.to_string()] {
            let inputs = of_file(&text).expect("a good file");
            assert_eq!(serde_json::to_value(inputs).expect("JSON"), expected, "{text}");
        }
    }

    #[test]
    fn a_nested_value_is_refused_by_name() {
        for text in ["a: {b: 1}", "a: [[1]]", "a:"] {
            assert!(of_file(text).expect_err("not a value").contains("`a`"), "{text}");
        }
        assert!(of_file("- a").is_err());
    }
}
