//! `gantry desired-state diff`: what differs between two revisions of a client.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use operator_api::{Client, DeploymentChange, Revision, RevisionDocument};
use serde::Serialize;
use similar::TextDiff;

use super::{Context, revision_of};
use crate::failure::Failure;
use crate::{changes, output, table};

/// Where two documents have little in common, a coarser comparison after this time does as well.
const LONGEST_COMPARISON: Duration = Duration::from_secs(1);

/// What differs between two revisions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    client_id: String,
    from: u64,
    to: u64,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
struct Change {
    #[serde(flatten)]
    change: DeploymentChange,
    /// Of the documents, in the unified format; empty where they are the same.
    diff: String,
}

pub(super) fn run(
    client: &Client,
    from: Option<u64>,
    to: Option<u64>,
    context: &Context,
) -> Result<()> {
    let (from, to) = which(client, from, to)?;
    let before = revision_of(client, Some(from), context)?;
    let after = revision_of(client, Some(to), context)?;
    let difference = between(&client.id, &before, &after);
    output::result(context.format, &difference, text)
}

/// The revisions to compare.
fn which(client: &Client, from: Option<u64>, to: Option<u64>) -> Result<(u64, u64), Failure> {
    let nothing = |why| Failure::NotFound(format!("{} has {why} to compare", client.name));
    let to = to.or(client.revision).ok_or_else(|| nothing("no revision yet"))?;
    let before = Some(to - 1).filter(|it| *it > 0);
    let from = from.or(before).ok_or_else(|| nothing("no revision before the first one"))?;
    Ok((from, to))
}

fn between(client: &str, before: &Revision, after: &Revision) -> Difference {
    let (from, to) = (before.summary.number, after.summary.number);
    let mut pairs: BTreeMap<[&str; 2], [Option<&RevisionDocument>; 2]> = BTreeMap::new();
    for (place, revision) in [before, after].into_iter().enumerate() {
        for document in &revision.documents {
            // By name, as people look for them.
            let key = [document.name.as_str(), document.deployment_id.as_str()];
            pairs.entry(key).or_default()[place] = Some(document);
        }
    }
    let changes = pairs.into_values().filter_map(|[before, after]| {
        let change = DeploymentChange::between(before, after)?;
        Some(Change { change, diff: unified((before, from), (after, to)) })
    });
    Difference { client_id: client.to_owned(), from, to, changes: changes.collect() }
}

/// The difference of the documents; a deployment that is not listed has none.
fn unified(
    (before, from): (Option<&RevisionDocument>, u64),
    (after, to): (Option<&RevisionDocument>, u64),
) -> String {
    let yaml = |it: Option<&RevisionDocument>| it.map(|it| it.yaml.clone()).unwrap_or_default();
    let name = |it: Option<&RevisionDocument>, revision| match it {
        Some(it) => format!("deployments/{}.yaml (revision {revision})", it.deployment_id),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (yaml(before), yaml(after));
    TextDiff::configure()
        .timeout(LONGEST_COMPARISON)
        .diff_lines(&old, &new)
        .unified_diff()
        .header(&name(before, from), &name(after, to))
        .to_string()
}

fn text(difference: &Difference) -> String {
    let Difference { from, to, .. } = difference;
    if difference.changes.is_empty() {
        return format!("Revisions {from} and {to} have the same content.\n");
    }
    let paragraphs: Vec<String> = difference
        .changes
        .iter()
        .map(|it| changes::paragraph(&it.change) + &table::clean_lines(&it.diff))
        .collect();
    paragraphs.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(revision: Option<u64>) -> Client {
        serde_json::from_value(json!({
            "id": "c", "name": "press-7", "standing": "approved", "certificateFingerprint": "f",
            "onboardedAt": "t", "revision": revision, "devices": [],
            "contact": {"standing": "never"},
        }))
        .expect("a client")
    }

    #[test]
    fn the_newest_revision_is_compared_with_the_one_before_it() {
        let which = |newest, from, to| which(&client(newest), from, to);
        assert_eq!(which(Some(5), None, None).expect("two"), (4, 5));
        assert_eq!(which(Some(5), Some(2), None).expect("two"), (2, 5));
        assert_eq!(which(Some(5), Some(4), Some(2)).expect("two"), (4, 2));
        for newest in [None, Some(1)] {
            assert!(matches!(which(newest, None, None), Err(Failure::NotFound(_))), "{newest:?}");
        }
    }
}
