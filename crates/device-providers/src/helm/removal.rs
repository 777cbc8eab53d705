//! Takes a release out of the cluster, and makes sure that all of it is gone. Helm's record of the release stays
//! until then, so that a removal that was interrupted, or that Helm has given up, is known to be unfinished.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::release::{Object, Release, Status};
use super::tools::{Helm, LOOK, Waiting};
use super::undo::leave_the_middle;
use super::{blame, pause};
use crate::words::last_words;
use crate::{Failure, Workload, code};

/// What of a release is told by name when it does not go.
const MOST_TOLD: usize = 5;

/// Removes a release; one that is not there is gone already.
pub(super) fn remove(
    helm: &Helm<'_>,
    release: Release<'_>,
    workload: &Workload,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + workload.timeout;
    let history = helm.history(release)?;
    let Some(last) = history.last() else { return Ok(()) };
    let failed = |what: &str, said: &str| {
        let message = format!(
            "component `{}` could not be removed{what}{}",
            workload.component,
            last_words(said)
        );
        Failure::new(code::REMOVE_FAILED, message)
    };
    let mut said = String::new();
    if last.status != Status::Uninstalled {
        // Helm removes what the newest revision asks for, and nothing of the one before it.
        leave_the_middle(helm, release, &history)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let ended = helm.uninstall(release, true, Waiting::For(left))?;
        if !ended.status.success() {
            said = blame::told(&ended.stderr.text());
        }
    }
    loop {
        let Some(live) = helm.live(release)? else { return Ok(()) };
        if live.status() != Status::Uninstalled {
            return Err(failed("", &said));
        }
        let left: Vec<String> =
            live.objects().filter(|it| !it.is_kept()).map(Object::title).take(MOST_TOLD).collect();
        if left.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            return Err(failed(&format!(": {} will not go", left.join(", ")), &said));
        }
        pause(stop)?;
    }
    let ended = helm.uninstall(release, false, Waiting::No(LOOK))?;
    if helm.history(release)?.last().is_some() {
        return Err(failed(": Helm does not forget it", &ended.stderr.text()));
    }
    Ok(())
}
