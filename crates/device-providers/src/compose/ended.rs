//! Whether a service that ended well has done its work, or was stopped: by somebody, or with the engine.
//!
//! The engine does not say so of a container, but tells for a while what it did: 256 events, which are
//! soon over where the health of many services is checked. A container that nobody stopped has done its
//! work, and so has one that ended before the installation did; that is written down. Of one that the engine
//! tells nothing of, its neighbours do: where one has run since before, the engine has not ended meanwhile.
//! All others were stopped with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::containers::{Container, Standing};
use super::tools::Tools;
use crate::{Failure, Workload, code};

/// The first service that ended well and has yet to run, and what about it.
pub(super) fn stopped(
    tools: &Tools,
    containers: &[Container],
    directory: &Path,
) -> Result<Option<(String, String)>, Failure> {
    let ended = containers.iter().filter(|it| it.standing() == Standing::Finished);
    let ended: Vec<(&Container, String)> = ended.map(|it| (it, name_of(it))).collect();
    if ended.is_empty() {
        return Ok(None);
    }
    let known = done(directory);
    let mut all = known.clone();
    let mut stopped = None;
    for (container, name) in &ended {
        if known.contains(name) {
            continue;
        }
        let outlived = containers.iter().any(|it| it.has_run_since_before_the_end_of(container));
        let without_events = if outlived { End::Done } else { End::Stopped };
        // One that does not answer now may be ending, its workloads first.
        let end = told(tools, container)?
            .map_or(End::Stopped, |events| end(&events).unwrap_or(without_events));
        match end {
            End::Done => drop(all.insert(name.clone())),
            End::Stopped => {
                stopped.get_or_insert((container.service().to_owned(), "was stopped".to_owned()));
            }
        }
    }
    if all != known {
        all.retain(|it| ended.iter().any(|(_, name)| name == it));
        save(directory, &all)?;
    }
    Ok(stopped)
}

/// Writes down which services have done their work while the workload was installed.
pub(super) fn note(tools: &Tools, workload: &Workload) -> Result<(), Failure> {
    let containers = tools.containers(&workload.name)?;
    let ended = containers.iter().filter(|it| it.standing() == Standing::Finished);
    let ended: BTreeSet<String> = ended.map(name_of).collect();
    if ended == done(&workload.directory) {
        return Ok(());
    }
    save(&workload.directory, &ended)
}

/// Forgets what was written down about a workload.
pub(super) fn forget(directory: &Path) {
    // It is of no use any more, and in nobody's way but of the empty folder.
    let _ = fs::remove_file(file(directory));
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

fn name_of(container: &Container) -> String {
    let (id, started_at, _) = container.incarnation();
    format!("{id} {started_at}")
}

fn file(directory: &Path) -> PathBuf {
    directory.join("done.json")
}

fn done(directory: &Path) -> BTreeSet<String> {
    let bytes = fs::read(file(directory)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn save(directory: &Path, done: &BTreeSet<String>) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let next = directory.join("done.json.next");
        fs::write(&next, serde_json::to_vec(done)?)?;
        fs::rename(next, file(directory))
    };
    write().map_err(|error| {
        let message = format!("cannot write down which services have done their work: {error}");
        Failure::new(code::STORAGE, message)
    })
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
