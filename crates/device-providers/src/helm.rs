//! Helm charts, carried out by `helm` on the cluster that the device belongs to.
//!
//! Helm installs, waits and remembers; whether a release runs is read from what the cluster has of it,
//! which `helm status` shows. The release is the only state that counts: what a kill or a power cut
//! has left half done is seen in its history and brought to an end first.
//!
//! What a chart makes belongs to the chart. A volume claim that a StatefulSet has made from its template
//! stays when the release goes, as Kubernetes has it; a claim that the chart lists itself goes with the
//! release, unless its author marks it with `helm.sh/resource-policy: keep`. An update that would delete
//! a claim is refused. The namespace stays.

mod blame;
mod chart;
mod claims;
mod health;
mod likeness;
mod pods;
mod pointer;
mod record;
mod release;
mod removal;
mod tools;
mod undo;
mod values;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use margo_contract::digest::Digest;

use self::likeness::Likeness;
use self::record::{Folder, Record};
use self::release::{Live, Release, Status};
use self::tools::{Helm, Waiting};
use self::undo::{Before, finish_what_was_begun};
use crate::process::Finished;
use crate::words::last_words;
use crate::{Failure, Observed, Offer, Provider, Workload, code, files, offer};

/// How often a release is looked at while it is waited for. Each look starts a program.
const INTERVAL: Duration = Duration::from_secs(1);

/// Helm and the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The command line of Helm, without the arguments that we add: `["helm"]`.
    pub command: Vec<String>,
    /// The file that tells where the cluster is and who we are. Without it, what Helm finds by itself.
    pub kubeconfig: Option<PathBuf>,
    /// A folder for Helm's own files, made when it is needed.
    pub home: PathBuf,
}

/// Runs Helm charts.
#[derive(Debug, Clone)]
pub struct HelmProvider {
    settings: Settings,
    stop: Arc<AtomicBool>,
    /// Of the Helm that was there last.
    version: Arc<Mutex<Option<String>>>,
}

impl HelmProvider {
    /// Once `stop` is set, whatever is under way ends early with [`code::INTERRUPTED`].
    pub fn new(settings: Settings, stop: Arc<AtomicBool>) -> Self {
        Self { settings, stop, version: Arc::default() }
    }

    fn helm(&self) -> Result<Helm<'_>, Failure> {
        let helm = Helm::find(&self.settings, &self.stop)?;
        *self.version() = Some(helm.version.clone());
        Ok(helm)
    }

    /// What of a release is in the cluster. Looks are made often, so the Helm that was there last is
    /// believed to be there still, until it fails.
    fn look(&self, release: Release<'_>) -> Result<Option<Live>, Failure> {
        let known = self.version().clone();
        let known = known.and_then(|it| Helm::of_version(&self.settings, &self.stop, &it));
        let helm = known.map_or_else(|| self.helm(), Ok)?;
        helm.live(release).inspect_err(|_| *self.version() = None)
    }

    fn version(&self) -> MutexGuard<'_, Option<String>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for HelmProvider {
    fn install(&self, workload: &Workload) -> Result<(), Failure> {
        let release = Release::of(workload)?;
        let helm = self.helm()?;
        let deadline = Instant::now() + workload.timeout;
        let folder = Folder::of(&workload.directory);
        let mut before = Before::of(&helm, release, folder.record())?;
        let work = Installation { provider: self, helm: &helm, workload, release, deadline };
        work.carry_out(&folder, &mut before)
            .map_err(|failure| before.tell_what_runs(&work, &folder, failure))
    }

    fn remove(&self, workload: &Workload) -> Result<(), Failure> {
        let release = Release::of(workload)?;
        let helm = self.helm()?;
        removal::remove(&helm, release, workload, &self.stop)?;
        Folder::of(&workload.directory).remove()
    }

    fn offers(&self) -> Result<Offer, Failure> {
        let helm = self.helm()?;
        helm.reach_cluster()?;
        Ok(Offer { tool: offer::version(&helm.version), ..Offer::default() })
    }

    fn observe(&self, workload: &Workload) -> Result<Observed, Failure> {
        let release = Release::of(workload)?;
        let Some(live) = self.look(release)? else { return Ok(Observed::Absent) };
        let is_removed = live.status() == Status::Uninstalled;
        if is_removed && live.objects().all(release::Object::is_kept) {
            return Ok(Observed::Absent);
        }
        if let Some(failure) = health::unfinished(live.status()) {
            return Ok(Observed::Degraded(failure));
        }
        let Some(record) = Folder::of(&workload.directory).record() else {
            let what = "its installation was not finished";
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_MISSING, what)));
        };
        let (known, now) = (record.revision, live.version);
        if known != now {
            let what = format!("somebody has brought the release from revision {known} to {now}");
            return Ok(Observed::Degraded(Failure::new(code::SERVICE_CHANGED, what)));
        }
        // What somebody has changed comes first: the rest may follow from it.
        let mut troubles = record.likeness.map(|it| it.changes(&live)).unwrap_or_default();
        troubles.extend(health::troubles(&live));
        let failure = health::failure(&troubles, code::SERVICE_MISSING);
        Ok(failure.map_or(Observed::Running, Observed::Degraded))
    }
}

