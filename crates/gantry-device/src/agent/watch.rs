//! When what runs is looked at, and what is done about it. Pauses are measured on the clock that never
//! jumps, and kept in memory: after a restart everything is looked at at once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device_providers::{Failure, code};
use margo_contract::component::ProfileType;
use uuid::Uuid;

use crate::accepted::Accepted;
use crate::carry_out::{Amiss, Look};
use crate::plan::{next_retry, to_watch};
use crate::running::Deployment;
use crate::state_dir::StateError;

use super::Agent;

/// How long an engine may be silent before its workloads count as failed: it may be updated meanwhile.
const PATIENCE_MS: u64 = 3 * 60 * 1000;
/// How soon a silent engine is asked again, at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What is known of the looks at each deployment.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeMap<Uuid, Watch>);

#[derive(Debug, Default, Clone, Copy)]
struct Watch {
    /// When it is looked at next.
    next: u64,
    /// Since when nobody can say how it is.
    unanswered_since: Option<u64>,
}

impl Watched {
    pub(super) fn forget(&mut self, id: Uuid) {
        self.0.remove(&id);
    }

    /// Puts no look off further than that.
    pub(super) fn no_later_than(&mut self, now: u64, pause: Duration) {
        for watch in self.0.values_mut() {
            watch.next = watch.next.min(after(now, pause));
        }
    }

    fn next(&self, id: Uuid) -> u64 {
        self.0.get(&id).map_or(0, |it| it.next)
    }
}

impl Agent<'_> {
    /// Looks at what was made true, as far as it is time, and repairs what is out of order.
    pub(super) fn watch(&mut self, accepted: &Accepted) -> Result<(), StateError> {
        // One that is silent is not asked once more for each of its workloads: it may take its time.
        let mut silent: BTreeMap<ProfileType, Failure> = BTreeMap::new();
        for id in to_watch(&accepted.deployments, &self.running) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if self.watched.next(id) > self.clock.monotonic_ms() {
                continue;
            }
            let Some(deployment) = self.running.get(&id).cloned() else { continue };
            let kind = deployment.components.first().map(|it| it.kind);
            let look = match kind.and_then(|it| silent.get(&it)) {
                Some(failure) => Look::Unanswered(failure.clone()),
                None => self.carry_out(accepted, |it, _, _| Ok(it.look(id, &deployment)))?,
            };
            // Before anything comes of it, which the disk may refuse.
            self.look_again_in(id, self.config.workloads.inspect_every);
            match look {
                Look::InOrder => {
                    self.is_answered(id);
                    self.carry_out(accepted, |it, running, surroundings| {
                        it.found_in_order(id, running, surroundings)
                    })?;
                }
                Look::Amiss(found) => {
                    self.is_answered(id);
                    self.mend(id, &found, accepted)?;
                }
                Look::Unanswered(failure) if failure.code == code::INTERRUPTED => return Ok(()),
                Look::Unanswered(failure) => {
                    self.bear_silence(id, &deployment, &failure, accepted)?;
                    silent.extend(kind.map(|it| (it, failure)));
                }
            }
        }
        Ok(())
    }

    /// Until work is due, if any is to come: a look, or another attempt.
    pub(super) fn work_due_in(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let retry = next_retry(&self.running, now_ms).map(|it| it.abs_diff(now_ms));
        let desired = &self.accepted.as_ref()?.deployments;
        let looks = to_watch(desired, &self.running).into_iter();
        let now = self.clock.monotonic_ms();
        let look = looks.map(|id| self.watched.next(id).saturating_sub(now)).min();
        retry.into_iter().chain(look).min().map(Duration::from_millis)
    }

    /// Failed work is not left alone any longer.
    pub(super) fn retry_at_once(&mut self, which: impl Fn(&Deployment) -> bool) {
        for deployment in self.running.values_mut().filter(|it| it.has_failed() && which(it)) {
            deployment.retry_at = 0;
        }
    }

    pub(super) fn look_again_in(&mut self, id: Uuid, pause: Duration) {
        let now = self.clock.monotonic_ms();
        self.watched.0.entry(id).or_default().next = after(now, pause);
    }

    fn is_answered(&mut self, id: Uuid) {
        self.watched.0.entry(id).or_default().unanswered_since = None;
    }

    fn mend(
        &mut self,
        id: Uuid,
        found: &BTreeMap<usize, Failure>,
        accepted: &Accepted,
    ) -> Result<(), StateError> {
        let amiss = self.carry_out(accepted, |it, running, surroundings| {
            it.found_amiss(id, found, running, surroundings)
        })?;
        match amiss {
            // It is not looked at before that either: what flaps is well now and then.
            Amiss::LeaveAlone(ms) => {
                self.look_again_in(id, Duration::from_millis(ms.unsigned_abs()));
            }
            Amiss::Repair => {
                self.carry_out(accepted, |it, running, surroundings| {
                    it.install(id, accepted, running, surroundings)
                })?;
                self.look_again_in(id, self.config.workloads.inspect_every);
            }
        }
        Ok(())
    }

    /// The engine does not answer. For some time that means nothing.
    fn bear_silence(
        &mut self,
        id: Uuid,
        deployment: &Deployment,
        failure: &Failure,
        accepted: &Accepted,
    ) -> Result<(), StateError> {
        let now = self.clock.monotonic_ms();
        let watch = self.watched.0.entry(id).or_default();
        if watch.unanswered_since.is_none() {
            tracing::warn!(deployment = deployment.name, error = %failure, "cannot be looked at");
        }
        let since = *watch.unanswered_since.get_or_insert(now);
        self.look_again_in(id, ASK_AGAIN.min(self.config.workloads.inspect_every));
        if now.saturating_sub(since) < PATIENCE_MS {
            return Ok(());
        }
        self.carry_out(accepted, |it, running, surroundings| {
            it.found_unanswered(id, failure, running, surroundings)
        })
    }
}

fn after(now: u64, pause: Duration) -> u64 {
    now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
}
