//! Brings a package up: resolve, judge, pull, put in place, start, and wait until it runs.
//!
//! Whatever can fail without the engine having to stop anything is done first: a bad package, a
//! refused key or an image that cannot be had leaves the former version running as it was. Once
//! Compose has begun to exchange containers there is no way back by itself. Then the former version
//! is put back if nothing of the new one has run yet, so that no data can have been touched; otherwise
//! the failure says what runs now, and what follows is for the operator to say.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

use super::containers::{Container, Standing};
use super::env_file::env_file;
use super::model::Model;
use super::package::{Content, Package, Project};
use super::permission::{self, Judged};
use super::settle::{Expected, failed_service, settle};
use super::tools::LOOK;
use super::{ComposeProvider, blame, ended, files};
use crate::process::Finished;
use crate::words::last_words;
use crate::{Failure, Workload, code};

/// How long putting the former version back may take at least, when the time is nearly up.
const PUTTING_BACK: Duration = Duration::from_secs(60);
/// The longest list of what runs, in characters.
const LONGEST_LIST: usize = 500;

/// What Podman says of a container that others live in.
const HAS_DEPENDENTS: &str = "has dependent containers";
const UNFETCHED: &str = "the images cannot be fetched";

/// Which containers are made anew. Their volumes, named or not, go over to the new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// Those of which something has changed in the package.
    Changed,
    /// All of them, since somebody has changed what is there.
    All,
}

/// Why bringing up failed, and how far it had come.
struct Stuck {
    failure: Failure,
    /// The containers before Compose began to exchange them, if it did.
    before: Option<Vec<Container>>,
}

impl From<Failure> for Stuck {
    fn from(failure: Failure) -> Self {
        Self { failure, before: None }
    }
}

impl ComposeProvider {
    pub(super) fn bring_up_or_put_back(
        &self,
        workload: &Workload,
        exchange: Exchange,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + workload.timeout;
        let package = Package::of(&workload.directory);
        let was_installed = package.record().services.is_some();
        let new = env_file(&workload.parameters)
            .and_then(|variables| Content::read(&workload.package, variables));
        let running = package.model();
        let brought_up = new
            .map_err(Stuck::from)
            .and_then(|new| self.bring_up(workload, &new, exchange, running.as_ref(), deadline));
        let Err(Stuck { failure, before }) = brought_up else { return Ok(()) };
        if [code::INTERRUPTED, code::ENGINE_UNAVAILABLE].contains(&failure.code) {
            return Err(failure);
        }
        let mut message = failure.message;
        if let Some(before) = before
            && was_installed
            && let Some(former) = package.installed()
        {
            let until = deadline.max(Instant::now() + PUTTING_BACK);
            message.push_str(&self.put_back(workload, &former, &before, until));
        }
        message.push_str(&self.what_runs(workload));
        Err(Failure::new(failure.code, message))
    }

    fn bring_up(
        &self,
        workload: &Workload,
        content: &Content,
        exchange: Exchange,
        running: Option<&Model>,
        deadline: Instant,
    ) -> Result<(), Stuck> {
        let package = Package::of(&workload.directory);
        let prepared = package.prepare(content)?;
        let model = self.resolve(workload, content, running, &prepared)?;
        package.keep_model(&model)?;
        self.pull(workload, content, &prepared, &model, deadline)?;
        let (project, mut record) = package.adopt(&content.archive)?;

        let before = self.remove_left_overs(workload)?;
        let run = || -> Result<Vec<Container>, Failure> {
            self.start(workload, &project, exchange, &before, deadline)?;
            if !workload.wait {
                return self.tools.containers(&workload.name);
            }
            let services = &model.services();
            settle(&self.tools, &Expected { workload, services, before: &before, deadline })
        };
        let containers = match run() {
            Ok(containers) => containers,
            Err(failure) => return Err(Stuck { failure, before: Some(before) }),
        };
        record.services = Some(model.services());
        record.done = ended::done(&containers);
        record.containers = containers.into_iter().map(|it| it.id).collect();
        Ok(package.finish(&record, content)?)
    }

