//! Writes `docs/conformance.md`. No line numbers: the file changes when a rule moves, and not with
//! every edit.

use std::fmt::Write;

use super::marks::{Mark, Role};
use super::rules::{Rule, Rules, Section};

const HEAD: &str = "\
<!-- Written by `cargo xtask conformance` from conformance.toml and the code. Do not edit. -->

# Conformance

Each rule of the Margo Management API that Gantry goes by, in our own words: where it is kept, and which test proves it.
Paths begin below `crates/`. *MUST*, *SHOULD* and *MAY* are the specification's words; a *fact* binds nobody; *ours* is
settled by Gantry where the specification is silent or contradicts itself. The rules of sections 2 to 15 are those of
the newer generation (mutual TLS); Gantry builds the signed profile, section 16 says where it differs. A source file that
names a section of the contract means the one with that number here.
";

/// The whole file.
pub(super) fn markdown(rules: &Rules, marks: &[Mark]) -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\n{}", summary(rules, marks));
    for section in &rules.sections {
        let Section { number, title, rules, .. } = section;
        let _ = writeln!(text, "\n## §{number} {title}\n");
        text.push_str("| Rule | | What it says | Where | Test |\n|---|---|---|---|---|\n");
        for rule in rules {
            text.push_str(&row(rule, marks));
        }
    }
    text
}

fn summary(rules: &Rules, marks: &[Mark]) -> String {
    let all = rules.all().count();
    let unbuilt = rules.all().filter(|(_, rule)| rule.explanation.is_some()).count();
    let tested = rules
        .all()
        .filter(|(_, rule)| marks.iter().any(|it| it.rule == rule.id && it.role == Role::Test))
        .count();
    let built = all - unbuilt;
    format!("{all} rules: {built} built, {tested} of them with a test; {unbuilt} explained.")
}

fn row(rule: &Rule, marks: &[Mark]) -> String {
    let Rule { id, strength, says, explanation, note } = rule;
    let strength = strength.name();
    let says = match note {
        Some(note) => format!("{says} *{note}*"),
        None => says.clone(),
    };
    match explanation {
        Some(why) => format!("| {id} | {strength} | {says} | {why} | |\n"),
        None => {
            let [code, tests] = [Role::Code, Role::Test].map(|role| places(id, role, marks));
            format!("| {id} | {strength} | {says} | {code} | {tests} |\n")
        }
    }
}

/// Each place once, sorted.
fn places(id: &str, role: Role, marks: &[Mark]) -> String {
    let mut places: Vec<_> = marks
        .iter()
        .filter(|mark| mark.rule == id && mark.role == role)
        .map(|mark| format!("`{}`", mark.place))
        .collect();
    places.sort();
    places.dedup();
    places.join("<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[[section]]
number = '7.2'
title = 'Status'
rules = [
  { id = 'S-1', strength = 'MUST', says = 'One.', note = 'Ours.' },
  { id = 'S-2', strength = 'OURS', says = 'Two.', explanation = 'Later.' },
]";

    #[test]
    fn a_rule_has_its_places_once_each_and_an_unbuilt_one_its_explanation() {
        let rules = Rules::parse(RULES).expect("the test writes a valid list");
        let mark = |place: &str, role| Mark { rule: "S-1".into(), place: place.into(), role };
        let marks = [
            mark("b.rs: g", Role::Code),
            mark("a.rs: f", Role::Code),
            mark("a.rs: f", Role::Code),
            mark("t.rs::t", Role::Test),
        ];
        let text = markdown(&rules, &marks);
        assert!(text.contains("2 rules: 1 built, 1 of them with a test; 1 explained."), "{text}");
        assert!(
            text.ends_with(
                "## §7.2 Status\n\n| Rule | | What it says | Where | Test |\n|---|---|---|---|---|\n\
                 | S-1 | MUST | One. *Ours.* | `a.rs: f`<br>`b.rs: g` | `t.rs::t` |\n\
                 | S-2 | ours | Two. | Later. | |\n"
            ),
            "{text}"
        );
    }
}
