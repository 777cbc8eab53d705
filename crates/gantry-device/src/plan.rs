//! What has to be done to make the desired state true: a pure function of what is desired, what is
//! running, and the time. Asking again after each step, or after a crash, leads to the same end.

use std::collections::BTreeMap;

use margo_contract::deployment_status::State;
use margo_contract::digest::Digest;
use uuid::Uuid;

use crate::accepted::Accepted;
use crate::retry::is_due;
use crate::running::Running;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Remove what is no longer desired.
    Remove(Uuid),
    /// Make a deployment true: anew, with other content, again after an interruption or a failure.
    Install(Uuid),
}

/// The steps at `now` (milliseconds since 1970), removals first: they free what others may need.
// margo(CW-9, D-12, W-2, W-4)
pub(crate) fn plan(desired: &BTreeMap<Uuid, Digest>, running: &Running, now_ms: i64) -> Vec<Step> {
    let removals = running
        .iter()
        .filter(|(id, _)| !desired.contains_key(id))
        // A pause after a failed installation does not put the removal off.
        .filter(|(_, it)| !it.withdrawn || is_due(it.retry_at, now_ms))
        .map(|(id, _)| Step::Remove(*id));
    let others = desired.iter().filter_map(|(id, digest)| match running.get(id) {
        None => Some(Step::Install(*id)),
        Some(it) if it.digest != *digest || it.withdrawn => Some(Step::Install(*id)),
        Some(it) if it.is_watched() || !is_due(it.retry_at, now_ms) => None,
        Some(_) => Some(Step::Install(*id)),
    });
    removals.chain(others).collect()
}

/// The deployments that were made true, to see whether they still are.
pub(crate) fn to_watch(desired: &BTreeMap<Uuid, Digest>, running: &Running) -> Vec<Uuid> {
    let is_watched = |(id, digest): &(&Uuid, &Digest)| {
        running.get(id).is_some_and(|it| it.digest == **digest && it.is_watched())
    };
    desired.iter().filter(is_watched).map(|(id, _)| *id).collect()
}

/// When failed work is tried again next, if any is: milliseconds since 1970.
pub(crate) fn next_retry(running: &Running, now_ms: i64) -> Option<i64> {
    running.values().map(|it| it.retry_at).filter(|it| !is_due(*it, now_ms)).min()
}