    /// Lets Compose read the package with its parameters, judges what it makes of it, and moves that
    /// to where the package is going to lie.
    fn resolve(
        &self,
        workload: &Workload,
        content: &Content,
        running: Option<&Model>,
        prepared: &Project,
    ) -> Result<Model, Failure> {
        let outside = files::outside(&content.archive)?;
        permission::check_files(&outside, &self.rules.allow)?;
        let command = ["config", "--format", "json"];
        let arguments = arguments(workload, prepared, &prepared.compose_file(), &command);
        let ended = self.tools.compose(&borrowed(&arguments), &prepared.folder, LOOK)?;
        let model = model_of(workload, &ended)?;
        if let Some((service, _)) = model.part("services").find(|(_, it)| !it["build"].is_null()) {
            let message = format!(
                "service `{service}` is to be built on the device; a package names images that are there to be fetched"
            );
            return Err(Failure::new(code::BAD_PACKAGE, message));
        }
        let judged = Judged { project: &workload.name, folder: &prepared.folder, model: &model };
        permission::check(&judged, &self.rules.allow)?;

        // A former form of the workload may have put links where the paths lead from now on.
        let folder = workload.directory.join("package");
        let mut model = model.moved(&prepared.folder, &folder);
        permission::check_links(&model, running, &folder, &self.rules.allow)?;
        model.label_files(&content.archive, &folder);
        model.pull_what_is_missing();
        Ok(model)
    }

