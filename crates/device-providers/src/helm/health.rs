//! Whether what a release has in the cluster runs, and what is amiss otherwise.
//!
//! A workload counts as running when the cluster says that all its pods are available. Why one is not is
//! told by its pods. What the cluster mends by itself is not told apart from what it cannot: the
//! caller sees the same again a little later.

use serde_json::Value;

use super::pods;
use super::release::{Live, Object, Status};
use crate::words::printable;
use crate::{Failure, code};

/// How many things that are amiss go into a message.
const MOST_TOLD: usize = 5;
/// The longest message, in characters.
const LONGEST: usize = 3000;

/// One thing that is amiss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) what: String,
    /// It does not get better by waiting.
    pub(super) is_final: bool,
}

impl Trouble {
    pub(super) fn new(code: &'static str, what: String) -> Self {
        Self { code, what, is_final: false }
    }
}

/// All that is amiss, with what says most first.
// margo(P-3)
pub(super) fn troubles(live: &Live) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = live.pods().filter_map(pods::trouble).collect();
    let unready: Vec<Trouble> = live.objects().filter_map(unready).collect();
    if !unready.is_empty() {
        troubles.extend(live.pods().filter_map(pods::not_ready));
    }
    troubles.extend(unready);
    let wanted = live.wanted();
    troubles.extend(wanted.iter().filter_map(|it| lacking(live, it)));
    troubles
}

/// What is amiss, in one sentence for each thing; `or` is the code where none is known to say more.
pub(super) fn failure(troubles: &[Trouble], or: &'static str) -> Option<Failure> {
    let telling = troubles.iter().find(|it| it.code != code::SERVICE_MISSING);
    let code = telling.map_or(or, |it| it.code);
    let mut told: Vec<&str> = troubles.iter().map(|it| it.what.as_str()).collect();
    told.dedup();
    let more = told.len().saturating_sub(MOST_TOLD);
    told.truncate(MOST_TOLD);
    let mut message = told.join("\n");
    if more > 0 {
        message.push_str(&format!("\nand {more} more"));
    }
    let message: String = printable(&message).chars().take(LONGEST).collect();
    (!troubles.is_empty()).then(|| Failure::new(code, message))
}

/// Whether a release is at work, or was left in the middle of it.
pub(super) fn unfinished(status: Status) -> Option<Failure> {
    let what = match status {
        Status::Deployed => return None,
        Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => {
            "its installation was not finished"
        }
        Status::Uninstalling | Status::Uninstalled => "its removal was not finished",
        Status::Failed | Status::Superseded | Status::Unknown => "its last installation failed",
    };
    Some(Failure::new(code::SERVICE_MISSING, what))
}

/// What the manifest asks for and the cluster does not have, or not in this number.
fn lacking(live: &Live, wanted: &Object) -> Option<Trouble> {
    let (kind, name) = (&wanted.kind, &wanted.metadata.name);
    let missing = |what: String| Some(Trouble::new(code::SERVICE_MISSING, what));
    let Some(found) = live.objects().find(|it| it.is(wanted)) else {
        return missing(format!("{kind} `{name}` is gone"));
    };
    // Other numbers may be the will of an autoscaler, which never goes down to none.
    if replicas(&found.spec) == 0 && replicas(&wanted.spec) > 0 && is_replicated(kind) {
        return missing(format!("{kind} `{name}` was scaled down to 0"));
    }
    None
}

fn is_replicated(kind: &str) -> bool {
    ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"].contains(&kind)
}

fn replicas(spec: &Value) -> u64 {
    spec["replicas"].as_u64().unwrap_or(1)
}

/// What a workload of the manifest still lacks.
fn unready(object: &Object) -> Option<Trouble> {
    let Object { kind, spec, status, metadata, .. } = object;
    let count = |name: &str| status[name].as_u64().unwrap_or(0);
    let (ready, wanted) = match kind.as_str() {
        "Deployment" if spec["paused"] == true => return None,
        "Deployment" => {
            // Those of the former version are counted as available as well.
            let former = count("replicas").saturating_sub(count("updatedReplicas"));
            (count("availableReplicas").saturating_sub(former), replicas(spec))
        }
        "StatefulSet" | "ReplicaSet" | "ReplicationController" => {
            (count("readyReplicas"), replicas(spec))
        }
        "DaemonSet" => (count("numberAvailable"), count("desiredNumberScheduled")),
        "Job" => return failed_job(object),
        "PersistentVolumeClaim" if status["phase"] == "Lost" => {
            let what = format!("{} has lost its volume", object.title());
            return Some(Trouble::new(code::SERVICE_MISSING, what));
        }
        "Pod" => return pods::unready(object),
        _ => return None,
    };
    let is_seen = status["observedGeneration"].as_i64() >= metadata.generation;
    if ready >= wanted && (is_seen || kind == "ReplicationController") {
        return None;
    }
    let why = condition(status, "ReplicaFailure", "True").map(|it| format!(": {it}"));
    let why = why.unwrap_or_default();
    let what = format!("{} has {ready} of {wanted} pods ready{why}", object.title());
    Some(Trouble::new(code::SERVICE_MISSING, what))
}

