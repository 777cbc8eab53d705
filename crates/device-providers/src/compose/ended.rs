//! Whether a service that ended well has done its work, or was stopped: by somebody, or with the engine.
//!
//! The engine does not say so of a container, but tells for a while what it did: 256 events, which are
//! soon over where the health of many services is checked. A container that nobody stopped has done its
//! work, and so has one that ended before the installation did; that is in the record of the package. Of one that the engine
//! tells nothing of, its neighbours do: where one has run since before, the engine has not ended meanwhile.
//! All others were stopped with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::containers::{Container, Standing};
use super::tools::Tools;
use crate::Failure;

/// What has become of services that ended well.
pub(super) struct Ended {
    /// The first one that has yet to run, and what about it.
    pub(super) stopped: Option<(String, String)>,
    /// The containers that have done their work, each in its last run.
    pub(super) done: BTreeSet<String>,
}

/// Tells apart those that ended well; `known` have done their work.
pub(super) fn judge(
    tools: &Tools,
    containers: &[Container],
    known: &BTreeSet<String>,
) -> Result<Ended, Failure> {
    let mut judged = Ended { stopped: None, done: BTreeSet::new() };
    for container in containers.iter().filter(|it| it.standing() == Standing::Finished) {
        let name = run_of(container);
        if known.contains(&name) {
            judged.done.insert(name);
            continue;
        }
        let outlived = containers.iter().any(|it| it.has_run_since_before_the_end_of(container));
        let without_events = if outlived { End::Done } else { End::Stopped };
        // One that does not answer now may be ending, its workloads first.
        let end = told(tools, container)?
            .map_or(End::Stopped, |events| end(&events).unwrap_or(without_events));
        match end {
            End::Done => drop(judged.done.insert(name)),
            End::Stopped => {
                let what = || (container.service().to_owned(), "was stopped".to_owned());
                judged.stopped.get_or_insert_with(what);
            }
        }
    }
    Ok(judged)
}

/// The containers that ended well while the workload was installed, which is what they were to do.
pub(super) fn done(containers: &[Container]) -> BTreeSet<String> {
    let ended = containers.iter().filter(|it| it.standing() == Standing::Finished);
    ended.map(run_of).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Stopped,
}

/// How a container ended, by the events of its last run; nothing if that of its end is forgotten.
fn end(events: &str) -> Option<End> {
    let actions = events.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        let action = ["Action", "Status", "status"].into_iter().find_map(|it| event[it].as_str());
        action.map(str::to_ascii_lowercase)
    });
    let actions: BTreeSet<String> = actions.collect();
    let has = |names: &[&str]| names.iter().any(|it| actions.contains(*it));
    if has(&["kill", "stop"]) {
        return Some(End::Stopped);
    }
    has(&["die", "died"]).then_some(End::Done)
}

/// What the engine tells of the last run of a container, an event on each line; nothing if it does not
/// answer.
fn told(tools: &Tools, container: &Container) -> Result<Option<String>, Failure> {
    let (of, (_, since, _)) = (format!("container={}", container.id), container.incarnation());
    // Up to the next whole second: what happened in the present one would be missing.
    let mut arguments = vec!["events", "--since", &since, "--until=-1s", "--filter", &of];
    for event in ["event=die", "event=died", "event=kill", "event=stop"] {
        arguments.extend(["--filter", event]);
    }
    arguments.extend(["--format", "{{json .}}"]);
    let ended = tools.engine(&arguments)?;
    Ok(ended.status.success().then(|| ended.stdout.text()))
}

/// Which run of which container.
fn run_of(container: &Container) -> String {
    let (id, started_at, _) = container.incarnation();
    format!("{id} {started_at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_done_its_work_if_it_ended_and_nobody_ended_it() {
        let event = |action: &str| format!("{{\"Action\":\"{action}\"}}\n");
        assert_eq!(end(&event("die")), Some(End::Done));
        assert_eq!(
            end("{\"Name\":\"x\",\"Status\":\"died\"}"),
            Some(End::Done),
            "as Podman tells it"
        );
        let stopped = [event("kill"), event("die"), event("stop")].concat();
        assert_eq!(end(&stopped), Some(End::Stopped));
        assert_eq!(end(&event("stop")), Some(End::Stopped));
        assert_eq!(end(""), None);
    }
}
