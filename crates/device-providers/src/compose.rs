//! Compose packages, carried out by `docker compose` (or what speaks like it).
//!
//! Compose makes and removes; whether a workload runs is asked of the engine afterwards, by the
//! label that every container of a project carries. Neither the exit code of `up` nor its `--wait`
//! decides: the latter takes a job that has done its work for a failure (Compose 2.26).

mod containers;
mod env_file;
mod package;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::containers::{Container, Standing, by_service};
use self::env_file::env_file;
use self::package::{Package, Project, read_archive};
use crate::process::{self, Call, Finished, ProcessError};
use crate::{Failure, Observed, Provider, Workload, code};

/// How long a look at the engine or the package may take.
const LOOK: Duration = Duration::from_secs(60);
/// How often the containers are looked at while they start.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a service without a health check has to run on before it is believed to run.
const PROBATION: Duration = Duration::from_secs(2);
/// What of a program's or a service's last words goes into a message.
const LAST_LINES: usize = 10;
const LAST_CHARACTERS: usize = 1_500;
const LONGEST_PROJECT: usize = 63;
/// What of our environment tells the tools where the engine is.
const INHERITED: [&str; 7] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
    "XDG_RUNTIME_DIR",
];

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

/// Runs Compose packages.
#[derive(Debug, Clone)]
pub struct ComposeProvider {
    commands: Commands,
    stop: Arc<AtomicBool>,
}

impl ComposeProvider {
    /// Once `stop` is set, whatever is under way ends early with [`code::INTERRUPTED`].
    pub fn new(commands: Commands, stop: Arc<AtomicBool>) -> Self {
        Self { commands, stop }
    }
}

impl Provider for ComposeProvider {
    fn install(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.project)?;
        let deadline = Instant::now() + workload.timeout;
        let archive = read_archive(&workload.archive)?;
        let variables = env_file(&workload.environment)?;

        let package = Package::of(&workload.directory);
        let prepared = package.prepare(&archive, &variables)?;
        self.check_package(workload, &prepared)?;
        let (project, record) = package.adopt(&archive)?;

        self.start(workload, &project, record.recreate, deadline)?;
        let containers = self.settle(workload, deadline)?;
        package.finish(record, by_service(&containers))
    }

    fn remove(&self, workload: &Workload) -> Result<(), Failure> {
        check_project(&workload.project)?;
        // By the name alone: the package may be gone, or may not be readable any more. In the root
        // folder, so that Compose finds no other package to work on.
        let arguments = ["--project-name", &workload.project, "down", "--remove-orphans"];
        let arguments = arguments.map(OsStr::new);
        let ended = self.compose(&arguments, Path::new("/"), workload.timeout)?;
        let left = self.left_over(&workload.project)?;
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
        check_project(&workload.project)?;
        let containers = self.containers(&workload.project)?;
        let Some(expected) = Package::of(&workload.directory).record().services else {
            if containers.is_empty() {
                return Ok(Observed::Absent);
            }
            let detail = "its installation was not finished".to_owned();
            return Ok(Observed::Degraded { detail });
        };
        if containers.is_empty() && !expected.is_empty() {
            return Ok(Observed::Absent);
        }
        let found = by_service(&containers);
        for (service, count) in expected {
            if found.get(&service).is_none_or(|found| *found < count) {
                let detail = format!("service `{service}` lacks a container");
                return Ok(Observed::Degraded { detail });
            }
        }
        let amiss = containers.iter().find_map(|container| match container.standing() {
            Standing::Running { .. } | Standing::Finished | Standing::Starting => None,
            Standing::Waiting(what) | Standing::Failed { what, .. } => {
                Some(format!("service `{}` {what}", container.service()))
            }
        });
        Ok(amiss.map_or(Observed::Running, |detail| Observed::Degraded { detail }))
    }
}

impl ComposeProvider {
    /// Lets Compose read the package with its parameters, so that a bad one changes nothing.
    fn check_package(&self, workload: &Workload, project: &Project) -> Result<(), Failure> {
        let arguments = project_arguments(workload, project, &["config", "--quiet"]);
        let ended = self.compose(&borrowed(&arguments), &project.folder, LOOK)?;
        if ended.status.success() {
            return Ok(());
        }
        let message = format!(
            "Compose refuses the package of component `{}`{}",
            workload.component,
            last_words(&ended.stderr.text())
        );
        Err(Failure::new(code::BAD_PACKAGE, message))
    }

