//! `cargo xtask conformance`: which rule of the Margo Management API is kept where, and which test
//! proves it.
//!
//! The rules are listed in `docs/conformance.toml`, in our own words. Code says `margo(S-2): why` in
//! a comment where it keeps a rule, and tests say the same where they prove one. From both,
//! `docs/conformance.md` is written; `--check` writes nothing and tells what does not fit.

mod marks;
mod rules;
mod scan;
mod source;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use marks::{Mark, Role};
use rules::{Rule, Rules};

const RULES: &str = "docs/conformance.toml";
const TABLE: &str = "docs/conformance.md";

/// Writes the table, or with `--check` compares it. Every rule and mark that is not in order is a
/// fault; then nothing is written.
pub(crate) fn faults(root: &Path, option: Option<&str>) -> Result<Vec<String>> {
    let rules = Rules::parse(&read(&root.join(RULES))?).with_context(|| RULES.to_owned())?;
    let (marks, mut faults) = marks::of_tree(root)?;
    faults.extend(unknown_rules(&rules, &marks));
    faults.extend(rules.all().filter_map(|(section, rule)| fault_of(rule, section.tested, &marks)));
    if !faults.is_empty() {
        return Ok(faults);
    }
    let table = table::markdown(&rules, &marks);
    match option {
        None => fs::write(root.join(TABLE), table).with_context(|| format!("writing {TABLE}"))?,
        Some("--check") => {
            if fs::read_to_string(root.join(TABLE)).ok().as_deref() != Some(&table) {
                faults.push(format!("{TABLE}: not what the code says; `cargo xtask conformance`"));
            }
        }
        Some(other) => bail!("`{other}` is no option of `cargo xtask conformance`; --check is"),
    }
    Ok(faults)
}

fn unknown_rules<'a>(rules: &Rules, marks: &'a [Mark]) -> impl Iterator<Item = String> + 'a {
    let known: Vec<String> = rules.all().map(|(_, rule)| rule.id.clone()).collect();
    marks
        .iter()
        .filter(move |mark| !known.contains(&mark.rule))
        .map(|mark| format!("{}: margo({}) is no rule of {RULES}", mark.place, mark.rule))
}

/// What is wrong about one rule. A rule of a `tested` section needs a test wherever there is code.
fn fault_of(rule: &Rule, tested: bool, marks: &[Mark]) -> Option<String> {
    let has = |role| marks.iter().any(|mark| mark.rule == rule.id && mark.role == role);
    let fault = match (&rule.explanation, has(Role::Code), has(Role::Test)) {
        (None, false, _) => "has neither code nor an explanation",
        (Some(_), true, _) | (Some(_), _, true) => "is explained as not built, but marked as built",
        (None, true, false) if tested => "has no test",
        (None, true, _) | (Some(_), false, false) => return None,
    };
    Some(format!("{}: {fault}", rule.id))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(explanation: Option<&str>) -> Rule {
        Rule {
            id: "S-1".to_owned(),
            strength: rules::Strength::Must,
            says: "One entry for each component.".to_owned(),
            explanation: explanation.map(str::to_owned),
            note: None,
        }
    }

    fn mark(role: Role) -> Mark {
        Mark { rule: "S-1".to_owned(), place: "x.rs: f".to_owned(), role }
    }

    #[test]
    fn a_rule_needs_code_or_an_explanation_and_not_both() {
        assert!(fault_of(&rule(None), false, &[]).is_some());
        assert!(fault_of(&rule(None), false, &[mark(Role::Test)]).is_some());
        assert!(fault_of(&rule(Some("not yet")), false, &[mark(Role::Code)]).is_some());
        assert_eq!(fault_of(&rule(Some("not yet")), true, &[]), None);
        assert_eq!(fault_of(&rule(None), false, &[mark(Role::Code)]), None);
    }

    #[test]
    fn a_rule_of_a_tested_section_needs_a_test() {
        assert!(fault_of(&rule(None), true, &[mark(Role::Code)]).is_some());
        assert_eq!(fault_of(&rule(None), true, &[mark(Role::Code), mark(Role::Test)]), None);
    }

    #[test]
    fn a_mark_of_a_rule_that_is_not_listed_is_a_fault() {
        let rules = Rules::parse(
            "[[section]]\nnumber = '7'\ntitle = 'Status'\n\
             rules = [{ id = 'S-1', strength = 'MUST', says = 'One.' }]",
        )
        .expect("the test writes a valid list");
        let other = Mark { rule: "S-99".to_owned(), ..mark(Role::Code) };
        let marks = [mark(Role::Code), other];
        assert_eq!(unknown_rules(&rules, &marks).count(), 1);
    }
}
