//! Which files the Compose files of a package name, judged before Compose opens any of them.
//!
//! What Compose has resolved does not tell any more where it came from: an `include`, `extends` or
//! `env_file` that leads out of the package would bring another workload's secrets into this one's
//! containers. So these may name files of the package alone, by relative paths, margo(R-32, R-33).
//! Host paths that are only mounted (`volumes`, `configs`, `secrets`) are judged in the model.

use std::collections::BTreeSet;

use margo_contract::compose_archive::ComposeArchive;
use margo_contract::yaml;
use serde_json::Value;

use super::package::COMPOSE_FILE;
use crate::{Failure, code};

/// Line breaks, and marks of the byte order, to some readers of YAML and not to others: with these a
/// file could say one thing to us and another thing to Compose.
const AMBIGUOUS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// A file of the host that a Compose file of the package names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outside {
    /// The key that names it, such as `extends`.
    pub(super) key: &'static str,
    pub(super) path: String,
}

/// The files outside of the package that its Compose files name.
///
/// # Errors
/// [`code::BAD_PACKAGE`] where a Compose file is not in the package, or not plain YAML.
pub(super) fn outside(archive: &ComposeArchive) -> Result<Vec<Outside>, Failure> {
    let mut outside = Vec::new();
    let mut to_read = vec![COMPOSE_FILE.to_owned()];
    let mut read = BTreeSet::new();
    while let Some(path) = to_read.pop() {
        let Some(bytes) = archive.files().get(&path) else { continue };
        if !read.insert(path.clone()) {
            continue;
        }
        let mut named = Vec::new();
        search(&tree(&path, bytes)?, &mut named);
        for Named { key, path, is_compose } in named {
            if !stays_inside(&path) {
                outside.push(Outside { key, path });
            } else if is_compose {
                to_read.extend(candidates(archive, &path)?);
            }
        }
    }
    Ok(outside)
}

/// A file that is named.
struct Named {
    key: &'static str,
    path: String,
    /// Whether it is a Compose file, which may name more.
    is_compose: bool,
}

fn tree(path: &str, bytes: &[u8]) -> Result<Value, Failure> {
    let bad = |why: &str| {
        Failure::new(code::BAD_PACKAGE, format!("`{path}` of the package cannot be used: {why}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(AMBIGUOUS) {
        return Err(bad("it has a line break that not every reader of YAML takes for one"));
    }
    yaml::parse(text.as_bytes()).map_err(|error| bad(&crate::chain(&error)))
}

/// Finds the keys at any depth: wherever an anchor or a merge key carries them, they are found where
/// they are written.
fn search(tree: &Value, named: &mut Vec<Named>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|it| search(it, named)),
        Value::Object(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "include" => list(value).for_each(|it| included(it, named)),
                    "extends" => add("extends", &value["file"], true, named),
                    "env_file" => env_files("env_file", value, named),
                    "label_file" => env_files("label_file", value, named),
                    _ => {}
                }
                search(value, named);
            }
        }
        _ => {}
    }
}

fn included(it: &Value, named: &mut Vec<Named>) {
    if it.is_object() {
        list(&it["path"]).for_each(|path| add("include", path, true, named));
        add("include", &it["project_directory"], false, named);
    } else {
        add("include", it, true, named);
    }
}

fn env_files(key: &'static str, value: &Value, named: &mut Vec<Named>) {
    for it in list(value) {
        let path = if it.is_object() { &it["path"] } else { it };
        add(key, path, false, named);
    }
}

fn add(key: &'static str, path: &Value, is_compose: bool, named: &mut Vec<Named>) {
    if let Some(path) = path.as_str() {
        named.push(Named { key, path: path.to_owned(), is_compose });
    }
}

/// The members of a list, or the one that stands for a list.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Value::Array(many) => (None, many.as_slice()),
        one => (Some(one), &[][..]),
    };
    one.into_iter().chain(many)
}

/// Whether a path can only lead to a file of the package, whatever folder it is relative to and
/// whatever the parameters are.
fn stays_inside(path: &str) -> bool {
    let leads_away = path.starts_with(['/', '~']) || path.contains(['$', ':', '\\']);
    !leads_away && path.split('/').all(|segment| segment != "..")
}

