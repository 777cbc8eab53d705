//! Finds the marks: comments that say `margo(S-2)` or `margo(S-1, S-2): why`.

use std::path::Path;

use anyhow::Result;

use super::scan::{self, Line};
use super::{rules, source};

/// A comment that names a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) rule: String,
    /// A file below `crates/`, and the item in it.
    pub(super) place: String,
    pub(super) role: Role,
}

/// What a mark says of the place where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The rule is kept here.
    Code,
    /// The rule is proved here.
    Test,
}

/// All marks of the product, and what is wrong with some of them.
pub(super) fn of_tree(root: &Path) -> Result<(Vec<Mark>, Vec<String>)> {
    let (mut marks, mut faults) = (Vec::new(), Vec::new());
    let crates = root.join("crates");
    let mut files = Vec::new();
    crate::rust_files(&crates, &mut files)?;
    for file in files {
        let name = file.strip_prefix(&crates).unwrap_or(&file).display().to_string();
        let (found, wrong) = of_file(&name, &super::read(&file)?);
        marks.extend(found);
        faults.extend(wrong);
    }
    Ok((marks, faults))
}

fn of_file(name: &str, text: &str) -> (Vec<Mark>, Vec<String>) {
    let lines = scan::lines(text);
    let (mut marks, mut faults) = (Vec::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        for named in line.comment.split("margo(").skip(1) {
            match ids(named) {
                Some(ids) => match place(name, &lines, at) {
                    Ok((place, role)) => marks.extend(ids.map(|rule| Mark {
                        rule: rule.to_owned(),
                        place: place.clone(),
                        role,
                    })),
                    Err(fault) => faults.push(format!("{name}:{}: {fault}", at + 1)),
                },
                None => faults.push(format!("{name}:{}: a mark is `margo(ID, ID)`", at + 1)),
            }
        }
    }
    (marks, faults)
}

fn ids(named: &str) -> Option<impl Iterator<Item = &str>> {
    let (ids, _) = named.split_once(')')?;
    ids.split(", ").all(rules::is_id).then(|| ids.split(", "))
}

/// What a mark is about: an item of the product, or a test. Helpers of tests are neither.
fn place(name: &str, lines: &[Line], at: usize) -> Result<(String, Role), &'static str> {
    let place = source::place_of(lines, at);
    let whole_file = lines[at].comment.starts_with('!');
    let is_test_file =
        name.contains("/tests/") || name.ends_with("/tests.rs") || name.starts_with("testkit/");
    let role = if place.in_test || place.above_tests {
        Role::Test
    } else if whole_file && is_test_file {
        if !source::has_tests(lines) {
            return Err("a mark for all tests of a file without any");
        }
        Role::Test
    } else if is_test_file || place.in_test_module {
        return Err("a mark in what belongs to tests, but outside of a test");
    } else {
        Role::Code
    };
    let item = place.items.join("::");
    let separator = match role {
        _ if item.is_empty() => "",
        Role::Test => "::",
        Role::Code => ": ",
    };
    Ok((format!("{name}{separator}{item}"), role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<(String, String, Role)> {
        let (marks, faults) = of_file(name, text);
        assert!(faults.is_empty(), "{faults:?}");
        marks.into_iter().map(|it| (it.rule, it.place, it.role)).collect()
    }

    fn faults(name: &str, text: &str) -> Vec<String> {
        of_file(name, text).1
    }

    fn code(rule: &str, place: &str) -> (String, String, Role) {
        (rule.to_owned(), place.to_owned(), Role::Code)
    }

    fn test(rule: &str, place: &str) -> (String, String, Role) {
        (rule.to_owned(), place.to_owned(), Role::Test)
    }

    const CODE: &str = r##"//! Reports (margo(S-4)).

/// One for each component (margo(S-1)).
#[derive(Debug)]
pub(crate) struct Report {
    // margo(V-1)
    adopted: u64,
}

impl<T: Into<u64>> Hear for Report {
    // margo(S-2, S-3): the gravest speaks.
    pub async fn hear<'a>(
        &'a self,
        text: &str,
    ) -> Result<(), Refused> {
        let yaml = "
fn not_an_item() {
// margo(X-1)
";
        let raw = r#"// margo(X-2)"#;
        let mark = ('"', '\'', "margo(X-3)");
        if text == yaml {
            // margo(S-5).
            return Ok(());
        }
        other() // margo(S-6)
    }
}

const LARGEST: u64 = 7; // margo(S-7)
"##;

    #[test]
    fn a_mark_belongs_to_the_item_below_it_or_else_around_it() {
        assert_eq!(
            found("a/src/report.rs", CODE),
            [
                code("S-4", "a/src/report.rs"),
                code("S-1", "a/src/report.rs: Report"),
                code("V-1", "a/src/report.rs: Report"),
                code("S-2", "a/src/report.rs: Report::hear"),
                code("S-3", "a/src/report.rs: Report::hear"),
                code("S-5", "a/src/report.rs: Report::hear"),
                code("S-6", "a/src/report.rs: Report::hear"),
                code("S-7", "a/src/report.rs: LARGEST"),
            ]
        );
    }

    const TESTS: &str = "//! margo(S-8): all of them.

// margo(S-1): none is left out.
#[tokio::test]
async fn one_entry_for_each() {
    // margo(S-2)
    assert!(true);
}
";

    #[test]
    fn a_mark_of_a_test_is_a_test_and_one_of_a_test_file_is_all_its_tests() {
        let name = "a/tests/stories/status.rs";
        assert_eq!(
            found(name, TESTS),
            [
                test("S-8", name),
                test("S-1", "a/tests/stories/status.rs::one_entry_for_each"),
                test("S-2", "a/tests/stories/status.rs::one_entry_for_each"),
            ]
        );
    }

    #[test]
    fn a_test_beside_the_code_is_a_test() {
        let text = "fn f() {}\n\n// margo(S-9)\n#[cfg(test)]\nmod tests {\n    // margo(S-1)\n    \
                    #[test]\n    fn t() {}\n}\n";
        assert_eq!(
            found("a/src/x.rs", text),
            [test("S-9", "a/src/x.rs"), test("S-1", "a/src/x.rs::t")]
        );
    }

    #[test]
    fn a_mark_at_what_helps_tests_proves_nothing() {
        let helper = "//! Help.\n\n// margo(S-1)\nfn help() {}\n";
        assert_eq!(faults("a/tests/stories/support.rs", helper).len(), 1);
        assert_eq!(faults("testkit/src/server.rs", helper).len(), 1);
        assert_eq!(faults("a/tests/x.rs", "//! margo(S-1)\n").len(), 1);
        let inner = "#[cfg(test)]\nmod tests {\n    // margo(S-1)\n    fn help() {}\n}\n";
        assert_eq!(faults("a/src/x.rs", inner).len(), 1);
    }

    #[test]
    fn a_mark_names_ids_and_nothing_else() {
        for text in ["// margo(§16.2)", "// margo(S-1,S-2)", "// margo(S-1", "// margo()"] {
            assert_eq!(faults("a/src/x.rs", &format!("{text}\nfn f() {{}}\n")).len(), 1, "{text}");
        }
    }
}