fn failed_job(object: &Object) -> Option<Trouble> {
    let why = condition(&object.status, "Failed", "True")?;
    let what = format!("{} has failed: {why}", object.title());
    Some(Trouble { code: code::SERVICE_EXITED, what, is_final: true })
}

/// What a condition says, if it has this status.
pub(super) fn condition(status: &Value, kind: &str, wanted: &str) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions.iter().find(|it| it["type"] == kind && it["status"] == wanted)?;
    let message = found["message"].as_str().filter(|it| !it.is_empty());
    Some(message.or(found["reason"].as_str()).unwrap_or("no reason is given").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).expect("an object")
    }

    fn deployment(replicas: u64, available: u64, updated: u64, seen: i64) -> Object {
        let all = replicas.max(updated);
        object(json!({"kind": "Deployment", "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": replicas},
            "status": {"observedGeneration": seen, "replicas": all, "availableReplicas": available, "updatedReplicas": updated}}))
    }

    #[test]
    fn a_workload_runs_when_all_its_pods_are_new_and_available() {
        assert_eq!(unready(&deployment(2, 2, 2, 2)), None);
        assert_eq!(unready(&deployment(0, 0, 0, 2)), None);
        for (available, updated, seen) in [(1, 2, 2), (2, 1, 2), (2, 2, 1)] {
            let trouble = unready(&deployment(2, available, updated, seen)).expect("not ready");
            assert!(trouble.what.starts_with("Deployment `web` has "), "{trouble:?}");
        }
        for (kind, status) in [
            ("StatefulSet", json!({"observedGeneration": 1, "readyReplicas": 1})),
            (
                "DaemonSet",
                json!({"observedGeneration": 1, "numberAvailable": 3, "desiredNumberScheduled": 3}),
            ),
            ("ReplicationController", json!({"readyReplicas": 1})),
            ("PersistentVolumeClaim", json!({"phase": "Pending"})),
            ("ConfigMap", Value::Null),
            ("Job", json!({"active": 1})),
        ] {
            let value = json!({"kind": kind, "metadata": {"name": "x", "generation": 1},
                "spec": {}, "status": status});
            assert_eq!(unready(&object(value)), None, "{kind}");
        }
    }

    #[test]
    fn a_failed_job_and_what_cannot_make_pods_are_told_with_their_reasons() {
        let failed = json!({"conditions": [{"type": "Failed", "status": "True",
            "reason": "BackoffLimitExceeded", "message": "Job has reached the limit"}]});
        let trouble =
            unready(&object(json!({"kind": "Job", "metadata": {"name": "m"}, "status": failed})));
        let trouble = trouble.expect("it has failed");
        assert_eq!(trouble.what, "Job `m` has failed: Job has reached the limit");
        assert!(trouble.is_final);
        let mut quota = deployment(1, 0, 0, 2);
        quota.status["conditions"] = json!([{"type": "ReplicaFailure", "status": "True",
            "message": "exceeded quota"}]);
        let trouble = unready(&quota).expect("not ready");
        assert_eq!(trouble.what, "Deployment `web` has 0 of 1 pods ready: exceeded quota");
    }

    #[test]
    fn what_says_most_gives_the_code_and_a_message_is_bounded() {
        let trouble = |code, what: &str| Trouble::new(code, what.to_owned());
        let many: Vec<_> =
            (0..9).map(|it| trouble(code::SERVICE_MISSING, &it.to_string())).collect();
        let told = failure(&many, code::TIMED_OUT).expect("troubles");
        assert_eq!(
            (told.code, told.message.as_str()),
            (code::TIMED_OUT, "0\n1\n2\n3\n4\nand 4 more")
        );
        let two = [trouble(code::SERVICE_MISSING, "a"), trouble(code::IMAGE_UNAVAILABLE, "b")];
        assert_eq!(failure(&two, code::TIMED_OUT).expect("troubles").code, code::IMAGE_UNAVAILABLE);
        assert_eq!(failure(&[], code::TIMED_OUT), None);
        let long = [trouble(code::TIMED_OUT, &"\x1b".repeat(LONGEST + 1))];
        let told = failure(&long, code::TIMED_OUT).expect("troubles").message;
        assert_eq!(told, " ".repeat(LONGEST));
    }
}
