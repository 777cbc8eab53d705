//! Compose packages, carried out by `docker compose` (or what speaks like it).
//!
//! Compose makes and removes; whether a workload runs is asked of the engine afterwards, by the
//! label that every container of a project carries. Neither the exit code of `up` nor its `--wait`
//! decides: the latter takes a job that has done its work for a failure (Compose 2.26).
//!
//! A package is resolved by Compose, judged, and only then put in place. What was judged is what
//! runs: Compose is given the resolved model, not the files again.

mod blame;
mod containers;
mod env_file;
mod likeness;
mod model;
mod package;
mod permission;
mod settle;
mod tools;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use self::containers::{Container, Standing};
use self::env_file::env_file;
use self::model::Model;
use self::package::{Package, Project, read_archive};
use self::permission::Judged;
use self::settle::{Expected, failed_service, lacking, settle};
use self::tools::{LOOK, Tools};
use crate::process::Finished;
use crate::words::last_words;
use crate::{Failure, Observed, Offer, Provider, Workload, code};

const LONGEST_PROJECT: usize = 63;
/// How long the engine may take to forget what it has removed.
const FORGETTING: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(250);

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
        self.bring_up(workload).map_err(|failure| self.with_what_runs(failure, workload))
    }

    fn remake(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.name)?;
        likeness::make_anew(&self.tools, workload)?;
        self.install(workload)
    }

    fn remove(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.name)?;
        // By the name alone: the package may be gone, or may not be readable any more. In the root
        // folder, so that Compose finds no other package to work on.
        let arguments = ["--project-name", &workload.name, "down", "--remove-orphans"];
        let arguments = arguments.map(OsStr::new);
        let ended = self.tools.compose(&arguments, Path::new("/"), workload.timeout)?;
        if self.rules.remove_volumes {
            self.remove_volumes(&workload.name)?;
        }
        let left = self.wait_until_gone(&workload.name)?;
        if !left.is_empty() {
            let message = format!(
                "{} of component `{}` could not be removed{}",
                left.join(", "),
                workload.component,
                last_words(&ended.stderr.text())
            );
            return Err(Failure::new(code::REMOVE_FAILED, message));
        }
        Package::of(&workload.directory).remove()
    }

    fn observe(&self, workload: &Workload) -> Result<Observed, Failure> {
        check_project(&workload.name)?;
        let containers = self.tools.containers(&workload.name)?;
        let Some(expected) = Package::of(&workload.directory).record().services else {
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
        if let Some((service, what)) = lacking(&containers, &expected).or(stalled) {
            let message = format!("service `{service}` {what}");
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_MISSING, message)));
        }
        let changed = likeness::changed(&containers, &workload.directory);
        Ok(changed.map_or(Observed::Running, |(service, what)| {
            let message = format!("service `{service}` {what}: somebody has changed it");
            Observed::Degraded(Failure::new(code::SERVICE_CHANGED, message))
        }))
    }

    fn offers(&self) -> Result<Offer, Failure> {
        self.tools.offer()
    }
}

impl ComposeProvider {
    fn bring_up(&self, workload: &Workload) -> Result<(), Failure> {
        let deadline = Instant::now() + workload.timeout;
        let archive = read_archive(&workload.package)?;
        let variables = env_file(&workload.parameters)?;

        let package = Package::of(&workload.directory);
        let prepared = package.prepare(&archive, &variables)?;
        self.resolve(workload, &prepared)?;
        let (project, record) = package.adopt(&archive)?;
        // Once more in place: its paths are others, and a former form of the workload, which may
        // write beside its package, may have put links in their way.
        let mut model = self.resolve(workload, &project)?;
        model.label_files(&archive, &project.folder);
        package.keep_model(&model)?;

        let before = self.tools.containers(&workload.name)?;
        self.start(workload, &project, &before, deadline)?;
        let services = model.services();
        if workload.wait {
            let expected = Expected { workload, services: &services, before: &before, deadline };
            settle(&self.tools, &expected)?;
        }
        package.finish(record, services)
    }

    /// Lets Compose read the package with its parameters, and judges what it makes of it.
    fn resolve(&self, workload: &Workload, project: &Project) -> Result<Model, Failure> {
        let read = |options: &[&str]| {
            let file = project.compose_file();
            let mut command = vec!["config", "--format", "json"];
            command.extend(options);
            let arguments = project_arguments(workload, project, &file, &command);
            let ended = self.tools.compose(&borrowed(&arguments), &project.folder, LOOK)?;
            model_of(workload, &ended)
        };
        let model = read(&[])?;
        let raw = read(&["--no-interpolate"])?;
        let judged =
            Judged { project: &workload.name, folder: &project.folder, model: &model, raw: &raw };
        permission::check(&judged, &self.rules.allow)?;
        Ok(model)
    }