/// Deployments that are as the newest order wants them, without anything to do for it: they were ordered
/// otherwise and back while this client could not hear of it. The order is waiting for a word from it.
// margo(V-5)
pub(crate) fn unheard_orders(accepted: &Accepted, running: &Running) -> Vec<Uuid> {
    let is_unheard = |(id, digest): &(&Uuid, &Digest)| {
        let since = accepted.unchanged_since.get(id).copied().unwrap_or_default();
        running.get(id).is_some_and(|it| {
            let is_done = matches!(it.overall(), State::Installed | State::Failed);
            it.digest == **digest && it.adopted < since && is_done
        })
    };
    accepted.deployments.iter().filter(is_unheard).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use margo_contract::component::ProfileType;
    use proptest::prelude::*;

    use super::*;
    use crate::running::{Component, Deployment, Progress};

    const NOW: i64 = 1_800_000_000_000;

    fn deployment(digest: Digest, state: Progress, retry_at: i64) -> Deployment {
        let component = Component {
            name: "web".into(),
            kind: ProfileType::Compose,
            project: "web".into(),
            namespace: "default".into(),
            state,
            error: None,
        };
        Deployment {
            name: "web".into(),
            digest,
            adopted: 1,
            components: vec![component],
            leaving: Vec::new(),
            attempts: u32::from(state == Progress::Failed),
            retry_at,
            withdrawn: false,
            upkeep: None,
        }
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    // margo(CW-9)
    #[test]
    fn removals_come_first_and_what_is_right_is_only_looked_at() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let running = Running::from([
            (id(1), deployment(a, Progress::Installed, 0)),
            (id(2), deployment(a, Progress::Installed, 0)),
            (id(9), deployment(a, Progress::Installed, 0)),
        ]);
        let desired = BTreeMap::from([(id(1), a), (id(2), b), (id(3), a)]);
        assert_eq!(
            plan(&desired, &running, NOW),
            [Step::Remove(id(9)), Step::Install(id(2)), Step::Install(id(3))]
        );
        assert_eq!(to_watch(&desired, &running), [id(1)]);
    }

    // margo(W-1, W-2)
    #[test]
    fn interrupted_work_is_taken_up_and_failed_work_in_its_time() {
        let a = Digest::of(b"a");
        let desired = BTreeMap::from([(id(1), a)]);
        let planned = |state, retry_at| {
            let running = Running::from([(id(1), deployment(a, state, retry_at))]);
            plan(&desired, &running, NOW)
        };
        for state in [Progress::Pending, Progress::Installing, Progress::Removing, Progress::Failed]
        {
            assert_eq!(planned(state, 0), [Step::Install(id(1))]);
        }
        assert_eq!(planned(Progress::Failed, NOW + 1_000), []);
        assert_eq!(planned(Progress::Failed, NOW * 2), [Step::Install(id(1))], "the clock jumped");
        let running = Running::from([(id(1), deployment(a, Progress::Failed, NOW + 1_000))]);
        let other = BTreeMap::from([(id(1), Digest::of(b"b"))]);
        assert_eq!(
            plan(&other, &running, NOW),
            [Step::Install(id(1))],
            "new content is tried at once"
        );
    }

    #[test]
    fn what_was_found_out_of_order_is_watched_until_a_repair_of_it_has_failed() {
        let a = Digest::of(b"a");
        let desired = BTreeMap::from([(id(1), a)]);
        let mut found = deployment(a, Progress::Failed, 0);
        found.attempts = 0;
        let mut running = Running::from([(id(1), found)]);
        assert_eq!(
            (plan(&desired, &running, NOW), to_watch(&desired, &running)),
            (vec![], vec![id(1)])
        );
        running.insert(id(1), deployment(a, Progress::Failed, 0));
        assert_eq!(plan(&desired, &running, NOW), [Step::Install(id(1))]);
        assert!(to_watch(&desired, &running).is_empty());
    }

    #[test]
    fn a_removal_waits_for_the_pause_after_a_failed_removal_and_for_no_other() {
        let mut failed = deployment(Digest::of(b"a"), Progress::Failed, NOW + 1_000);
        let planned = |it: &Deployment, desired: &BTreeMap<Uuid, Digest>| {
            plan(desired, &Running::from([(id(1), it.clone())]), NOW)
        };
        assert_eq!(planned(&failed, &BTreeMap::new()), [Step::Remove(id(1))]);
        failed.withdrawn = true;
        assert_eq!(planned(&failed, &BTreeMap::new()), []);
        let again = BTreeMap::from([(id(1), failed.digest)]);
        assert_eq!(planned(&failed, &again), [Step::Install(id(1))], "it is wanted again");
    }

    // margo(V-5)
    #[test]
    fn an_order_that_changed_nothing_here_is_told_as_carried_out() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let accepted = |digest, since| Accepted {
            manifest_version: 9,
            manifest_digest: a,
            deployments: BTreeMap::from([(id(1), digest)]),
            unchanged_since: BTreeMap::from([(id(1), since)]),
        };
        // It has adopted version 1.
        let running = |state| Running::from([(id(1), deployment(a, state, 0))]);
        for state in [Progress::Installed, Progress::Failed] {
            assert_eq!(unheard_orders(&accepted(a, 9), &running(state)), [id(1)]);
        }
        let none: [Uuid; 0] = [];
        assert_eq!(unheard_orders(&accepted(a, 1), &running(Progress::Installed)), none);
        // What there is to do is told as it is done.
        assert_eq!(unheard_orders(&accepted(b, 9), &running(Progress::Installed)), none);
        assert_eq!(unheard_orders(&accepted(a, 9), &running(Progress::Removing)), none);
        assert_eq!(unheard_orders(&accepted(a, 9), &Running::new()), none);
    }

    proptest! {
        // margo(CW-9)
        #[test]
        fn carrying_out_the_plan_makes_the_desired_state_true(
            desired in prop::collection::btree_map(0_u128..8, 0_u8..3, 0..8),
            before in prop::collection::btree_map(0_u128..8, (0_u8..3, 0_usize..5), 0..8),
        ) {
            const STATES: [Progress; 5] = [
                Progress::Pending, Progress::Installing, Progress::Installed, Progress::Failed,
                Progress::Removing,
            ];
            let desired: BTreeMap<Uuid, Digest> =
                desired.into_iter().map(|(it, content)| (id(it), Digest::of(&[content]))).collect();
            let mut running: Running = before
                .into_iter()
                .map(|(it, (content, state))| {
                    (id(it), deployment(Digest::of(&[content]), STATES[state], 0))
                })
                .collect();
            for step in plan(&desired, &running, NOW) {
                match step {
                    Step::Remove(it) => drop(running.remove(&it)),
                    Step::Install(it) => {
                        running.insert(it, deployment(desired[&it], Progress::Installed, 0));
                    }
                }
            }
            let digests: BTreeMap<Uuid, Digest> =
                running.iter().map(|(it, deployment)| (*it, deployment.digest)).collect();
            prop_assert_eq!(digests, desired);
            let again = plan(&running.iter().map(|(it, d)| (*it, d.digest)).collect(), &running, NOW);
            prop_assert_eq!(again, []);
        }
    }
}
