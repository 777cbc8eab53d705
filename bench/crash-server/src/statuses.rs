//! What a device said of one deployment, held against what the fleet manager shows of it.

use operator_api::{DeploymentEvent, EventKind, State};
use uuid::Uuid;

use crate::ledger::{Ledger, Settled};
use crate::orders::Shown;
use crate::tally::{Kind, Loss};

/// What a device says. What is said again is no event, so each status differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Of a failure.
    pub(crate) message: Option<String>,
}

/// All that was said of one deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statuses {
    ledger: Ledger<Status>,
    said: u64,
}

impl Statuses {
    /// Writes down what is about to be said next of a deployment, which the device has to run or to remove. None
    /// follows when it was removed.
    pub(crate) fn say_next(&mut self, is_to_run: bool) -> Option<Status> {
        let before = self.ledger.last().map(|it| it.state);
        let state = match (is_to_run, before) {
            (_, Some(State::Removed)) => return None,
            (true, Some(State::Installing | State::Installed)) => State::Failed,
            (true, _) if self.said.is_multiple_of(4) => State::Installing,
            (true, _) => State::Installed,
            (false, Some(State::Removing)) => State::Removed,
            (false, _) => State::Removing,
        };
        self.said += 1;
        let message = (state == State::Failed).then(|| format!("number {}", self.said));
        let status = Status { state, message };
        self.ledger.ask(status.clone());
        Some(status)
    }

    pub(crate) fn acknowledge(&mut self) {
        self.ledger.acknowledge();
    }

    /// Compares with what is shown, or with nothing. What had no answer is certain from now on.
    pub(crate) fn settle(
        &mut self,
        id: Uuid,
        shown: Option<&Shown>,
    ) -> (Settled<Status>, Vec<Loss>) {
        let events = shown.map(|it| it.events.as_slice()).unwrap_or_default();
        let reported: Vec<&DeploymentEvent> =
            events.iter().filter(|it| it.what == EventKind::Reported).collect();
        let settled = self.ledger.settle(&reported, |status, event| status.is_told_by(event));
        let mut losses = Vec::new();
        let mut lost =
            |what: String| losses.push(Loss::of(Kind::Status, format!("deployment {id}: {what}")));
        for status in &settled.lost {
            lost(format!("{status:?} was acknowledged, and is not among the events"));
        }
        if settled.unasked > 0 {
            lost(format!("{} statuses more than were said", settled.unasked));
        }
        if let Some(shown) = shown.filter(|_| settled.is_well())
            && let Some(fault) = self.differs(shown)
        {
            lost(fault);
        }
        (settled, losses)
    }

    /// Whether what was said last is what is shown, where nothing has happened since.
    fn differs(&self, shown: &Shown) -> Option<String> {
        let last = self.ledger.last()?;
        let deployment = &shown.deployment;
        if deployment.heard_at.is_none() {
            return Some("it was reported about, and was never heard of".to_owned());
        }
        let newest = shown.events.last()?;
        // What is said before the newest content is published is about former content.
        let is_about_newest = deployment.revision.is_some() || last.state == State::Removed;
        let is_last = newest.what == EventKind::Reported && is_about_newest;
        // Of a withdrawn deployment operators see how far its removal is.
        let counts = deployment.wanted || matches!(last.state, State::Removing | State::Removed);
        (is_last && counts && deployment.state != last.state)
            .then(|| format!("{:?} was said last, and {:?} is shown", last.state, deployment.state))
    }
}

impl Status {
    fn is_told_by(&self, event: &DeploymentEvent) -> bool {
        let message = event.error.as_ref().map(|it| it.message.as_str());
        self.state == event.state && self.message.as_deref() == message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::orders::tests::{ID, shown};

    fn reported(state: &str) -> Value {
        json!({"what": "reported", "state": state})
    }

    fn failed(message: &str) -> Value {
        json!({"what": "reported", "state": "failed", "error": {"message": message}})
    }

    /// Says so much, all of it acknowledged or all but the last.
    fn said(times: usize, is_last_acknowledged: bool) -> Statuses {
        let mut statuses = Statuses::default();
        for time in 1..=times {
            statuses.say_next(true).expect("it runs");
            if time < times || is_last_acknowledged {
                statuses.acknowledge();
            }
        }
        statuses
    }

    fn losses(statuses: &mut Statuses, state: &str, events: &[Value]) -> Vec<String> {
        let deployment = json!({"state": state, "heardAt": "now", "revision": 2});
        let events = [&[json!({"what": "ordered"}), json!({"what": "published"})], events].concat();
        let (_, losses) = statuses.settle(ID, Some(&shown("one", &deployment, &events)));
        assert!(losses.iter().all(|it| it.of == Kind::Status));
        losses.into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn no_status_is_like_the_one_before_and_removal_comes_last() {
        let mut statuses = Statuses::default();
        let mut before = None;
        for _ in 0..10 {
            let status = statuses.say_next(true);
            assert_ne!(status, before);
            before = status;
        }
        let said = [(); 3].map(|()| statuses.say_next(false).map(|it| it.state));
        assert_eq!(said, [Some(State::Removing), Some(State::Removed), None]);
        assert_eq!(statuses.say_next(true), None);
    }

    #[test]
    fn statuses_that_are_there_are_well() {
        let events = [reported("installing"), failed("number 2")];
        assert_eq!(losses(&mut said(2, true), "failed", &events), [""; 0]);
    }

    #[test]
    fn an_acknowledged_status_that_is_missing_is_lost() {
        let all = [reported("installing"), failed("number 2"), reported("installed")];
        for missing in 0..3 {
            let mut left = all.to_vec();
            left.remove(missing);
            let losses = losses(&mut said(3, true), "installed", &left);
            assert!(losses.iter().any(|it| it.contains("was acknowledged")), "{losses:?}");
        }
        let (_, losses) = said(1, true).settle(ID, None);
        assert_eq!(losses.len(), 1, "with its deployment");
    }

    #[test]
    fn a_status_without_an_answer_may_be_there_or_not() {
        assert_eq!(losses(&mut said(2, false), "installing", &[reported("installing")]), [""; 0]);
        let events = [reported("installing"), failed("number 2")];
        assert_eq!(losses(&mut said(2, false), "failed", &events), [""; 0]);
    }

    #[test]
    fn a_state_that_is_not_what_was_said_last_is_seen() {
        assert_eq!(losses(&mut said(1, true), "ordered", &[reported("installing")]).len(), 1);
        let event = json!({"what": "ordered"});
        let unheard = shown("one", &json!({}), &[event, reported("installing")]);
        assert_eq!(said(1, true).settle(ID, Some(&unheard)).1.len(), 1);
    }

    #[test]
    fn a_status_that_nobody_said_is_seen() {
        let events = [reported("installing"), failed("another one")];
        assert_eq!(losses(&mut said(1, true), "failed", &events).len(), 1);
    }
}
