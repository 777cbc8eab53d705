//! Whether what a chart has made still is what it was when it was installed.
//!
//! What the cluster has is compared with what it had then, so that its defaults, and what its webhooks put
//! into everything, are there on both sides. Looked at is only what people edit and installing again puts
//! back. The rest has other writers: certificates are renewed in Secrets, autoscalers set numbers of pods,
//! queues suspend Jobs, and an application may keep something of its own in a ConfigMap.

use std::collections::BTreeMap;

use margo_contract::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::health::Trouble;
use super::release::{Live, Object};
use crate::code;

/// `kubectl rollout restart` leaves the time here. Restarting changes nothing.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// What the objects of a release look like, by kind, namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Likeness(BTreeMap<String, Look>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    /// Which object, and which version of it, where the cluster counts versions.
    #[serde(default)]
    version: Option<String>,
    content: Digest,
}

impl Likeness {
    pub(super) fn of(live: &Live) -> Self {
        let wanted = live.wanted();
        let looks = live.objects().filter_map(|it| Some((key(it), Look::of(it, &wanted)?)));
        Self(looks.collect())
    }

    /// What is there and looks otherwise now.
    pub(super) fn changes(&self, live: &Live) -> Vec<Trouble> {
        let now = Self::of(live);
        let is_changed = |object: &&Object| {
            let key = key(object);
            let looks = self.0.get(&key).zip(now.0.get(&key));
            looks.is_some_and(|(then, now)| !then.is_same(now))
        };
        let changed = live.objects().filter(is_changed).map(|object| {
            let what =
                format!("{} is not as it was installed: somebody has changed it", object.title());
            Trouble::new(code::SERVICE_CHANGED, what)
        });
        changed.collect()
    }
}

impl Look {
    fn of(object: &Object, wanted: &[Object]) -> Option<Self> {
        let content = content(object, wanted)?.to_string();
        let metadata = &object.metadata;
        let version = metadata.uid.as_ref().zip(metadata.generation);
        Some(Self {
            version: version.map(|(uid, generation)| format!("{uid}/{generation}")),
            content: Digest::of(content.as_bytes()),
        })
    }

    /// A newer cluster shows the same version of an object with more defaults: the content alone does not
    /// tell.
    fn is_same(&self, other: &Self) -> bool {
        self.content == other.content || (self.version.is_some() && self.version == other.version)
    }
}

fn key(object: &Object) -> String {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    format!("{} {namespace}/{}", object.kind, object.metadata.name)
}

/// What an installation decides of an object; nothing where that is not told apart from what others write.
fn content(object: &Object, wanted: &[Object]) -> Option<Value> {
    match (object.api_version.as_str(), object.kind.as_str()) {
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet") | ("batch/v1", "CronJob") => {
            Some(workload(&object.spec))
        }
        ("v1", "ConfigMap") => {
            let named = wanted.iter().find(|it| object.is(it))?;
            Some(json!([
                only_named(&object.data, &named.data),
                only_named(&object.binary_data, &named.binary_data),
            ]))
        }
        _ => None,
    }
}

/// A workload without how many pods it has and when it was restarted.
fn workload(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("replicas");
    }
    let metadata = spec.pointer_mut("/template/metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let is_empty =
            annotations.is_some_and(|it| it.remove(RESTARTED).is_some() && it.is_empty());
        if is_empty {
            metadata.remove("annotations");
        }
    }
    spec
}

