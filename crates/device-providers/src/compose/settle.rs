//! Waits until a workload that was started really runs, and says why it does not.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::containers::{Container, Standing, by_service};
use super::tools::Tools;
use crate::words::last_words;
use crate::{Failure, Workload, code};

/// How often the containers are looked at while they start.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a service without a health check has to run on before it is believed to run.
const PROBATION: Duration = Duration::from_secs(3);

/// What is waited for.
pub(super) struct Expected<'a> {
    pub(super) workload: &'a Workload,
    /// How many containers each service is to have.
    pub(super) services: &'a BTreeMap<String, usize>,
    /// The containers as they were before the start.
    pub(super) before: &'a [Container],
    pub(super) deadline: Instant,
}

/// What a workload is still waited for.
struct Waiting<'a> {
    service: &'a str,
    what: String,
    container: Option<&'a Container>,
}

/// Waits until every service has its containers, and each of them runs well or has done its work.
/// Gives the containers.
pub(super) fn settle(tools: &Tools, expected: &Expected<'_>) -> Result<Vec<Container>, Failure> {
    let mut seen = (Vec::new(), Instant::now());
    let mut known: Vec<String> = Vec::new();
    loop {
        let containers = match tools.inspect(&known)? {
            Some(containers) => containers,
            None => tools.containers(&expected.workload.name)?,
        };
        if let Some(failure) = failed_service(tools, &containers, expected.before) {
            return Err(failure);
        }
        let waiting = waiting(&containers, expected.services);
        let unchecked: Vec<_> = containers
            .iter()
            .filter(|it| it.standing() == Standing::Running { checked: false })
            .map(Container::incarnation)
            .collect();
        if seen.0 != unchecked {
            seen = (unchecked, Instant::now());
        }
        let on_probation = !seen.0.is_empty() && seen.1.elapsed() < PROBATION;
        if waiting.is_none() && !on_probation {
            return Ok(containers);
        }
        if Instant::now() >= expected.deadline {
            return Err(late(tools, expected.workload, waiting.as_ref()));
        }
        if tools.stop.load(Ordering::Relaxed) {
            let message = "waiting for the services was given up: the client is being stopped";
            return Err(Failure::new(code::INTERRUPTED, message));
        }
        // Listed anew only while some are missing.
        known = match lacking(&containers, expected.services) {
            Some(_) => Vec::new(),
            None => containers.into_iter().map(|it| it.id).collect(),
        };
        thread::sleep(INTERVAL);
    }
}

/// The first service that has failed, with its exit code and last words.
pub(super) fn failed_service(
    tools: &Tools,
    containers: &[Container],
    before: &[Container],
) -> Option<Failure> {
    containers.iter().find_map(|container| {
        let (code, what) = match container.standing() {
            Standing::Failed { code, what } => (code, what),
            // margo(P-3): it has ended, even if it runs again when it is looked at.
            _ if container.was_restarted_since(before) => {
                (code::SERVICE_EXITED, "ended and was started again by the engine".to_owned())
            }
            Standing::Running { .. }
            | Standing::Finished
            | Standing::Starting
            | Standing::Waiting(_) => return None,
        };
        let words = last_words(&tools.log(container));
        let message = format!("service `{}` {what}{words}", container.service());
        Some(Failure::new(code, message))
    })
}

/// The first service that lacks containers, with how many it has and is to have.
pub(super) fn lacking<'a>(
    containers: &[Container],
    services: &'a BTreeMap<String, usize>,
) -> Option<(&'a str, String)> {
    let found = by_service(containers);
    services.iter().find_map(|(service, count)| {
        let found = found.get(service).copied().unwrap_or_default();
        (found < *count).then(|| (service.as_str(), format!("has {found} of {count} containers")))
    })
}

fn waiting<'a>(
    containers: &'a [Container],
    services: &'a BTreeMap<String, usize>,
) -> Option<Waiting<'a>> {
    if let Some((service, what)) = lacking(containers, services) {
        return Some(Waiting { service, what, container: None });
    }
    containers.iter().find_map(|container| {
        let what = match container.standing() {
            Standing::Starting => "is starting".to_owned(),
            Standing::Waiting(what) => what,
            Standing::Running { .. } | Standing::Finished | Standing::Failed { .. } => return None,
        };
        Some(Waiting { service: container.service(), what, container: Some(container) })
    })
}

fn late(tools: &Tools, workload: &Workload, waiting: Option<&Waiting<'_>>) -> Failure {
    let seconds = workload.timeout.as_secs();
    let message = match waiting {
        Some(Waiting { service, what, container }) => {
            let words = container.map(|it| last_words(&tools.log(it))).unwrap_or_default();
            format!("service `{service}` {what} after {seconds} s{words}")
        }
        None => {
            format!("component `{}` did not run steadily after {seconds} s", workload.component)
        }
    };
    Failure::new(code::TIMED_OUT, message)
}
