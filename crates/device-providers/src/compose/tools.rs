//! The tools behind the provider, and what is asked of them.
//!
//! Each answer is bounded in time, and an engine that does not answer is told apart from one that
//! says no.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Commands;
use super::containers::Container;
use crate::process::{self, Finished};
use crate::tool::Tool;
use crate::words::{LAST_LINES, last_words};
use crate::{Failure, Offer, code, offer};

/// How long a look at the engine or the package may take.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// Which time of a log is of interest.
const LAST_TIME: &str = "5m";
/// How long the tools have to say what they are.
const QUESTION: Duration = Duration::from_secs(10);
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

/// A package comes from its archive alone. Compose would fetch what an `include` names from a Git
/// repository or a registry, by itself and with programs of its own choice.
const NOTHING_REMOTE: [(&str, &str); 2] =
    [("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "false"), ("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "false")];

/// Compose and the engine behind it.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) commands: Commands,
    /// Ends what is under way early once set.
    pub(super) stop: Arc<AtomicBool>,
}

impl Tools {
    /// The last lines that a container printed; nothing when the engine does not give them. Podman 4.3 gives
    /// none of the last lines where it has written one of them in pieces, but gives those of a time.
    pub(super) fn log(&self, container: &Container) -> String {
        let lines = LAST_LINES.to_string();
        let print = |which: [&str; 2]| {
            let printed = self.engine(&["logs", which[0], which[1], &container.id]);
            printed.map(|it| it.stdout.text() + &it.stderr.text()).unwrap_or_default()
        };
        let last = print(["--tail", &lines]);
        if last.trim().is_empty() { print(["--since", LAST_TIME]) } else { last }
    }

    /// The containers of a project, without those that somebody started beside it.
    pub(super) fn containers(&self, project: &str) -> Result<Vec<Container>, Failure> {
        let ids = self.listed("ps", &["--all", "--no-trunc", "--quiet"], project)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (containers, said) = self.described(&ids)?;
        let containers = containers
            .ok_or_else(|| unavailable("the engine did not describe the containers", &said))?;
        Ok(containers.into_iter().filter(|it| !it.is_one_off()).collect())
    }

    /// These containers, if all of them are still there.
    pub(super) fn inspect(&self, ids: &[String]) -> Result<Option<Vec<Container>>, Failure> {
        if ids.is_empty() {
            return Ok(None);
        }
        let (containers, _) = self.described(ids)?;
        Ok(containers.filter(|it| it.len() == ids.len()))
    }

    /// What the engine says of those that it has, and what it said beside.
    fn described(&self, ids: &[String]) -> Result<(Option<Vec<Container>>, String), Failure> {
        let mut arguments = vec!["inspect", "--type", "container"];
        arguments.extend(ids.iter().map(String::as_str));
        let ended = self.engine(&arguments)?;
        // One that went away since it was listed makes the exit code bad, and the rest good.
        let described = ended.stdout.whole().and_then(|it| serde_json::from_slice(it).ok());
        Ok((described, ended.stderr.text()))
    }

    /// What Compose and the engine say that they are.
    pub(super) fn offer(&self) -> Result<Offer, Failure> {
        let ask = |command: &[String], arguments: &[&str]| {
            let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
            let ended = self.run(command, &arguments, Path::new("/"), QUESTION)?;
            match ended.status.success() {
                true => Ok(ended.stdout),
                false => Err(unavailable(
                    &format!("`{}` does not answer", command.join(" ")),
                    &ended.stderr.text(),
                )),
            }
        };
        let tool = ask(&self.commands.compose, &["version", "--short"])?.text();
        let engine = ask(&self.commands.engine, &["version", "--format", "{{json .}}"])?;
        let (engine, architecture) = offer::engine(engine.whole().unwrap_or_default());
        Ok(Offer { tool: offer::version(&tool), engine, architecture })
    }

    /// What the engine lists of a kind that carries the project's label, a line for each.
    pub(super) fn listed(
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

    pub(super) fn engine(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.run(&self.commands.engine, &arguments, Path::new("/"), LOOK)
    }

    pub(super) fn compose(
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
        let variables = NOTHING_REMOTE.map(|(name, value)| (name, OsStr::new(value)));
        let tool = Tool {
            command,
            folder,
            inherited: &INHERITED,
            variables: &variables,
            kept: process::KEPT,
            stop: &self.stop,
        };
        tool.run(arguments, timeout)
    }
}

fn unavailable(what: &str, said: &str) -> Failure {
    Failure::new(code::ENGINE_UNAVAILABLE, format!("{what}{}", last_words(said)))
}
