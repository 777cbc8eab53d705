//! The list of rules, as `docs/conformance.toml` holds it.

use std::collections::HashSet;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

/// All rules, section by section, in the order of the specification's digest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    #[serde(rename = "section")]
    pub(super) sections: Vec<Section>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) number: String,
    pub(super) title: String,
    /// Whether each rule of it that is built needs a test.
    #[serde(default)]
    pub(super) tested: bool,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) strength: Strength,
    pub(super) says: String,
    /// Why it is not built.
    pub(super) explanation: Option<String>,
    /// How it is read where the specification leaves room, or what is left out of it.
    pub(super) note: Option<String>,
}

/// How binding a rule is. `Ours` is what the specification leaves open and this product has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Strength {
    Must,
    Should,
    May,
    Fact,
    Ours,
}

impl Rules {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let rules: Self = toml::from_str(text)?;
        let mut seen = HashSet::new();
        for (_, rule) in rules.all() {
            ensure!(is_id(&rule.id), "`{}` is no id of a rule", rule.id);
            ensure!(seen.insert(&rule.id), "{} is listed twice", rule.id);
            for text in [Some(&rule.says), rule.explanation.as_ref(), rule.note.as_ref()] {
                match text {
                    Some(text) if text.contains(['|', '\n']) || !text.ends_with('.') => {
                        bail!(
                            "{}: a text is one sentence or more, in one line without `|`",
                            rule.id
                        )
                    }
                    Some(_) | None => {}
                }
            }
        }
        Ok(rules)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Section, &Rule)> {
        self.sections
            .iter()
            .flat_map(|section| section.rules.iter().map(move |rule| (section, rule)))
    }
}

impl Strength {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Fact => "fact",
            Self::Ours => "ours",
        }
    }
}

/// Whether a text is the id of a rule: one or two capitals, a dash, a number.
pub(super) fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(letters, number)| {
        matches!(letters.len(), 1 | 2)
            && letters.bytes().all(|it| it.is_ascii_uppercase())
            && !number.is_empty()
            && number.bytes().all(|it| it.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rules: &str) -> Result<Rules> {
        Rules::parse(&format!("[[section]]\nnumber = '7'\ntitle = 'Status'\nrules = [{rules}]"))
    }

    #[test]
    fn ids_are_capitals_and_a_number() {
        for id in ["S-1", "SP-12", "X-02"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["S1", "s-1", "SPX-1", "S-", "-1", "S-1a", "§16.2", ""] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn a_rule_is_listed_once() {
        let rule = "{ id = 'S-1', strength = 'MUST', says = 'One.' }";
        assert_eq!(list(rule).expect("one rule").all().count(), 1);
        assert!(list(&format!("{rule}, {rule}")).is_err());
    }

    #[test]
    fn what_would_break_the_table_is_refused() {
        assert!(list("{ id = 'S-1', strength = 'MUST', says = 'a|b.' }").is_err());
        assert!(list("{ id = 'S-1', strength = 'MUST', says = '' }").is_err());
        assert!(list("{ id = 'S-1', strength = 'NEVER', says = 'One.' }").is_err());
    }
}
