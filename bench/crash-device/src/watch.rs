//! What the engine says that it did: whether a container was made or ran beside another one for the same
//! component, and whether a volume was removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::client;
use testkit::programs::Running;

/// The events of the engine from now on.
pub(crate) struct Watch {
    // Ends with this value.
    _program: Running,
    events: PathBuf,
    prefix: String,
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What was doubled, for people.
    pub(crate) doubled: Vec<String>,
    /// The names of volumes that were removed.
    pub(crate) volumes_removed: Vec<String>,
    /// Containers that are there.
    pub(crate) left: usize,
}

impl Watch {
    /// Watches what belongs to projects whose names begin with this prefix.
    pub(crate) fn start(prefix: &str, folder: &Path) -> Self {
        let events = folder.join("engine-events");
        let since = client::now().to_string();
        let mut command = Command::new("docker");
        command.args(["events", "--since", &since, "--format", "{{json .}}"]);
        for filter in ["type=container", "type=volume"] {
            command.args(["--filter", filter]);
        }
        for event in ["create", "start", "die", "destroy"] {
            command.args(["--filter", &format!("event={event}")]);
        }
        let program = Running::start_apart(&mut command, &events, &folder.join("engine-errors"));
        Self { _program: program, events, prefix: prefix.to_owned() }
    }

    /// What was seen up to now.
    pub(crate) fn seen(&self) -> Seen {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let events = whole.lines().filter_map(|line| serde_json::from_str(line).ok());
        read(events, &self.prefix)
    }
}

#[derive(Debug)]
struct Container {
    component: (String, String),
    content: String,
    is_running: bool,
}

fn read(events: impl Iterator<Item = Value>, prefix: &str) -> Seen {
    let mut seen = Seen::default();
    let mut containers: BTreeMap<String, Container> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for event in events {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, action) = (text(&event["Type"]), text(&event["Action"]));
        let (id, attributes) = (text(&event["Actor"]["ID"]), &event["Actor"]["Attributes"]);
        // Those of the last second are told again at the start.
        if !known.insert((id.clone(), action.clone(), event["timeNano"].as_i64())) {
            continue;
        }
        if kind == "volume" {
            if action == "destroy" && id.starts_with(prefix) {
                seen.volumes_removed.push(id);
            }
            continue;
        }
        let label = |name: &str| text(&attributes[format!("com.docker.compose.{name}")]);
        let component = (label("project"), label("service"));
        if !component.0.starts_with(prefix) {
            continue;
        }
        let others = || containers.iter().filter(|(it, _)| **it != id).map(|(_, it)| it);
        match action.as_str() {
            "create" => {
                let content = label("config-hash");
                if others().any(|it| it.component == component && it.content == content) {
                    seen.doubled.push(format!("{component:?} was made a second time"));
                }
                containers.insert(id, Container { component, content, is_running: false });
            }
            "start" => {
                if others().any(|it| it.component == component && it.is_running) {
                    seen.doubled.push(format!("{component:?} ran twice"));
                }
                if let Some(it) = containers.get_mut(&id) {
                    it.is_running = true;
                }
            }
            "die" => {
                if let Some(it) = containers.get_mut(&id) {
                    it.is_running = false;
                }
            }
            _ => drop(containers.remove(&id)),
        }
    }
    seen.left = containers.len();
    seen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(place: usize, action: &str, id: &str, content: &str) -> Value {
        json!({"Type": "container", "Action": action, "timeNano": place, "Actor": {"ID": id,
            "Attributes": {"com.docker.compose.project": "life-a", "com.docker.compose.service": "web",
            "com.docker.compose.config-hash": content}}})
    }

    fn doubled(events: &[(&str, &str, &str)]) -> usize {
        let events = events.iter().enumerate();
        let events = events.map(|(place, (action, id, content))| event(place, action, id, content));
        read(events, "life").doubled.len()
    }

    #[test]
    fn a_container_that_is_replaced_by_one_with_other_content_is_no_second_one() {
        let life = [
            ("create", "1", "a"),
            ("start", "1", "a"),
            ("create", "2", "b"),
            ("die", "1", "a"),
            ("destroy", "1", "a"),
            ("start", "2", "b"),
        ];
        assert_eq!(doubled(&life), 0);
    }

    #[test]
    fn a_second_container_with_the_same_content_counts_and_one_that_runs_beside_it_too() {
        assert_eq!(doubled(&[("create", "1", "a"), ("create", "2", "a")]), 1);
        let removed = [("create", "1", "a"), ("destroy", "1", "a"), ("create", "2", "a")];
        assert_eq!(doubled(&removed), 0);
        let both =
            [("create", "1", "a"), ("create", "2", "b"), ("start", "1", ""), ("start", "2", "")];
        assert_eq!(doubled(&both), 1);
    }

    #[test]
    fn a_volume_that_is_removed_is_seen_and_what_others_do_is_not() {
        let removed = |id: &str| json!({"Type": "volume", "Action": "destroy", "timeNano": 1, "Actor": {"ID": id}});
        let seen = read([removed("life-a_data"), removed("other")].into_iter(), "life");
        assert_eq!(seen.volumes_removed, ["life-a_data"]);
    }
}