    fn start(
        &self,
        workload: &Workload,
        project: &Project,
        recreate: bool,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut command = vec!["up", "--detach", "--remove-orphans", "--quiet-pull"];
        if recreate {
            command.push("--force-recreate");
        }
        let arguments = project_arguments(workload, project, &command);
        let left = deadline.saturating_duration_since(Instant::now());
        let failure = match self.compose(&borrowed(&arguments), &project.folder, left) {
            Ok(ended) if ended.status.success() => return Ok(()),
            Ok(ended) => {
                let message = format!(
                    "component `{}` could not be started{}",
                    workload.component,
                    last_words(&ended.stderr.text())
                );
                Failure::new(code::START_FAILED, message)
            }
            Err(failure) if failure.code == code::TIMED_OUT => {
                let message = format!(
                    "component `{}` was not started within {} s{}",
                    workload.component,
                    workload.timeout.as_secs(),
                    last_words(&failure.message)
                );
                Failure::new(code::TIMED_OUT, message)
            }
            Err(failure) => return Err(failure),
        };
        // Compose waits for services that others depend on, and says little when they fail.
        let containers = self.containers(&workload.project)?;
        Err(self.failed_service(&containers).unwrap_or(failure))
    }

    /// Waits until every container runs well or has done its work.
    fn settle(&self, workload: &Workload, deadline: Instant) -> Result<Vec<Container>, Failure> {
        let mut seen = (Vec::new(), Instant::now());
        loop {
            let containers = self.containers(&workload.project)?;
            if let Some(failure) = self.failed_service(&containers) {
                return Err(failure);
            }
            let waiting = containers.iter().find_map(|container| match container.standing() {
                Standing::Starting => Some((container, "is starting".to_owned())),
                Standing::Waiting(what) => Some((container, what)),
                Standing::Running { .. } | Standing::Finished | Standing::Failed { .. } => None,
            });
            let unchecked: Vec<_> = containers
                .iter()
                .filter(|it| it.standing() == Standing::Running { checked: false })
                .map(Container::incarnation)
                .collect();
            if seen.0 != unchecked {
                seen = (unchecked, Instant::now());
            }
            let on_probation = !seen.0.is_empty() && seen.1.elapsed() < PROBATION;
            if !workload.wait || (waiting.is_none() && !on_probation) {
                return Ok(containers);
            }
            if Instant::now() >= deadline {
                return Err(self.late(workload, waiting.as_ref()));
            }
            if self.stop.load(Ordering::Relaxed) {
                let message = "waiting for the services was given up: the client is being stopped";
                return Err(Failure::new(code::INTERRUPTED, message));
            }
            thread::sleep(INTERVAL);
        }
    }

    fn late(&self, workload: &Workload, waiting: Option<&(&Container, String)>) -> Failure {
        let seconds = workload.timeout.as_secs();
        let message = match waiting {
            Some((container, what)) => format!(
                "service `{}` {what} after {seconds} s{}",
                container.service(),
                last_words(&self.log(container))
            ),
            None => format!("component `{}` did not run after {seconds} s", workload.component),
        };
        Failure::new(code::TIMED_OUT, message)
    }

    fn failed_service(&self, containers: &[Container]) -> Option<Failure> {
        containers.iter().find_map(|container| match container.standing() {
            Standing::Failed { code, what } => {
                let words = last_words(&self.log(container));
                let message = format!("service `{}` {what}{words}", container.service());
                Some(Failure::new(code, message))
            }
            Standing::Running { .. }
            | Standing::Finished
            | Standing::Starting
            | Standing::Waiting(_) => None,
        })
    }

    /// The last lines that a container printed; nothing when the engine does not give them.
    fn log(&self, container: &Container) -> String {
        let lines = LAST_LINES.to_string();
        let printed = self.engine(&["logs", "--tail", &lines, &container.id]);
        printed.map(|it| it.stdout.text() + &it.stderr.text()).unwrap_or_default()
    }