/// The files that can be meant. What a path is relative to depends on who includes whom; each file
/// that it fits is read.
fn candidates(archive: &ComposeArchive, path: &str) -> Result<Vec<String>, Failure> {
    let segments: Vec<&str> = path.split('/').filter(|it| !["", "."].contains(it)).collect();
    let below = format!("/{}", segments.join("/"));
    let fits = |it: &&String| it.ends_with(&below) || **it == below[1..];
    let found: Vec<String> = archive.files().keys().filter(fits).cloned().collect();
    if found.is_empty() {
        let shown: String = path.chars().take(80).collect();
        let message = format!("the package names a Compose file `{shown}` that it does not have");
        return Err(Failure::new(code::BAD_PACKAGE, message));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(compose: &str, more: &[(&str, &str)]) -> Result<Vec<String>, Failure> {
        let main = [(COMPOSE_FILE, compose)];
        let files = more.iter().chain(&main);
        let files = files.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        let archive = ComposeArchive::of_files(files.collect()).expect("a good archive");
        Ok(outside(&archive)?.into_iter().map(|it| format!("{} {}", it.key, it.path)).collect())
    }

    // margo(R-32)
    #[test]
    fn files_of_the_package_are_found_however_they_are_named() {
        // margo(R-32)
        let compose = "include: [a/one.yaml, {path: [./two.yaml], project_directory: a, env_file: \
                       a/e.env}]\nservices:\n  web:\n    extends: {file: a/base.yaml, service: x}\n    \
                       env_file: [web.env, {path: a/b.env, required: false}]\n  db: {extends: web}\n";
        let files =
            [("a/one.yaml", "{}"), ("a/two.yaml", "{}"), ("two.yaml", ""), ("a/base.yaml", "{}")];
        assert_eq!(named(compose, &files), Ok(vec![]));
    }

    #[test]
    fn files_of_the_host_are_found_wherever_they_are_named() {
        // margo(R-33)
        for (compose, expected) in [
            ("include: [/etc/x.yaml]", "include /etc/x.yaml"),
            ("include: ['https://github.com/x/y.git']", "include https://github.com/x/y.git"),
            ("include: ['git@github.com:x/y.git']", "include git@github.com:x/y.git"),
            ("include: ['oci://r/x']", "include oci://r/x"),
            ("include: [{path: ../x.yaml}]", "include ../x.yaml"),
            ("include: [{path: b.yaml, project_directory: /etc}]", "include /etc"),
            ("include: [{path: b.yaml, env_file: [/etc/s.env]}]", "env_file /etc/s.env"),
            (
                "services: {w: {extends: {file: a/../../m.json, service: w}}}",
                "extends a/../../m.json",
            ),
            ("services: {w: {env_file: '${F}'}}", "env_file ${F}"),
            ("services: {w: {env_file: [{path: ~/x}]}}", "env_file ~/x"),
            ("services: {w: {label_file: /etc/x}}", "label_file /etc/x"),
            ("x-a: &a {env_file: /etc/x}\nservices: {w: {<<: *a}}", "env_file /etc/x"),
            ("<<: {include: [/etc/x]}", "include /etc/x"),
            ("services: {w: {!!binary ZW52X2ZpbGU=: /etc/x}}", "env_file /etc/x"),
            ("services: {w: {\"env_\\x66ile\": !reset /etc/x}}", "env_file /etc/x"),
            ("include: [b.yaml]", "extends /etc/y"),
        ] {
            let more = [("b.yaml", "services: {v: {extends: {file: /etc/y, service: v}}}")];
            let found = named(compose, &more).expect(compose);
            assert!(found.contains(&expected.to_owned()), "{compose}: {found:?}");
        }
    }

    #[test]
    fn a_file_that_two_readers_could_understand_otherwise_is_refused() {
        for compose in [
            "x: 1 # \u{2028}include: [/etc/x]",
            "x: 1 # \u{85}include: [/etc/x]",
            "x: 1\n---\ninclude: [/etc/x]",
            "include: [a]\ninclude: [/etc/x]",
            "include: [missing.yaml]",
            "a: [",
        ] {
            let failure = named(compose, &[("a", "")]).expect_err(compose);
            assert_eq!(failure.code, code::BAD_PACKAGE, "{compose}");
        }
    }
}