/// The entries that the manifest has, too.
fn only_named<'a>(live: &'a Value, named: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let names = named.as_object().into_iter().flatten();
    names.filter_map(|(name, _)| Some((name.as_str(), live.get(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "kind: ConfigMap\nmetadata: {name: web}\ndata:\n  greeting: Hello\n  8080: web\n\
                            ---\nkind: Deployment\nmetadata: {name: web}\n";

    fn deployment(generation: i64) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "plant", "uid": "u-1", "generation": generation},
            "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
            "status": {"replicas": 1}})
    }

    fn config() -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "web", "namespace": "plant", "uid": "u-2"},
            "data": {"greeting": "Hello", "8080": "web"}})
    }

    fn live(objects: &[&Value]) -> Live {
        let status = json!({"info": {"status": "deployed", "resources": {"all": objects}},
            "manifest": MANIFEST, "version": 1});
        serde_json::from_value(status).expect("as Helm prints it")
    }

    /// What is noticed when this becomes that.
    fn noticed(then: &Value, now: &Value) -> Vec<String> {
        let changes = Likeness::of(&live(&[then])).changes(&live(&[now]));
        assert!(changes.iter().all(|it| it.code == code::SERVICE_CHANGED));
        changes.into_iter().map(|it| it.what).collect()
    }

    fn with(mut object: Value, pointer: &str, key: &str, value: Value) -> Value {
        object.pointer_mut(pointer).expect("a place")[key] = value;
        object
    }

    const CONTAINER: &str = "/spec/template/spec/containers/0";
    const CHANGED: &str = "Deployment `web` is not as it was installed: somebody has changed it";

    #[test]
    fn another_image_a_variable_and_another_schedule_are_noticed() {
        let env = json!([{"name": "LEVEL", "value": "debug"}]);
        for (key, value) in [("image", json!("web:2")), ("env", env)] {
            let edited = with(deployment(2), CONTAINER, key, value);
            assert_eq!(noticed(&deployment(1), &edited), [CHANGED], "{key}");
        }
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "web", "generation": 1}, "spec": {"schedule": "@daily"}});
        assert_eq!(
            noticed(&cron, &with(cron.clone(), "/spec", "schedule", json!("@hourly"))).len(),
            1
        );
    }

    #[test]
    fn one_that_was_made_anew_is_judged_by_its_content() {
        let anew = with(deployment(1), "/metadata", "uid", json!("u-3"));
        assert!(noticed(&deployment(1), &anew).is_empty());
        let other = with(anew, CONTAINER, "image", json!("web:2"));
        assert_eq!(noticed(&deployment(1), &other), [CHANGED]);
    }

    #[test]
    fn numbers_of_pods_restarts_and_the_status_are_no_change() {
        let scaled = with(deployment(2), "/spec", "replicas", json!(3));
        let restarted = json!({RESTARTED: "2026-11-25T09:00:00Z"});
        let restarted = with(deployment(2), "/spec/template/metadata", "annotations", restarted);
        let status = with(deployment(1), "/status", "replicas", json!(0));
        for now in [&scaled, &restarted, &status] {
            assert!(noticed(&deployment(1), now).is_empty(), "{now}");
        }
        let other = json!({RESTARTED: "2026-11-25T09:00:00Z", "scrape": "no"});
        let other = with(deployment(2), "/spec/template/metadata", "annotations", other);
        assert_eq!(noticed(&deployment(1), &other), [CHANGED]);
    }

    #[test]
    fn defaults_of_a_newer_cluster_are_no_change() {
        let shown = with(deployment(1), CONTAINER, "resizePolicy", json!("none"));
        assert!(noticed(&deployment(1), &shown).is_empty());
    }

    #[test]
    fn of_a_config_map_the_entries_of_the_manifest_count() {
        let added = with(config(), "/data", "leader", json!("web-1"));
        assert!(noticed(&config(), &added).is_empty());
        let edited = with(config(), "/data", "8080", json!("other"));
        let mut lacking = config();
        lacking["data"].as_object_mut().expect("a map").remove("greeting");
        for now in [&edited, &lacking] {
            let said = "ConfigMap `web` is not as it was installed: somebody has changed it";
            assert_eq!(noticed(&config(), now), [said]);
        }
    }

    #[test]
    fn what_is_gone_or_has_other_writers_is_not_judged() {
        let then = Likeness::of(&live(&[&deployment(1), &config()]));
        assert!(then.changes(&live(&[])).is_empty());
        for (version, kind) in
            [("v1", "Secret"), ("batch/v1", "Job"), ("example.org/v1", "Deployment")]
        {
            let object = |it: &str| {
                json!({"apiVersion": version, "kind": kind,
                "metadata": {"name": "web"}, "spec": {"it": it}, "data": {"it": it}})
            };
            assert!(noticed(&object("a"), &object("b")).is_empty(), "{kind}");
        }
    }
}
