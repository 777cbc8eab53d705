//! The calls of `helm`. It runs with folders of our own: what the machine's users have set up for themselves
//! (plugins, repositories, caches) is not looked at.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::release::{History, Live, Release};
use super::{Settings, blame};
use crate::process::Finished;
use crate::tool::Tool;
use crate::words::last_words;
use crate::{Failure, code};

/// How long a look may take.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// How long it may take to see whether the cluster is there.
const GLANCE: Duration = Duration::from_secs(10);
/// How much longer than it was told Helm may take, to write down how it ended.
const CLOSING: Duration = Duration::from_secs(15);
/// The largest answer. A release is described together with all that it has in the cluster.
const LARGEST_ANSWER: usize = 32 << 20;
/// How many revisions Helm remembers.
const REVISIONS: &str = "--history-max=10";
/// What of our environment tells where the cluster is, unless it is configured: the second and the third
/// are there when we run in the cluster ourselves.
const INHERITED: [&str; 3] = ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];

/// Helm on this device.
pub(super) struct Helm<'a> {
    settings: &'a Settings,
    stop: &'a AtomicBool,
    /// Such as `v3.21.4`.
    pub(super) version: String,
    /// Helm 4 differs from Helm 3 in what it can be asked.
    is_newer: bool,
}

/// Whether a call waits until what it has changed runs, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waiting {
    No(Duration),
    For(Duration),
}

impl<'a> Helm<'a> {
    /// Asks which Helm there is: the owner may have exchanged it since the last call.
    pub(super) fn find(settings: &'a Settings, stop: &'a AtomicBool) -> Result<Self, Failure> {
        let unknown = Self { settings, stop, version: String::new(), is_newer: false };
        let ended = unknown.run(&["version", "--template", "{{.Version}}"], LOOK)?;
        let version = ended.stdout.text().trim().to_owned();
        let helm = Self::of_version(settings, stop, &version).filter(|_| ended.status.success());
        helm.ok_or_else(|| {
            let said = last_words(&format!("{version}\n{}", ended.stderr.text()));
            let message = format!("the command for Helm is not Helm 3 or newer{said}");
            Failure::new(code::ENGINE_UNAVAILABLE, message)
        })
    }

    /// Helm, if this is a version of it that is known here.
    pub(super) fn of_version(
        settings: &'a Settings,
        stop: &'a AtomicBool,
        version: &str,
    ) -> Option<Self> {
        let is_newer = match version.trim_start_matches('v').split('.').next()?.parse::<u32>() {
            Ok(3) => false,
            Ok(4..) => true,
            _ => return None,
        };
        Some(Self { settings, stop, version: version.to_owned(), is_newer })
    }

    /// Makes sure that the cluster answers.
    pub(super) fn reach_cluster(&self) -> Result<(), Failure> {
        let ended = self.run(&["list", "--max=1", "--output=json"], GLANCE)?;
        let said = blame::told(&ended.stderr.text());
        // Who is told that this is not for him has had an answer.
        if ended.status.success() || said.contains("is forbidden:") {
            return Ok(());
        }
        let words = last_words(&said);
        Err(Failure::new(code::ENGINE_UNAVAILABLE, format!("the cluster does not answer{words}")))
    }

    /// The `Chart.yaml` of a package.
    pub(super) fn show_chart(&self, package: &Path) -> Result<Finished, Failure> {
        self.run(&["show".as_ref(), "chart".as_ref(), package.as_os_str()], LOOK)
    }

    /// The revisions of a release; none when there is no release.
    pub(super) fn history(&self, release: Release<'_>) -> Result<History, Failure> {
        let command = ["history", release.name, "--output=json", "--namespace", release.namespace];
        Ok(self.ask(&command)?.unwrap_or_default())
    }

    /// A release and what of it is in the cluster; nothing when there is no release.
    pub(super) fn live(&self, release: Release<'_>) -> Result<Option<Live>, Failure> {
        let Release { name, namespace } = release;
        let mut command = vec!["status", name, "--output=json", "--namespace", namespace];
        // Helm 4 always does.
        command.extend((!self.is_newer).then_some("--show-resources"));
        self.ask(&command)
    }

    /// Installs a chart, or brings the release to it.
    pub(super) fn upgrade(
        &self,
        release: Release<'_>,
        package: &Path,
        values: &Path,
        waiting: Waiting,
    ) -> Result<Finished, Failure> {
        let mut command: Vec<OsString> =
            vec!["upgrade".into(), release.name.into(), package.into()];
        command.extend(
            ["--install", "--create-namespace", "--reset-values", REVISIONS].map(Into::into),
        );
        command.extend(["--values".into(), values.into()]);
        command.extend(self.prevailing());
        self.change(release, command, waiting)
    }

