//! Volume claims: an update never deletes data. Helm deletes what a new version of a chart no longer lists, so that a
//! version that no longer lists a claim is refused.

use std::path::Path;

use super::Installation;
use super::release::{Live, Object};
use crate::{Failure, code};

const CLAIM: &str = "PersistentVolumeClaim";

/// Makes sure that an update drops no volume claim that is in the cluster.
pub(super) fn check_all_stay(work: &Installation<'_>, values: &Path) -> Result<(), Failure> {
    let Some(live) = work.helm.live(work.release)? else { return Ok(()) };
    let claims: Vec<&Object> =
        live.objects().filter(|it| it.kind == CLAIM && !it.is_kept()).collect();
    if claims.is_empty() {
        return Ok(());
    }
    let ended = work.helm.preview(work.release, &work.workload.package, values)?;
    if !ended.status.success() {
        return Err(work.blame(&ended));
    }
    let answer = ended.stdout.whole().and_then(|it| Live::parse(it).ok());
    let Some(preview) = answer else {
        return Err(work.failed("Helm does not tell what the update would do"));
    };
    let wanted = preview.wanted();
    match claims.iter().find(|claim| !wanted.iter().any(|it| claim.is(it))) {
        None => Ok(()),
        Some(claim) => {
            let message = format!(
                "component `{}` could not be updated: with this version {} would be deleted, and its data with it",
                work.workload.component,
                claim.title()
            );
            Err(Failure::new(code::NOT_ALLOWED, message))
        }
    }
}
