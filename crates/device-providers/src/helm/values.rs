//! The values that a chart is given: one document, made of the parameters by their pointers. It is written as
//! JSON, which is YAML too, so that every value keeps its type. None is ever put on a command line.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Map, Value};

use super::pointer::{self, Step};
use crate::{Failure, code};

/// The largest document, in bytes; Kubernetes could not store a larger one.
const LARGEST: usize = 1 << 20;
/// A shorter text is no secret, and stands in too many words.
const SHORTEST_SECRET: usize = 4;

/// The bytes of the document.
pub(super) fn document(parameters: &BTreeMap<String, Value>) -> Result<Vec<u8>, Failure> {
    let mut root = Value::Object(Map::new());
    for (pointer, value) in parameters {
        let put = pointer::parse(pointer).and_then(|steps| put(&mut root, &steps, value.clone()));
        put.map_err(|why| bad(&format!("the pointer `{pointer}` {why}")))?;
    }
    let bytes = root.to_string().into_bytes();
    if bytes.len() > LARGEST {
        return Err(bad("the parameters have more than 1 MiB"));
    }
    Ok(bytes)
}

/// A text without the values of the parameters: any of them may be a secret, and Helm quotes them when it
/// complains.
pub(super) fn without_values(text: &str, parameters: &BTreeMap<String, Value>) -> String {
    let mut words = Vec::new();
    parameters.values().for_each(|it| gather(it, &mut words));
    // A longer one may contain a shorter one.
    words.sort_by_key(|it| std::cmp::Reverse(it.len()));
    words.iter().fold(text.to_owned(), |text, word| text.replace(word, "***"))
}

fn put(place: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        if !place.is_null() {
            return Err("has a value already".to_owned());
        }
        *place = value;
        return Ok(());
    };
    let next = match step {
        Step::Key(key) => {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let object = place.as_object_mut().ok_or("leads into what is no object")?;
            object.entry(key.clone()).or_insert(Value::Null)
        }
        Step::Index(index) => {
            if place.is_null() {
                *place = Value::Array(Vec::new());
            }
            let list = place.as_array_mut().ok_or("leads into what is no list")?;
            if list.len() <= *index {
                list.resize(index + 1, Value::Null);
            }
            &mut list[*index]
        }
    };
    put(next, rest, value)
}

fn gather(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|it| gather(it, words)),
        Value::Object(fields) => fields.values().for_each(|it| gather(it, words)),
        Value::String(text) => {
            // As it is, and as it is quoted.
            let mut quoted = Value::from(text.as_str()).to_string();
            quoted.pop();
            words.extend([text.clone(), mem::take(&mut quoted).split_off(1)]);
        }
        Value::Number(number) => words.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
    words.retain(|it| it.len() >= SHORTEST_SECRET);
}

fn bad(why: &str) -> Failure {
    Failure::new(code::BAD_PARAMETER, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(parameters: &[(&str, Value)]) -> Result<Value, Failure> {
        let parameters = parameters.iter().map(|(at, value)| ((*at).to_owned(), value.clone()));
        let bytes = document(&parameters.collect())?;
        Ok(serde_json::from_slice(&bytes).expect("the document is JSON"))
    }

    // margo(PA-3)
    #[test]
    fn every_value_gets_to_its_place_with_its_type() {
        // margo(PA-3)
        let document = of(&[
            ("replicas", json!(3)),
            ("ratio", json!(0.5)),
            ("debug", json!(true)),
            ("tag", json!("1.10")),
            ("zip", json!("00123")),
            ("hosts", json!(["a", "b"])),
            ("servers[1].port", json!(80)),
            ("servers[0].port", json!(81)),
            (r"nodes.example\.com/hall", json!("north")),
        ]);
        let expected = json!({
            "replicas": 3, "ratio": 0.5, "debug": true, "tag": "1.10", "zip": "00123",
            "hosts": ["a", "b"], "servers": [{"port": 81}, {"port": 80}],
            "nodes": {"example.com/hall": "north"},
        });
        assert_eq!(document, Ok(expected));
        assert_eq!(of(&[("a[2]", json!(1))]), Ok(json!({"a": [null, null, 1]})));
        assert_eq!(of(&[]), Ok(json!({})));
    }

    #[test]
    fn pointers_that_contradict_each_other_are_refused() {
        for pointers in [["a", "a.b"], ["a", "a[0]"], ["a.b", "a[0]"], ["a[0]", "a[0].b"]] {
            let parameters = pointers.map(|it| (it, json!("secret")));
            let failure = of(&parameters).expect_err("a contradiction");
            assert_eq!(failure.code, code::BAD_PARAMETER);
            assert!(failure.message.contains('`') && !failure.message.contains("secret"));
        }
        of(&[("a[1001]", json!(1))]).expect_err("a place too far away");
        of(&[("a", json!("x".repeat(LARGEST)))]).expect_err("too large a document");
    }

    #[test]
    fn what_helm_says_is_told_without_the_values() {
        let parameters = BTreeMap::from([
            ("a".to_owned(), json!("hunter2")),
            ("b".to_owned(), json!(["hunter2 and \"more\"", 12345])),
            ("c".to_owned(), json!("x")),
        ]);
        let said = r#"x: bad "hunter2", 'hunter2 and \"more\"', hunter2 and "more", 12345"#;
        let expected = r#"x: bad "***", '***', ***, ***"#;
        assert_eq!(without_values(said, &parameters), expected);
    }
}
