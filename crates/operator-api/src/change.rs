//! How a deployment differs between two desired states, and the order to return to a former one. The server
//! tells what a rollback changes, the command line how any two revisions differ, both in these words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Deployment, RevisionDocument, number};

/// What becomes of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// How a deployment differs between two desired states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentChange {
    pub deployment_id: String,
    /// What the deployment is called.
    pub name: String,
    pub application_id: String,
    pub what: ChangeKind,
    /// The version of the application before; absent where the deployment is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_before: Option<String>,
    /// The version of the application after; absent where the deployment is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_after: Option<String>,
    /// The values that operators gave, as far as they differ.
    pub parameters: Vec<ParameterChange>,
}

/// A parameter that has another value. Where one is absent the application's default holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterChange {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Order for a client what one of its revisions carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRollback {
    #[serde(deserialize_with = "number::whole")]
    #[schema(minimum = 1)]
    pub revision: u64,
    /// Why; it goes into the history.
    #[schema(min_length = 1)]
    pub reason: String,
    /// Only tell what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// The client's `newestOrder` as a dry run has told it. Where there is a newer order by now nothing is
    /// ordered, and 409 tells what was ordered meanwhile. Without it the order holds whatever that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "number::optional_whole")]
    pub newest_order: Option<u64>,
}

/// What a rollback changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    pub client_id: String,
    /// The revision whose content it returns to.
    pub revision: u64,
    pub dry_run: bool,
    /// By name. None where the client is to run that content already; then there is no new revision.
    pub changes: Vec<DeploymentChange>,
    /// The deployments that were changed, as they are now.
    pub deployments: Vec<Deployment>,
    /// The number of the client's newest order, this one included.
    #[serde(default)]
    pub newest_order: u64,
}

impl DeploymentChange {
    /// How a deployment differs; nothing where it does not. It is absent from a desired state that does
    /// not list it.
    pub fn between(
        before: Option<&RevisionDocument>,
        after: Option<&RevisionDocument>,
    ) -> Option<Self> {
        let (what, either) = match (before, after) {
            (None, None) => return None,
            (None, Some(after)) => (ChangeKind::Added, after),
            (Some(before), None) => (ChangeKind::Removed, before),
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(after)) => (ChangeKind::Changed, after),
        };
        let version = |it: Option<&RevisionDocument>| Some(it?.application_version.clone());
        Some(Self {
            deployment_id: either.deployment_id.clone(),
            name: either.name.clone(),
            application_id: either.application_id.clone(),
            what,
            version_before: version(before),
            version_after: version(after),
            parameters: parameters(before.map(|it| &it.parameters), after.map(|it| &it.parameters)),
        })
    }
}

fn parameters(
    before: Option<&BTreeMap<String, Value>>,
    after: Option<&BTreeMap<String, Value>>,
) -> Vec<ParameterChange> {
    let names = before.into_iter().chain(after).flat_map(BTreeMap::keys);
    let names: BTreeSet<&String> = names.collect();
    let value = |values: Option<&BTreeMap<String, Value>>, name| values?.get(name).cloned();
    let changes = names.into_iter().map(|name| ParameterChange {
        name: name.clone(),
        before: value(before, name),
        after: value(after, name),
    });
    changes.filter(|it| it.before != it.after).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(version: &str, parameters: &Value) -> RevisionDocument {
        serde_json::from_value(json!({
            "deploymentId": "d", "name": "hello", "applicationId": "a", "applicationVersion": version,
            "parameters": parameters, "digest": "sha256:0", "yaml": "",
        }))
        .expect("a document")
    }

    #[test]
    fn what_stays_is_left_out() {
        let before = document("1", &json!({"greeting": "Hello", "port": 1, "site": "A"}));
        let after = document("2", &json!({"greeting": "Moin", "colour": "red", "site": "A"}));
        assert_eq!(DeploymentChange::between(Some(&before), Some(&before)), None);
        assert_eq!(DeploymentChange::between(None, None), None);
        let change = DeploymentChange::between(Some(&before), Some(&after)).expect("they differ");
        assert_eq!(
            serde_json::to_value(change).expect("JSON"),
            json!({
                "deploymentId": "d", "name": "hello", "applicationId": "a", "what": "changed",
                "versionBefore": "1", "versionAfter": "2", "parameters": [
                    {"name": "colour", "after": "red"},
                    {"name": "greeting", "before": "Hello", "after": "Moin"},
                    {"name": "port", "before": 1},
                ],
            })
        );
    }

    #[test]
    fn what_is_in_one_state_alone_is_added_or_removed() {
        let document = document("1", &json!({"port": 1}));
        let added = DeploymentChange::between(None, Some(&document)).expect("a change");
        assert_eq!((added.what, added.version_before), (ChangeKind::Added, None));
        assert_eq!(added.parameters[0].after, Some(json!(1)));
        let removed = DeploymentChange::between(Some(&document), None).expect("a change");
        assert_eq!((removed.what, removed.version_after), (ChangeKind::Removed, None));
        assert_eq!(removed.parameters[0].before, Some(json!(1)));
    }
}
