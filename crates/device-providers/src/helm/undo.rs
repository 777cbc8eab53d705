//! What becomes of a release when bringing it further goes wrong: now, or some time ago by a kill or a power
//! cut. The version that ran before is put back, and told of.

use std::time::Duration;

use margo_contract::digest::Digest;

use super::likeness::Likeness;
use super::record::{Folder, Record};
use super::release::{History, Release, Revision, Status};
use super::tools::{Helm, Waiting};
use super::{Installation, blame, removal, values};
use crate::words::last_words;
use crate::{Failure, code};

/// How long the former version gets at least to run again. It did so before.
const PUTTING_BACK: Duration = Duration::from_secs(60);
/// How long Helm gets to apply a manifest without waiting for anything.
const APPLYING: Duration = Duration::from_secs(60);

/// What there was of a release before it was touched.
pub(super) struct Before {
    history: History,
    /// The one that ran.
    deployed: Option<Revision>,
    record: Option<Record>,
    /// What runs is what is wanted: there is nothing to go back to.
    is_the_same: bool,
}

impl Before {
    pub(super) fn of(
        helm: &Helm<'_>,
        release: Release<'_>,
        record: Option<Record>,
    ) -> Result<Self, Failure> {
        let history = helm.history(release)?;
        let deployed = history.deployed().cloned();
        let record =
            record.filter(|it| deployed.as_ref().is_some_and(|d| d.revision == it.revision));
        Ok(Self { history, deployed, record, is_the_same: false })
    }

    /// What is wanted now.
    pub(super) fn compare_with(&mut self, content: Digest) {
        self.is_the_same = self.record.as_ref().is_some_and(|it| it.content == content);
    }

    /// Puts back what ran, where something else was tried, and says what runs now.
    pub(super) fn tell_what_runs(
        &self,
        work: &Installation<'_>,
        folder: &Folder<'_>,
        failure: Failure,
    ) -> Failure {
        if [code::INTERRUPTED, code::ENGINE_UNAVAILABLE].contains(&failure.code) {
            return failure;
        }
        let Ok(history) = work.helm.history(work.release) else { return failure };
        let is_untouched = history == self.history;
        let told = match &self.deployed {
            None => "no former version of it ran".to_owned(),
            Some(former) if is_untouched => format!("{former} still runs"),
            Some(former) if self.is_the_same => {
                format!("it is the same as {former}, so there is nothing to go back to")
            }
            Some(former) => match self.put_back(work, folder, former) {
                Ok(now) => format!("{former} was put back and runs, as revision {now}"),
                Err(Failure { code: code::INTERRUPTED, .. }) => return failure,
                Err(Failure { message, .. }) => {
                    format!("{former} was put back and does not run: {message}")
                }
            },
        };
        Failure::new(failure.code, format!("{}\n{told}", failure.message))
    }

    /// Goes back to what ran; the number that it has now.
    fn put_back(
        &self,
        work: &Installation<'_>,
        folder: &Folder<'_>,
        former: &Revision,
    ) -> Result<u32, Failure> {
        let waiting = Waiting::For(work.left().max(PUTTING_BACK));
        let ended = work.helm.roll_back(work.release, former.revision, waiting)?;
        let is_back = ended.status.success();
        let live = work.helm.live(work.release)?;
        let now = live.as_ref().map_or(former.revision, |it| it.version);
        if let Some(Record { content, .. }) = self.record {
            let likeness = live.as_ref().filter(|_| is_back).map(Likeness::of);
            folder.remember(&Record { revision: now, content, likeness })?;
        }
        if is_back {
            return Ok(now);
        }
        let said = blame::told(&ended.stderr.text());
        let said = values::without_values(&said, &work.workload.parameters);
        Err(Failure::new(code::START_FAILED, format!("Helm gave up{}", last_words(&said))))
    }
}

/// Brings a release that was left in the middle of something to a state from which Helm knows the way: all that is in
/// the cluster is of the revision in force. A removal that was begun is finished.
///
/// What was begun may have written data already, so that nothing is removed for it: the version that ran before is put
/// back, and where there was none, what was begun becomes the one in force.
pub(super) fn finish_what_was_begun(
    work: &Installation<'_>,
    before: &Before,
) -> Result<(), Failure> {
    match before.history.last().map(|it| it.status) {
        Some(Status::Uninstalling | Status::Uninstalled) => {
            removal::remove(work.helm, work.release, work.workload, &work.provider.stop)
        }
        _ => leave_the_middle(work.helm, work.release, &before.history),
    }
}

/// Goes back, without waiting, from a revision that was left in the middle.
pub(super) fn leave_the_middle(
    helm: &Helm<'_>,
    release: Release<'_>,
    history: &History,
) -> Result<(), Failure> {
    let Some(last) = history.last() else { return Ok(()) };
    let target = match last.status {
        Status::Deployed | Status::Uninstalling | Status::Uninstalled => return Ok(()),
        Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => {
            history.deployed().unwrap_or(last)
        }
        // Helm takes up by itself what has failed before anything ran.
        Status::Failed | Status::Superseded | Status::Unknown => match history.deployed() {
            Some(deployed) => deployed,
            None => return Ok(()),
        },
    };
    tracing::warn!(release = release.name, %last, %target, "left in the middle; going back");
    // One that fails is not pending any more, which will do.
    helm.roll_back(release, target.revision, Waiting::No(APPLYING)).map(drop)
}