    /// The containers of a project, without those that somebody started beside it.
    fn containers(&self, project: &str) -> Result<Vec<Container>, Failure> {
        let ids = self.listed("ps", &["--all", "--no-trunc", "--quiet"], project)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec!["inspect", "--type", "container"];
        arguments.extend(ids.iter().map(String::as_str));
        let ended = self.engine(&arguments)?;
        // One that went away since it was listed makes the exit code bad, and the rest good.
        let described = ended.stdout.whole().and_then(|it| serde_json::from_slice(it).ok());
        let containers: Vec<Container> = described.ok_or_else(|| {
            unavailable("the engine did not describe the containers", &ended.stderr.text())
        })?;
        Ok(containers.into_iter().filter(|it| !it.is_one_off()).collect())
    }

    /// What carries the project's label though it should be gone; volumes may stay.
    fn left_over(&self, project: &str) -> Result<Vec<String>, Failure> {
        let containers = self.listed("ps", &["--all", "--format", "{{.Names}}"], project)?;
        let networks = self.listed("network", &["ls", "--format", "{{.Name}}"], project)?;
        let containers = containers.iter().map(|it| format!("container {it}"));
        Ok(containers.chain(networks.iter().map(|it| format!("network {it}"))).collect())
    }

    fn listed(
        &self,
        command: &str,
        options: &[&str],
        project: &str,
    ) -> Result<Vec<String>, Failure> {
        let filter = format!("label=com.docker.compose.project={project}");
        let mut arguments = vec![command];
        arguments.extend(options);
        arguments.extend(["--filter", &filter]);
        let ended = self.engine(&arguments)?;
        if !ended.status.success() {
            return Err(unavailable("the engine does not answer", &ended.stderr.text()));
        }
        Ok(ended.stdout.text().lines().map(str::to_owned).collect())
    }

    fn engine(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.run(&self.commands.engine, &arguments, Path::new("/"), LOOK)
    }

    fn compose(
        &self,
        arguments: &[&OsStr],
        folder: &Path,
        timeout: Duration,
    ) -> Result<Finished, Failure> {
        let mut all: Vec<&OsStr> =
            ["--progress", "quiet", "--ansi", "never"].iter().map(OsStr::new).collect();
        all.extend(arguments);
        self.run(&self.commands.compose, &all, folder, timeout)
    }

    fn run(
        &self,
        command: &[String],
        arguments: &[&OsStr],
        folder: &Path,
        timeout: Duration,
    ) -> Result<Finished, Failure> {
        let Some((program, first)) = command.split_first() else {
            return Err(unavailable("no command is configured for Compose or its engine", ""));
        };
        let mut all: Vec<&OsStr> = first.iter().map(OsStr::new).collect();
        all.extend(arguments);
        let call = Call {
            program: OsStr::new(program),
            arguments: &all,
            folder,
            inherited: &INHERITED,
            timeout,
            stop: &self.stop,
        };
        process::run(&call).map_err(|error| match error {
            ProcessError::TimedOut { ref stderr, .. } => {
                let message = format!("{error}{}", last_words(&stderr.text()));
                Failure::new(code::TIMED_OUT, message)
            }
            ProcessError::Interrupted { .. } => Failure::new(code::INTERRUPTED, error.to_string()),
            ProcessError::NotStarted { .. } => unavailable(&crate::chain(&error), ""),
        })
    }
}

fn project_arguments(workload: &Workload, project: &Project, command: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--project-name".into(), (&workload.project).into()];
    arguments.extend(["--file".into(), project.compose_file().into()]);
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

fn unavailable(what: &str, said: &str) -> Failure {
    Failure::new(code::ENGINE_UNAVAILABLE, format!("{what}{}", last_words(said)))
}

/// The end of what a program or a service printed, to be put behind a sentence.
fn last_words(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    let excess = end.chars().count().saturating_sub(LAST_CHARACTERS);
    let end: String = end.chars().skip(excess).collect();
    // Terminals obey control characters, and reports end up on terminals.
    format!(": {}", end.replace(|it: char| it.is_control() && it != '\n', " "))
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

    #[test]
    fn messages_quote_only_the_end_of_what_was_printed_and_nothing_that_steers_terminals() {
        assert_eq!(last_words(" \n"), "");
        let text: String = (0..100).map(|it| format!("line {it}\n")).collect();
        assert!(last_words(&text).starts_with(": line 90\n"));
        assert!(last_words(&"ä".repeat(10_000)).chars().count() <= LAST_CHARACTERS + 2);
        assert_eq!(last_words("a\x1b[31mb"), ": a [31mb");
    }
}
