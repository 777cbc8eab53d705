//! Compose packages, carried out by `docker compose` (or what speaks like it).
//!
//! Compose makes and removes; whether a workload runs is asked of the engine afterwards, by the
//! label that every container of a project carries. Neither the exit code of `up` nor its `--wait`
//! decides: the latter takes a job that has done its work for a failure (Compose 2.26).
//!
//! A package is resolved by Compose, judged, and only then put in place. What was judged is what
//! runs: Compose is given the resolved model, not the files again. Nothing is built on a device, and
//! nothing is included that is not in the package.

mod below;
mod blame;
mod containers;
mod ended;
mod env_file;
mod files;
mod install;
mod likeness;
mod model;
mod package;
mod permission;
mod removal;
mod settle;
mod tools;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::containers::Standing;
use self::install::Exchange;
use self::package::Package;
use self::settle::{failed_service, lacking};
use self::tools::Tools;
use crate::{Failure, Observed, Offer, Provider, Workload, code};

const LONGEST_PROJECT: usize = 63;

/// The command lines of the tools, without the arguments that we add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// For Compose: `["docker", "compose"]`.
    pub compose: Vec<String>,
    /// For the engine behind it: `["docker"]`.
    pub engine: Vec<String>,
}

impl Default for Commands {
    fn default() -> Self {
        Self { compose: vec!["docker".into(), "compose".into()], engine: vec!["docker".into()] }
    }
}

/// What the owner of the device lets workloads do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Compose keys that packages may use though they reach beyond their containers, such as
    /// `privileged`; `bind_mounts` stands for host paths outside the package.
    pub allow: BTreeSet<String>,
    /// Whether named volumes go with the workload that is removed.
    pub remove_volumes: bool,
}

/// Runs Compose packages.
#[derive(Debug, Clone)]
pub struct ComposeProvider {
    tools: Tools,
    rules: Rules,
}

impl ComposeProvider {
    /// Once `stop` is set, whatever is under way ends early with [`code::INTERRUPTED`].
    pub fn new(commands: Commands, rules: Rules, stop: Arc<AtomicBool>) -> Self {
        Self { tools: Tools { commands, stop }, rules }
    }
}

impl Provider for ComposeProvider {
    fn install(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.name)?;
        self.bring_up_or_put_back(workload, Exchange::Changed)
    }

    fn remake(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.name)?;
        self.bring_up_or_put_back(workload, Exchange::All)
    }

    fn remove(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.name)?;
        self.take_down(workload)
    }

    fn observe(&self, workload: &Workload) -> Result<Observed, Failure> {
        check_project(&workload.name)?;
        let package = Package::of(&workload.directory);
        let record = package.record();
        let containers = match self.tools.inspect(&record.containers)? {
            Some(known) => known,
            None => self.tools.containers(&workload.name)?,
        };
        let Some(expected) = &record.services else {
            if containers.is_empty() {
                return Ok(Observed::Absent);
            }
            let why = "its installation was not finished";
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_MISSING, why)));
        };
        if containers.is_empty() && expected.values().any(|count| *count > 0) {
            return Ok(Observed::Absent);
        }
        if let Some(failure) = failed_service(&self.tools, &containers, &containers) {
            return Ok(Observed::Degraded(failure));
        }
        let stalled = containers.iter().find_map(|container| match container.standing() {
            Standing::Waiting(what) => Some((container.service(), what)),
            _ => None,
        });
        if let Some((service, what)) = lacking(&containers, expected).or(stalled) {
            let message = format!("service `{service}` {what}");
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_MISSING, message)));
        }
        let ended = ended::judge(&self.tools, &containers, &record.done)?;
        if ended.done != record.done {
            package.note_done(record, ended.done)?;
        }
        if let Some((service, what)) = ended.stopped {
            let message = format!("service `{service}` {what}");
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_EXITED, message)));
        }
        // What nothing is known of is believed.
        let changed = package.model().and_then(|model| likeness::changed(&containers, &model));
        Ok(changed.map_or(Observed::Running, |(service, what)| {
            let message = format!("service `{service}` {what}: somebody has changed it");
            Observed::Degraded(Failure::new(code::SERVICE_CHANGED, message))
        }))
    }

    fn offers(&self) -> Result<Offer, Failure> {
        self.tools.offer()
    }
}

fn check_project(project: &str) -> Result<(), Failure> {
    let begins = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    let usable = project.starts_with(begins)
        && project.chars().all(|it| begins(it) || it == '_' || it == '-')
        && project.len() <= LONGEST_PROJECT;
    if usable {
        return Ok(());
    }
    let message = format!("`{project}` cannot be the name of a Compose project");
    Err(Failure::new(code::BAD_PARAMETER, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_compose_would_change_or_take_for_an_option_is_refused() {
        for project in ["", "-p", "_p", "P", "p.q", "p q", &"p".repeat(LONGEST_PROJECT + 1)] {
            let failure = check_project(project).expect_err("a bad name");
            assert_eq!(failure.code, code::BAD_PARAMETER);
        }
        check_project("0-com-gantry_hello").expect("a good name");
    }
}