    /// What would become of a release by [`Helm::upgrade`].
    pub(super) fn preview(
        &self,
        release: Release<'_>,
        package: &Path,
        values: &Path,
    ) -> Result<Finished, Failure> {
        let mut command: Vec<OsString> =
            vec!["upgrade".into(), release.name.into(), package.into()];
        command.extend(["--reset-values", "--dry-run=server", "--output=json"].map(Into::into));
        command.extend(["--values".into(), values.into()]);
        self.change(release, command, Waiting::No(LOOK))
    }

    /// Goes back to a revision, whatever state the release is in.
    pub(super) fn roll_back(
        &self,
        release: Release<'_>,
        revision: u32,
        waiting: Waiting,
    ) -> Result<Finished, Failure> {
        let mut command: Vec<OsString> = ["rollback", release.name].map(Into::into).into();
        command.extend([revision.to_string().into(), REVISIONS.into()]);
        // Their author did not mean them for a repair.
        command.extend(matches!(waiting, Waiting::No(_)).then(|| "--no-hooks".into()));
        command.extend(self.prevailing());
        self.change(release, command, waiting)
    }

    /// Removes what the release has in the cluster, and its record unless that is to be kept.
    pub(super) fn uninstall(
        &self,
        release: Release<'_>,
        keep_record: bool,
        waiting: Waiting,
    ) -> Result<Finished, Failure> {
        let mut command: Vec<OsString> = ["uninstall", release.name].map(Into::into).into();
        // What is removed waits for what was made for it: a deployment for its pods.
        command.extend(["--cascade".into(), "foreground".into()]);
        command.extend(keep_record.then(|| "--keep-history".into()));
        self.change(release, command, waiting)
    }

    /// What somebody has changed in the cluster, or Helm 3 has made there, does not stand in the way of the
    /// desired state. With Helm 3 it never does.
    fn prevailing(&self) -> Vec<OsString> {
        let options: &[&str] =
            if self.is_newer { &["--server-side=true", "--force-conflicts"] } else { &[] };
        options.iter().map(Into::into).collect()
    }

    fn change(
        &self,
        release: Release<'_>,
        mut command: Vec<OsString>,
        waiting: Waiting,
    ) -> Result<Finished, Failure> {
        let (Waiting::No(time) | Waiting::For(time)) = waiting;
        command.extend(matches!(waiting, Waiting::For(_)).then(|| "--wait".into()));
        let seconds = time.as_secs().max(1);
        command.extend(["--timeout".into(), format!("{seconds}s").into()]);
        command.extend(["--namespace".into(), release.namespace.into()]);
        self.run(&command, Duration::from_secs(seconds) + CLOSING)
    }

    /// Asks about a release; nothing when there is none.
    fn ask<T: serde::de::DeserializeOwned>(&self, command: &[&str]) -> Result<Option<T>, Failure> {
        let ended = self.run(command, LOOK)?;
        let said = blame::told(&ended.stderr.text());
        if !ended.status.success() {
            if said.contains("release: not found") {
                return Ok(None);
            }
            let message =
                format!("the cluster cannot be asked about a release{}", last_words(&said));
            return Err(Failure::new(code::ENGINE_UNAVAILABLE, message));
        }
        let answer = ended.stdout.whole().ok_or("it is too long".to_owned());
        let read = answer.and_then(|it| serde_json::from_slice(it).map_err(|it| it.to_string()));
        read.map(Some).map_err(|error| {
            let message = format!("the answer of `helm {}` cannot be read: {error}", command[0]);
            Failure::new(code::ENGINE_UNAVAILABLE, message)
        })
    }

    fn run(&self, arguments: &[impl AsRef<OsStr>], timeout: Duration) -> Result<Finished, Failure> {
        let home = &self.settings.home;
        let folders = [
            ("HELM_CONFIG_HOME", home.join("config")),
            ("HELM_CACHE_HOME", home.join("cache")),
            ("HELM_DATA_HOME", home.join("data")),
            ("KUBECACHEDIR", home.join("cluster")),
        ];
        let mut variables: Vec<(&str, &OsStr)> =
            folders.iter().map(|(name, folder)| (*name, folder.as_os_str())).collect();
        variables
            .extend(self.settings.kubeconfig.as_ref().map(|it| ("KUBECONFIG", it.as_os_str())));
        let tool = Tool {
            command: &self.settings.command,
            // Paths may be relative to ours.
            folder: Path::new("."),
            inherited: &INHERITED,
            variables: &variables,
            kept: LARGEST_ANSWER,
            stop: self.stop,
        };
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        tool.run(&arguments, timeout)
    }
}
