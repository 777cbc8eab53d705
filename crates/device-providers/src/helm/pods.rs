//! Why pods do not run, told from what the cluster says of their containers.

use serde_json::Value;

use super::health::{Trouble, condition};
use super::release::Object;
use crate::code;
use crate::words::last_words;

/// Something that keeps a pod from running, and that waiting alone hardly ends.
pub(super) fn trouble(pod: &Object) -> Option<Trouble> {
    if !is_current(pod) {
        return None;
    }
    let told = |code, what: String| Some(Trouble::new(code, format!("{} {what}", pod.title())));
    let status = &pod.status;
    let scheduled = condition(status, "PodScheduled", "False");
    if let Some(why) = scheduled {
        return told(code::UNSCHEDULABLE, format!("has no node to run on: {why}"));
    }
    containers(status).find_map(|container| {
        let name = container["name"].as_str().unwrap_or("?");
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str()?;
        let (code, what) = match reason {
            "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName"
            | "ImageInspectError" => {
                let image = container["image"].as_str().unwrap_or("?");
                (code::IMAGE_UNAVAILABLE, format!("image `{image}` cannot be had"))
            }
            "RegistryUnavailable" => (
                code::REGISTRY_UNREACHABLE,
                "the registry of its image cannot be reached".to_owned(),
            ),
            "CrashLoopBackOff" => {
                let last = &container["lastState"]["terminated"];
                (code::SERVICE_EXITED, format!("exits again and again{}", exit(last)))
            }
            "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "PreStartHookError"
            | "PostStartHookError" => (code::START_FAILED, "cannot be started".to_owned()),
            _ => return None,
        };
        // What a crash loop waits for is not worth telling.
        let said = waiting["message"].as_str().filter(|_| code != code::SERVICE_EXITED);
        let said = last_words(said.unwrap_or_default());
        told(code, format!("does not run: container `{name}`: {what} ({reason}){said}"))
    })
}

/// A pod that runs, and is not ready to serve.
pub(super) fn not_ready(pod: &Object) -> Option<Trouble> {
    let runs = pod.status["phase"] == "Running" && is_current(pod) && trouble(pod).is_none();
    let why = condition(&pod.status, "Ready", "False").filter(|_| runs)?;
    let what = format!("{} runs and is not ready: {why}", pod.title());
    Some(Trouble::new(code::SERVICE_UNHEALTHY, what))
}

/// A pod of the manifest itself that does not run; nobody makes another one for it.
pub(super) fn unready(pod: &Object) -> Option<Trouble> {
    let status = &pod.status;
    let phase = status["phase"].as_str().unwrap_or("Pending");
    let code = match phase {
        "Succeeded" => return None,
        "Running" if condition(status, "Ready", "True").is_some() => return None,
        "Failed" => {
            let ended = containers(status).map(|it| exit(&it["state"]["terminated"]));
            let what = format!("{} has failed{}", pod.title(), ended.collect::<String>());
            return Some(Trouble { code: code::SERVICE_EXITED, what, is_final: true });
        }
        _ => code::SERVICE_MISSING,
    };
    Some(Trouble::new(code, format!("{} is {}", pod.title(), phase.to_lowercase())))
}

/// Whether a pod is of interest: not on its way out, and no remains that somebody has replaced.
fn is_current(pod: &Object) -> bool {
    let phase = pod.status["phase"].as_str().unwrap_or_default();
    let is_remains = phase == "Succeeded" || phase == "Failed" && pod.is_owned();
    pod.metadata.deletion_timestamp.is_none() && !is_remains
}

fn containers(status: &Value) -> impl Iterator<Item = &Value> {
    let of = |kind: &str| status[kind].as_array().into_iter().flatten();
    of("initContainerStatuses").chain(of("containerStatuses"))
}

/// How a container ended, with what it has left as its last words.
fn exit(terminated: &Value) -> String {
    let Some(code) = terminated["exitCode"].as_i64() else { return String::new() };
    let memory = if terminated["reason"] == "OOMKilled" { " for want of memory" } else { "" };
    let said = last_words(terminated["message"].as_str().unwrap_or_default());
    format!(" with code {code}{memory}{said}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Object {
        let value = json!({"kind": "Pod", "metadata": {"name": "web-1",
            "ownerReferences": [{"kind": "ReplicaSet"}]}, "status": status});
        serde_json::from_value(value).expect("a pod")
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "web:1",
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "the end\n"}}}]})
    }

    #[test]
    fn why_a_pod_does_not_run_is_told_with_a_code() {
        for (status, code, told) in [
            (
                waiting("ImagePullBackOff", "Back-off pulling"),
                code::IMAGE_UNAVAILABLE,
                "Pod `web-1` does not run: container `web`: image `web:1` cannot be had \
                 (ImagePullBackOff): Back-off pulling",
            ),
            (
                waiting("CrashLoopBackOff", "back-off 5m0s"),
                code::SERVICE_EXITED,
                "Pod `web-1` does not run: container `web`: exits again and again with code 137 for \
                 want of memory: the end (CrashLoopBackOff)",
            ),
            (
                waiting("CreateContainerConfigError", "secret \"x\" not found"),
                code::START_FAILED,
                "Pod `web-1` does not run: container `web`: cannot be started \
                 (CreateContainerConfigError): secret \"x\" not found",
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": "0/1 nodes: insufficient memory"}]}),
                code::UNSCHEDULABLE,
                "Pod `web-1` has no node to run on: 0/1 nodes: insufficient memory",
            ),
        ] {
            let trouble = trouble(&pod(&status)).expect("it does not run");
            assert_eq!((trouble.code, trouble.what.as_str()), (code, told));
        }
    }

    #[test]
    fn a_pod_that_starts_goes_or_has_been_replaced_is_no_trouble() {
        assert_eq!(trouble(&pod(&waiting("ContainerCreating", ""))), None);
        let mut failed = waiting("CrashLoopBackOff", "");
        failed["phase"] = json!("Failed");
        assert_eq!(trouble(&pod(&failed)), None);
        let mut going = pod(&waiting("CrashLoopBackOff", ""));
        going.metadata.deletion_timestamp = Some("2026-11-25T09:00:00Z".to_owned());
        assert_eq!(trouble(&going), None);
    }

    #[test]
    fn a_pod_that_is_not_ready_and_one_that_failed_are_told() {
        let conditions = json!([{"type": "Ready", "status": "False", "message": "no answer"}]);
        let running = pod(&json!({"phase": "Running", "conditions": conditions}));
        let trouble = not_ready(&running).expect("it is not ready");
        assert_eq!(trouble.what, "Pod `web-1` runs and is not ready: no answer");
        assert!(unready(&running).is_some());
        let failed = pod(&json!({"phase": "Failed",
            "containerStatuses": [{"state": {"terminated": {"exitCode": 2, "message": "no"}}}]}));
        let trouble = unready(&failed).expect("it has failed");
        assert_eq!(trouble.what, "Pod `web-1` has failed with code 2: no");
    }
}
