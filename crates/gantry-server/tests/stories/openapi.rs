//! What the OpenAPI documents of both APIs say of themselves. `matrix` proves that they name every route, and
//! `tests/openapi` that the server does what they say.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::fleet::TestFleet;

const DOCUMENTS: [&str; 2] = ["/openapi/device-api.json", "/operator/v1/openapi.json"];

fn document(fleet: &TestFleet, path: &str) -> Value {
    let answer = fleet.http().send("GET", path, &[], None).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// Path, method and description of each operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.collect()
}

fn is_said(text: &Value) -> bool {
    text.as_str().is_some_and(|it| !it.is_empty())
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_answers() {
    let fleet = TestFleet::start();
    let mut names = BTreeSet::new();
    for document in DOCUMENTS.map(|it| document(&fleet, it)) {
        assert_eq!(document["openapi"], "3.1.0");
        for (path, method, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(names.insert(name.to_owned()), "{method} {path}: {name:?} is there twice");
            assert!(is_said(&operation["summary"]), "{method} {path} does not say what it is for");
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.keys().any(|it| it.starts_with('2')), "{method} {path}");
            for (status, answer) in answers {
                assert!(is_said(&answer["description"]), "{method} {path}: {status}");
                let problem = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                let is_error = status.starts_with(['4', '5']);
                let is_problem = problem.as_str().is_some_and(|it| it.ends_with("Problem"));
                assert_eq!(is_problem, is_error, "{path}: {status}");
            }
        }
    }
}

#[test]
fn every_name_in_a_path_is_explained() {
    let fleet = TestFleet::start();
    for document in DOCUMENTS.map(|it| document(&fleet, it)) {
        for (path, method, operation) in operations(&document) {
            let named = operation["parameters"].as_array().into_iter().flatten();
            let named: Vec<&Value> = named.filter(|it| it["in"] == "path").collect();
            assert_eq!(path.matches('{').count(), named.len(), "{method} {path}");
            for parameter in named {
                let name = parameter["name"].as_str().unwrap_or_default();
                assert!(path.contains(&format!("{{{name}}}")), "{method} {path}: {name}");
                assert!(is_said(&parameter["description"]), "{method} {path}: {name}");
                let schema = &parameter["schema"];
                let bounded = is_said(&schema["pattern"]) || schema["format"] == "uuid";
                assert!(bounded, "{method} {path}: {name}");
            }
        }
    }
}

// margo(SP-18): all requests are signed but the download of the root certificate.
#[test]
fn what_has_to_be_signed_says_so() {
    let fleet = TestFleet::start();
    let document = document(&fleet, DOCUMENTS[0]);
    let scheme = &document["components"]["securitySchemes"]["signature"];
    assert_eq!(scheme["name"], "Signature");
    assert!(scheme["description"].as_str().is_some_and(|it| it.contains("@target-uri")));
    for (path, method, operation) in operations(&document) {
        let signed = operation["operationId"] != "getRootCertificate";
        let both = json!([{"signature": [], "signatureInput": []}]);
        assert_eq!(operation["security"] == both, signed, "{method} {path}");
        assert_eq!(operation["responses"].get("401").is_some(), signed, "{method} {path}");
        let has_body = operation.get("requestBody").is_some();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let digests = parameters.filter(|it| it["name"] == "Content-Digest").count();
        assert_eq!(digests, usize::from(has_body), "{method} {path}");
    }
}