    fn start(
        &self,
        workload: &Workload,
        project: &Project,
        before: &[Container],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let command = ["up", "--detach", "--remove-orphans", "--quiet-pull"];
        let arguments = project_arguments(workload, project, &project.model, &command);
        let left = deadline.saturating_duration_since(Instant::now());
        let component = &workload.component;
        let failure = match self.tools.compose(&borrowed(&arguments), &project.folder, left) {
            Ok(ended) if ended.status.success() => return Ok(()),
            Ok(ended) => {
                let printed = ended.stderr.text();
                let (code, meaning) = blame::blame(&printed);
                let words = last_words(&printed);
                let message =
                    format!("component `{component}` could not be started: {meaning}{words}");
                Failure::new(code, message)
            }
            Err(failure) if failure.code == code::TIMED_OUT => {
                let message = format!(
                    "component `{component}` was not started within {} s{}",
                    workload.timeout.as_secs(),
                    last_words(&failure.message)
                );
                Failure::new(code::TIMED_OUT, message)
            }
            Err(failure) => return Err(failure),
        };
        // Compose waits for services that others depend on, and says little when they fail.
        if failure.code != code::START_FAILED && failure.code != code::TIMED_OUT {
            return Err(failure);
        }
        let containers = self.tools.containers(&workload.name)?;
        Err(failed_service(&self.tools, &containers, before).unwrap_or(failure))
    }

    /// A failure with what runs of the workload all the same.
    fn with_what_runs(&self, failure: Failure, workload: &Workload) -> Failure {
        if [code::INTERRUPTED, code::ENGINE_UNAVAILABLE].contains(&failure.code) {
            return failure;
        }
        let Ok(containers) = self.tools.containers(&workload.name) else { return failure };
        let running: BTreeSet<String> = containers
            .iter()
            .filter(|it| matches!(it.standing(), Standing::Running { .. } | Standing::Starting))
            .map(|it| format!("`{}` ({})", it.service(), it.image()))
            .collect();
        let running = match running.len() {
            0 => "nothing of it runs now".to_owned(),
            _ => format!("of it run now: {}", running.into_iter().collect::<Vec<_>>().join(", ")),
        };
        let running: String = running.chars().take(500).collect();
        Failure::new(failure.code, format!("{}\n{running}", failure.message))
    }

    fn remove_volumes(&self, project: &str) -> Result<(), Failure> {
        for volume in self.volumes(project)? {
            // What could not be removed is found to be left over.
            self.tools.engine(&["volume", "rm", &volume])?;
        }
        Ok(())
    }

    fn volumes(&self, project: &str) -> Result<Vec<String>, Failure> {
        self.tools.listed("volume", &["ls", "--format", "{{.Name}}"], project)
    }

    /// Waits until the engine has nothing of the project any more; what it still has otherwise.
    fn wait_until_gone(&self, project: &str) -> Result<Vec<String>, Failure> {
        let asked = Instant::now();
        loop {
            let left = self.left_over(project)?;
            if left.is_empty() || asked.elapsed() >= FORGETTING {
                return Ok(left);
            }
            thread::sleep(INTERVAL);
        }
    }

    /// What carries the project's label though it should be gone.
    fn left_over(&self, project: &str) -> Result<Vec<String>, Failure> {
        let listed = |command, options: &[&str]| self.tools.listed(command, options, project);
        let containers = listed("ps", &["--all", "--format", "{{.Names}}"])?;
        let networks = listed("network", &["ls", "--format", "{{.Name}}"])?;
        let volumes = if self.rules.remove_volumes { self.volumes(project)? } else { Vec::new() };
        let containers = containers.iter().map(|it| format!("container {it}"));
        let networks = networks.iter().map(|it| format!("network {it}"));
        let volumes = volumes.iter().map(|it| format!("volume {it}"));
        Ok(containers.chain(networks).chain(volumes).collect())
    }
}

/// The model that Compose printed, unless it refused the package.
fn model_of(workload: &Workload, ended: &Finished) -> Result<Model, Failure> {
    let bad = |why: &str| {
        let component = &workload.component;
        let message = format!("Compose refuses the package of component `{component}`{why}");
        Failure::new(code::BAD_PACKAGE, message)
    };
    if !ended.status.success() {
        return Err(bad(&last_words(&ended.stderr.text())));
    }
    let printed = ended.stdout.whole().ok_or_else(|| bad(": resolved it has more than 1 MiB"))?;
    Model::parse(printed).map_err(|error| bad(&format!(": its model cannot be read: {error}")))
}

fn project_arguments(
    workload: &Workload,
    project: &Project,
    file: &Path,
    command: &[&str],
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--project-name".into(), (&workload.name).into()];
    arguments.extend(["--project-directory".into(), (&project.folder).into()]);
    arguments.extend(["--file".into(), file.into()]);
    // The last one that has a variable decides.
    for file in project.defaults().into_iter().chain([project.variables.clone()]) {
        arguments.extend(["--env-file".into(), file.into()]);
    }
    arguments.extend(command.iter().map(Into::into));
    arguments
}

fn borrowed(arguments: &[OsString]) -> Vec<&OsStr> {
    arguments.iter().map(OsString::as_os_str).collect()
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
