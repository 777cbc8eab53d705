//! Every transition that the client wrote into its journal, and whether the fleet manager heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::operator::Operator;

/// A checksum and a blank stand before the JSON of a line.
const BEFORE_JSON: usize = 17;

/// The state of each component.
type Said = BTreeMap<String, String>;

/// What was ever in a journal.
pub(crate) struct Reports {
    file: PathBuf,
    read: Vec<u8>,
    known: BTreeSet<String>,
    noted: Vec<(String, Said)>,
    /// The numbers of those that have yet to be delivered.
    undelivered: BTreeSet<u64>,
    /// What the fleet manager has heard of each deployment.
    heard: BTreeMap<String, Heard>,
}

#[derive(Default)]
struct Heard {
    /// The number of the newest event that was read.
    newest: u64,
    said: Vec<Said>,
}

impl Reports {
    pub(crate) fn of(state_dir: &Path) -> Self {
        let file = state_dir.join("journal.log");
        Self {
            file,
            read: Vec::new(),
            known: BTreeSet::new(),
            noted: Vec::new(),
            undelivered: BTreeSet::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Takes in what is new in the journal. It keeps what was delivered until it is tidied, which happens
    /// once in many transitions, so that looking again and again misses nothing.
    pub(crate) fn look(&mut self) {
        let Ok(mut bytes) = fs::read(&self.file) else { return };
        bytes.truncate(bytes.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1));
        if bytes == self.read {
            return;
        }
        let is_longer = bytes.starts_with(&self.read);
        let fresh = if is_longer { &bytes[self.read.len()..] } else { &bytes[..] };
        if !is_longer {
            self.undelivered.clear();
        }
        for line in String::from_utf8_lossy(fresh).lines() {
            let json: Value = line
                .get(BEFORE_JSON..)
                .and_then(|it| serde_json::from_str(it).ok())
                .unwrap_or_else(|| panic!("a line of the journal that is no JSON: {line}"));
            if let Some(taken) = json["takenUpTo"].as_u64() {
                self.undelivered.retain(|it| *it > taken);
                continue;
            }
            self.undelivered.extend(json["noted"]["number"].as_u64());
            // One that was tidied says again what is yet to be delivered.
            if self.known.insert(line.to_owned()) || is_longer {
                self.noted.extend(transition(&json["noted"]["entry"]));
            }
        }
        self.read = bytes;
    }

    /// How many transitions have yet to be delivered.
    pub(crate) fn undelivered(&self) -> usize {
        self.undelivered.len()
    }

    /// The deployments that were reported about.
    pub(crate) fn deployments(&self) -> BTreeSet<&str> {
        self.noted.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// Takes in what the fleet manager has heard since. It keeps the newest few hundred events of a
    /// deployment, so that this has to be asked again and again.
    pub(crate) fn ask(&mut self, operator: &Operator) {
        let ids: BTreeSet<String> = self.deployments().into_iter().map(str::to_owned).collect();
        for id in ids {
            let heard = self.heard.entry(id.clone()).or_default();
            let events = operator.get(&format!("/deployments/{id}/events?after={}", heard.newest));
            for event in events["items"].as_array().expect("a list of events") {
                heard.newest = event["sequence"].as_u64().expect("an event has a number");
                if event["what"] == "reported" {
                    heard.said.push(states(&event["components"]));
                }
            }
        }
    }

    /// The transitions that the fleet manager did not hear of, in their order.
    pub(crate) fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        for id in self.deployments() {
            let noted = self.noted.iter().filter(|(it, _)| it == id).map(|(_, said)| said);
            let heard = self.heard.get(id).map_or(&[][..], |it| &it.said);
            lost.extend(missing(noted, heard).iter().map(|said| format!("{id}: {said:?}")));
        }
        lost
    }
}

fn transition(entry: &Value) -> Option<(String, Said)> {
    let id = entry["deployment"].as_str()?.to_owned();
    let document: Value = serde_json::from_str(entry["document"].as_str()?).ok()?;
    Some((id, states(&document["components"])))
}

fn states(components: &Value) -> Said {
    let components = components.as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    components.map(|it| (text(&it["name"]), text(&it["state"]))).collect()
}

/// What of `noted` is not in `heard` in the same order. What is said twice in a row may be heard once.
fn missing<'a>(noted: impl Iterator<Item = &'a Said>, heard: &[Said]) -> Vec<&'a Said> {
    let (mut missing, mut last, mut left) = (Vec::new(), None, heard);
    for said in noted {
        if last == Some(said) {
            continue;
        }
        last = Some(said);
        match left.iter().position(|it| it == said) {
            Some(place) => left = &left[place + 1..],
            None => missing.push(said),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(states: &[&str]) -> Vec<Said> {
        let said = |it: &&str| Said::from([("web".to_owned(), (*it).to_owned())]);
        states.iter().map(said).collect()
    }

    #[test]
    fn what_is_heard_in_order_is_not_missing_and_the_rest_is() {
        let noted = said(&["pending", "installing", "installing", "installed", "removed"]);
        let all = said(&["pending", "installing", "failed", "installed", "removed"]);
        assert!(missing(noted.iter(), &all).is_empty());
        let swapped = said(&["installing", "pending", "installed", "removed"]);
        assert_eq!(missing(noted.iter(), &swapped).len(), 1);
        assert_eq!(missing(noted.iter(), &all[..3]).len(), 2);
    }

    #[test]
    fn a_journal_that_was_tidied_is_not_counted_twice() {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let line = |number: u32, state: &str| {
            let document = format!(r#"{{"components": [{{"name": "web", "state": "{state}"}}]}}"#);
            let entry = serde_json::json!({"deployment": "d", "document": document});
            let json = serde_json::json!({"noted": {"number": number, "entry": entry}});
            format!("0123456789abcdef {json}\n")
        };
        let mut reports = Reports::of(folder.path());
        let (first, second) = (line(0, "pending"), line(1, "installing"));
        let taken = format!("{second}0123456789abcdef {{\"takenUpTo\":1}}\n");
        for (journal, undelivered) in [
            (&first, 1),
            (&format!("{first}{second}"), 2),
            (&second, 1),
            (&format!("{second}half"), 1),
            (&taken, 0),
        ] {
            fs::write(folder.path().join("journal.log"), journal).expect("writable");
            reports.look();
            assert_eq!(reports.undelivered(), undelivered);
        }
        let noted: Vec<Said> = reports.noted.iter().map(|(_, said)| said.clone()).collect();
        assert_eq!(noted, said(&["pending", "installing"]));
    }
}