    /// Fetches the images, while the former version runs on.
    fn pull(
        &self,
        workload: &Workload,
        content: &Content,
        prepared: &Project,
        model: &Model,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let arguments = arguments(workload, prepared, &prepared.model, &["pull", "--quiet"]);
        let left = deadline.saturating_duration_since(Instant::now());
        let failure = match self.tools.compose(&borrowed(&arguments), &prepared.folder, left) {
            Ok(ended) if ended.status.success() => None,
            Ok(ended) => Some(blamed(UNFETCHED, workload, &ended)),
            Err(failure) if failure.code == code::TIMED_OUT => {
                return Err(late("were its images fetched", workload, &failure));
            }
            Err(failure) => return Err(failure),
        };
        if let Some(failure) = failure {
            let installed = || Package::of(&workload.directory).installed();
            // What ran already is repaired without its registry, even if its author always asks there.
            if failure.code != code::REGISTRY_UNREACHABLE
                || !installed().is_some_and(|it| it.is_same(content))
            {
                return Err(failure);
            }
            tracing::info!(workload = workload.name, error = %failure, "using the images at hand");
        }
        // Compose passes over what is never to be fetched, and finds out too late that it is missing.
        let images = model.images();
        if images.is_empty() {
            return Ok(());
        }
        let mut command = vec!["image", "inspect", "--format", "{{.Id}}"];
        command.extend(images);
        let ended = self.tools.engine(&command)?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(blamed(UNFETCHED, workload, &ended)),
        }
    }

    /// Removes what Compose had made to take the place of a container when it was ended, by a power
    /// cut perhaps. It stumbles over that (Compose 2.26), and stops the container for nothing.
    fn remove_left_overs(&self, workload: &Workload) -> Result<Vec<Container>, Failure> {
        let found = self.tools.containers(&workload.name)?;
        let (left_over, rest): (Vec<_>, Vec<_>) =
            found.iter().cloned().partition(|it| it.is_left_over_beside(&found));
        self.remove_containers(&left_over)?;
        Ok(rest)
    }

    /// What could not be removed makes Compose say why.
    fn remove_containers(&self, containers: &[Container]) -> Result<(), Failure> {
        if containers.is_empty() {
            return Ok(());
        }
        let ids = containers.iter().map(|it| it.id.as_str());
        let command: Vec<&str> = ["rm", "--force"].into_iter().chain(ids).collect();
        self.tools.engine(&command).map(|_| ())
    }

    fn start(
        &self,
        workload: &Workload,
        project: &Project,
        exchange: Exchange,
        before: &[Container],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut ended = self.up(workload, project, exchange, deadline);
        if let Ok(it) = &ended
            && !it.status.success()
            && it.stderr.text().contains(HAS_DEPENDENTS)
        {
            // Podman lets nobody remove a container in whose network another one lives. Compose
            // makes the other one anew in any case.
            let rest = self.remove_left_overs(workload)?;
            let dependents: Vec<_> = rest.into_iter().filter(Container::is_dependent).collect();
            self.remove_containers(&dependents)?;
            ended = self.up(workload, project, exchange, deadline);
        }
        let failure = match ended {
            Ok(ended) if ended.status.success() => return Ok(()),
            Ok(ended) => blamed("it could not be started", workload, &ended),
            Err(failure) if failure.code == code::TIMED_OUT => {
                late("was it started", workload, &failure)
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

    fn up(
        &self,
        workload: &Workload,
        project: &Project,
        exchange: Exchange,
        deadline: Instant,
    ) -> Result<Finished, Failure> {
        let mut command = vec!["up", "--detach", "--remove-orphans", "--pull", "never"];
        if exchange == Exchange::All {
            command.push("--force-recreate");
        }
        let arguments = arguments(workload, project, &project.model, &command);
        let left = deadline.saturating_duration_since(Instant::now());
        self.tools.compose(&borrowed(&arguments), &project.folder, left)
    }

    /// Brings the former version up again, unless something of the new one has run: that may have
    /// changed data in a way which the former one does not understand. Tells what it did.
    fn put_back(
        &self,
        workload: &Workload,
        former: &Content,
        before: &[Container],
        until: Instant,
    ) -> String {
        let Ok(containers) = self.tools.containers(&workload.name) else { return String::new() };
        let is_new = |it: &&Container| before.iter().all(|former| former.id != it.id);
        if containers.iter().filter(is_new).any(Container::has_run) {
            return String::new();
        }
        // Nothing of what runs now has come since: the former version was judged beside it.
        match self.bring_up(workload, former, Exchange::Changed, None, until) {
            Ok(()) => "\nthe former version was put back".to_owned(),
            Err(Stuck { failure, .. }) => {
                format!("\nthe former version could not be put back: {failure}")
            }
        }
    }

    /// What runs of the workload after a failure: a further line of the message.
    fn what_runs(&self, workload: &Workload) -> String {
        let Ok(containers) = self.tools.containers(&workload.name) else { return String::new() };
        let running: BTreeSet<String> = containers
            .iter()
            .filter(|it| matches!(it.standing(), Standing::Running { .. } | Standing::Starting))
            .map(|it| format!("`{}` ({})", it.service(), it.image()))
            .collect();
        if running.is_empty() {
            return "\nnothing of it runs now".to_owned();
        }
        let running: String =
            running.into_iter().collect::<Vec<_>>().join(", ").chars().take(LONGEST_LIST).collect();
        format!("\nof it run now: {running}")
    }
}

fn blamed(what: &str, workload: &Workload, ended: &Finished) -> Failure {
    let printed = ended.stderr.text();
    let (code, meaning) = blame::blame(&printed);
    let words = last_words(&printed);
    Failure::new(code, format!("component `{}`: {what}: {meaning}{words}", workload.component))
}

fn late(what: &str, workload: &Workload, failure: &Failure) -> Failure {
    let (component, seconds) = (&workload.component, workload.timeout.as_secs());
    let words = last_words(&failure.message);
    let message = format!("component `{component}`: not even {what} within {seconds} s{words}");
    Failure::new(code::TIMED_OUT, message)
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

fn arguments(
    workload: &Workload,
    project: &Project,
    file: &Path,
    command: &[&str],
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--project-name".into(), (&workload.name).into()];
    arguments.extend(["--project-directory".into(), (&project.folder).into()]);
    arguments.extend(["--file".into(), file.into()]);
    for file in project.env_files() {
        arguments.extend(["--env-file".into(), file.into()]);
    }
    arguments.extend(command.iter().map(Into::into));
    arguments
}

fn borrowed(arguments: &[OsString]) -> Vec<&OsStr> {
    arguments.iter().map(OsString::as_os_str).collect()
}