/// Bringing one release to what is wanted.
struct Installation<'a> {
    provider: &'a HelmProvider,
    helm: &'a Helm<'a>,
    workload: &'a Workload,
    release: Release<'a>,
    deadline: Instant,
}

impl Installation<'_> {
    fn carry_out(&self, folder: &Folder<'_>, before: &mut Before) -> Result<(), Failure> {
        let values = values::document(&self.workload.parameters)?;
        let content = content(&self.workload.package, &values)?;
        before.compare_with(content);
        chart::check(self.helm, self.workload)?;
        finish_what_was_begun(self, before)?;
        let file = folder.keep_values(&values)?;
        let done = self.upgrade(&file);
        folder.drop_values();
        done.and_then(|()| self.remember(folder, content))
    }

    fn upgrade(&self, values: &Path) -> Result<(), Failure> {
        claims::check_all_stay(self, values)?;
        let waiting = if self.workload.wait { Waiting::For } else { Waiting::No };
        let package = &self.workload.package;
        let ended = self.helm.upgrade(self.release, package, values, waiting(self.left()))?;
        if !ended.status.success() {
            return Err(self.blame(&ended));
        }
        if self.workload.wait { self.settle() } else { Ok(()) }
    }

    /// Waits until all runs. Helm has seen it do so by rules that are more forgiving than ours.
    fn settle(&self) -> Result<(), Failure> {
        loop {
            let troubles = match self.helm.live(self.release)? {
                Some(live) => health::troubles(&live),
                None => return Err(self.failed("the release is gone all at once")),
            };
            let is_over = troubles.iter().any(|it| it.is_final) || Instant::now() >= self.deadline;
            match health::failure(&troubles, code::TIMED_OUT) {
                None => return Ok(()),
                Some(failure) if is_over => return Err(self.late(&failure)),
                Some(_) => self.pause()?,
            }
        }
    }

    /// Why Helm failed: what is amiss in the cluster says more than Helm, which has waited in vain.
    fn blame(&self, ended: &Finished) -> Failure {
        let said = blame::told(&ended.stderr.text());
        let (code, meaning) = blame::blame(&said);
        if code == code::TIMED_OUT {
            let live = self.helm.live(self.release).ok().flatten();
            let amiss = live.and_then(|it| health::failure(&health::troubles(&it), code));
            if let Some(failure) = amiss {
                return self.late(&failure);
            }
        }
        let said = values::without_values(&said, &self.workload.parameters);
        let component = &self.workload.component;
        let words = last_words(&said);
        Failure::new(
            code,
            format!("component `{component}` could not be installed: {meaning}{words}"),
        )
    }

    fn late(&self, failure: &Failure) -> Failure {
        let Workload { component, timeout, .. } = self.workload;
        let seconds = timeout.as_secs();
        let message =
            format!("component `{component}` does not run after {seconds} s: {}", failure.message);
        Failure::new(failure.code, message)
    }

    fn failed(&self, why: &str) -> Failure {
        let message =
            format!("component `{}` could not be installed: {why}", self.workload.component);
        Failure::new(code::START_FAILED, message)
    }

    fn remember(&self, folder: &Folder<'_>, content: Digest) -> Result<(), Failure> {
        let Some(live) = self.helm.live(self.release)? else {
            return Err(self.failed("the release is gone all at once"));
        };
        let likeness = Some(Likeness::of(&live));
        folder.remember(&Record { revision: live.version, content, likeness })
    }

    fn pause(&self) -> Result<(), Failure> {
        pause(&self.provider.stop)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Waits a moment, unless the client is to stop.
fn pause(stop: &AtomicBool) -> Result<(), Failure> {
    if stop.load(Ordering::Relaxed) {
        let message = "waiting for the cluster was given up: the client is being stopped";
        return Err(Failure::new(code::INTERRUPTED, message));
    }
    thread::sleep(INTERVAL);
    Ok(())
}

/// Tells one installation from another: the same chart with the same values is the same again.
fn content(package: &Path, values: &[u8]) -> Result<Digest, Failure> {
    let mut bytes = files::read_archive(package)?;
    bytes.extend_from_slice(values);
    Ok(Digest::of(&bytes))
}
