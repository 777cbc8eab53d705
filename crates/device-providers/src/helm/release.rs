//! What Helm knows of a release: its revisions, and what of it is in the cluster.

use std::collections::BTreeMap;
use std::{fmt, iter};

use serde::Deserialize;
use serde_json::Value;

use crate::{Failure, Workload, code};

const LONGEST_NAME: usize = 53;
const LONGEST_NAMESPACE: usize = 63;

/// Which release is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Release<'a> {
    /// The release of a workload.
    ///
    /// # Errors
    /// [`code::BAD_PARAMETER`] for a name that Helm or Kubernetes would refuse or take for an option.
    pub(super) fn of(workload: &'a Workload) -> Result<Self, Failure> {
        let refused = |name: &str, of: &str| {
            Failure::new(code::BAD_PARAMETER, format!("`{name}` cannot be the name of a {of}"))
        };
        let Workload { name, namespace, .. } = workload;
        if !is_label(name, LONGEST_NAME) {
            return Err(refused(name, "Helm release"));
        }
        if !is_label(namespace, LONGEST_NAMESPACE) {
            return Err(refused(namespace, "Kubernetes namespace"));
        }
        Ok(Self { name, namespace })
    }
}

/// Whether this is a label of RFC 1123.
fn is_label(name: &str, longest: usize) -> bool {
    let is_inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    !name.is_empty()
        && name.len() <= longest
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// How a revision stands with Helm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Deployed,
    Superseded,
    Failed,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
    Uninstalling,
    Uninstalled,
    #[serde(other)]
    Unknown,
}

/// A revision, as `helm history` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Revision {
    pub(super) revision: u32,
    pub(super) status: Status,
    /// Name and version.
    chart: String,
    #[serde(default)]
    app_version: String,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {} (chart {}", self.revision, self.chart)?;
        if !self.app_version.is_empty() {
            write!(f, ", app version {}", self.app_version)?;
        }
        f.write_str(")")
    }
}

/// The revisions of a release, the oldest first; none when there is no release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct History(Vec<Revision>);

impl History {
    pub(super) fn last(&self) -> Option<&Revision> {
        self.0.last()
    }

    /// The newest revision that Helm has seen run.
    pub(super) fn deployed(&self) -> Option<&Revision> {
        self.0.iter().rfind(|it| it.status == Status::Deployed)
    }
}

/// A release and what of it is in the cluster, as `helm status` tells.
#[derive(Debug, Deserialize)]
pub(super) struct Live {
    info: Info,
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    pub(super) version: u32,
}

#[derive(Debug, Deserialize)]
struct Info {
    status: Status,
    /// By version and kind. What is not in the cluster is left out.
    #[serde(default)]
    resources: BTreeMap<String, Vec<Object>>,
}

/// Something in the cluster, or of a chart's manifest.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Object {
    #[serde(default, rename = "apiVersion")]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: Value,
    #[serde(default)]
    pub(super) status: Value,
    /// Of a ConfigMap.
    #[serde(default)]
    pub(super) data: Value,
    /// Of a ConfigMap.
    #[serde(default, rename = "binaryData")]
    pub(super) binary_data: Value,
    /// Of a list.
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) generation: Option<i64>,
    pub(super) deletion_timestamp: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Value>>,
}

impl Live {
    pub(super) fn status(&self) -> Status {
        self.info.status
    }

    /// What is there of the manifest.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        let own = self.info.resources.iter().filter(|(kind, _)| !kind.ends_with("(related)"));
        own.flat_map(|(_, objects)| objects)
    }

    /// The pods of the manifest's workloads, which come in lists, and of the manifest itself.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Object> {
        let all = self.info.resources.values().flatten();
        all.flat_map(|it| iter::once(it).chain(&it.items)).filter(|it| it.kind == "Pod")
    }

    /// Reads what Helm tells of a release that it would make.
    pub(super) fn parse(answer: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(answer)
    }

    /// What the manifest asks for.
    pub(super) fn wanted(&self) -> Vec<Object> {
        named(&self.manifest)
    }
}

impl Object {
    /// Stays when the release goes, by the will of its author.
    pub(super) fn is_kept(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        let policy = annotations.and_then(|it| it.get("helm.sh/resource-policy"));
        policy.is_some_and(|it| it.trim().eq_ignore_ascii_case("keep"))
    }

    /// Somebody makes another one when it goes.
    pub(super) fn is_owned(&self) -> bool {
        self.metadata.owner_references.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// Kind and name, for messages.
    pub(super) fn title(&self) -> String {
        format!("{} `{}`", self.kind, self.metadata.name)
    }

    /// Whether this is what a manifest asks for, which need not name the namespace.
    pub(super) fn is(&self, wanted: &Self) -> bool {
        let (kind, wanted) = (&wanted.kind, &wanted.metadata);
        self.kind == *kind
            && self.metadata.name == wanted.name
            && (wanted.namespace.is_none() || wanted.namespace == self.metadata.namespace)
    }
}

/// The documents of a manifest. One that cannot be read is left out: Helm has read it.
fn named(manifest: &str) -> Vec<Object> {
    let documents = manifest.split("\n---").map(|it| it.trim_start_matches("---"));
    let read = documents.filter_map(|it| serde_saphyr::from_str::<Object>(it).ok());
    let read = read.filter(|it| !it.kind.is_empty());
    read.flat_map(|mut it| match it.kind.as_str() {
        "List" => std::mem::take(&mut it.items),
        _ => vec![it],
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_helm_or_kubernetes_would_refuse_is_refused_first() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in ["", "-a", "a-", "a_b", "A", "a.b", "a b", "--help", &long] {
            assert!(!is_label(name, LONGEST_NAME), "{name}");
        }
        assert!(is_label("0-com-gantry-pump", LONGEST_NAME));
    }

    #[test]
    fn a_manifest_names_what_it_asks_for() {
        let manifest = "---\n# Source: a\nkind: Service\nmetadata:\n  name: a\n---\n---\n# none\n\
                        ---\nkind: List\nitems:\n- kind: ConfigMap\n  metadata: {name: b, namespace: c}\n";
        let found = named(manifest);
        let names: Vec<_> =
            found.iter().map(|it| (it.kind.as_str(), it.metadata.name.as_str())).collect();
        assert_eq!(names, [("Service", "a"), ("ConfigMap", "b")]);
    }

    #[test]
    fn what_runs_is_told_apart_from_what_came_last() {
        let history = r#"[
            {"revision":1,"updated":"2026-11-25T09:00:00Z","status":"superseded","chart":"web-1.0.0","app_version":"1.0","description":"Install complete"},
            {"revision":2,"updated":"2026-11-25T09:01:00Z","status":"deployed","chart":"web-1.1.0","app_version":"1.1","description":"Upgrade complete"},
            {"revision":3,"updated":"2026-11-25T09:02:00Z","status":"pending-upgrade","chart":"web-1.2.0","app_version":"","description":"Preparing upgrade"},
            {"revision":4,"updated":"2026-11-25T09:02:00Z","status":"what is this","chart":"web-1.2.0","app_version":"","description":""}]"#;
        let history: History = serde_json::from_str(history).expect("as Helm prints it");
        let deployed = history.deployed().expect("one runs");
        assert_eq!(deployed.to_string(), "revision 2 (chart web-1.1.0, app version 1.1)");
        let last = history.last().expect("there are some");
        assert_eq!(
            (last.status, last.to_string().as_str()),
            (Status::Unknown, "revision 4 (chart web-1.2.0)")
        );
    }
}
