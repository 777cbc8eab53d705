//! `--wait`: follows the events of a deployment until its newest order is carried out. [`Watch`] decides
//! what the events mean; [`follow`] asks for them, also while the fleet manager is started again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use operator_api::{
    ComponentStatus, Deployment, DeploymentEvent, EventKind, Page, State, StatusError,
};

use crate::api::{Api, ApiError, segment};
use crate::clock::{self, Deadline};
use crate::failure::Failure;
use crate::output::Progress;

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What the order wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Installed,
    Removed,
}

impl Goal {
    /// What the newest order of a deployment wants.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        if deployment.wanted { Self::Installed } else { Self::Removed }
    }
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Reached,
    Failed(Option<StatusError>),
    /// A later order took its place.
    Replaced {
        by: String,
    },
}

/// What is known of one order.
#[derive(Debug)]
struct Watch {
    goal: Goal,
    /// The newest event that was taken in.
    seen: u64,
    /// Whether the device has spoken of the order.
    heard: bool,
    state: State,
    components: BTreeMap<String, State>,
    end: Option<End>,
}

/// A step to tell: when, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// RFC 3339.
    pub(crate) at: String,
    /// A component, or the name of the deployment.
    pub(crate) subject: String,
    pub(crate) what: String,
}

impl Watch {
    /// Starts at the answer to the order, which may be fulfilled already: an order that changes nothing
    /// is still an order to be carried out.
    fn new(goal: Goal, deployment: &Deployment) -> Self {
        let mut watch = Self {
            goal,
            seen: deployment.ordered_event,
            heard: is_heard(goal, deployment.state),
            state: deployment.state,
            components: BTreeMap::new(),
            end: None,
        };
        // What is withdrawn may have failed before: that says nothing of the removal.
        if goal == Goal::Installed || deployment.state != State::Failed {
            watch.conclude(deployment.error.as_ref());
        }
        watch
    }

    /// Takes in one event; gives what is new in it.
    fn observe(&mut self, name: &str, event: &DeploymentEvent) -> Vec<Step> {
        if event.sequence <= self.seen || self.end.is_some() {
            return Vec::new();
        }
        self.seen = event.sequence;
        let step = |subject: &str, what: String| Step {
            at: event.at.clone(),
            subject: subject.to_owned(),
            what,
        };
        match event.what {
            EventKind::Ordered | EventKind::Updated | EventKind::Withdrawn => {
                let by = event.by.clone().unwrap_or_else(|| "somebody".to_owned());
                self.end = Some(End::Replaced { by });
                Vec::new()
            }
            EventKind::Published => {
                let revision = event.revision.map(|it| format!(" in revision {it}"));
                vec![step(name, format!("published{}", revision.unwrap_or_default()))]
            }
            EventKind::Forgotten => {
                (self.heard, self.state) = (true, event.state);
                self.conclude(None);
                vec![step(name, "the device never had it".to_owned())]
            }
            // The device still speaks of what was there before the order.
            EventKind::Reported if event.state == State::Ordered => Vec::new(),
            EventKind::Reported => {
                let news = event.components.iter().filter(|it| self.is_news(it));
                let mut steps: Vec<Step> =
                    news.map(|it| step(&it.name, component_words(it))).collect();
                if steps.is_empty() && self.state != event.state {
                    steps.push(step(name, words(event.state).to_owned()));
                }
                let states = event.components.iter().map(|it| (it.name.clone(), it.state));
                self.components.extend(states);
                self.heard = true;
                self.state = event.state;
                self.conclude(event.error.as_ref());
                steps
            }
        }
    }

    fn is_news(&self, component: &ComponentStatus) -> bool {
        self.components.get(&component.name) != Some(&component.state)
    }

    /// Whether the deployment itself agrees with the end that an event announced. The event may be a
    /// late report of what was there before the order; then there is no end yet.
    fn confirms(&mut self, now: &Deployment) -> bool {
        let agrees = match self.end {
            Some(End::Replaced { .. }) => true,
            Some(End::Reached | End::Failed(_)) => now.state == self.state,
            None => false,
        };
        if !agrees {
            self.end = None;
            self.state = now.state;
            self.heard = is_heard(self.goal, now.state);
        }
        agrees
    }

    fn conclude(&mut self, error: Option<&StatusError>) {
        self.end = match (self.goal, self.state) {
            (Goal::Installed, State::Installed) | (Goal::Removed, State::Removed) => {
                Some(End::Reached)
            }
            (_, State::Failed) => Some(End::Failed(error.cloned())),
            (Goal::Installed, State::Removed) => Some(End::Failed(error.cloned())),
            (
                _,
                State::Ordered
                | State::Pending
                | State::Installing
                | State::Installed
                | State::Removing,
            ) => None,
        };
    }
}

/// Whether the state of a deployment is the word of its device. A withdrawal alone makes it `removing`.
fn is_heard(goal: Goal, state: State) -> bool {
    goal == Goal::Installed && state != State::Ordered
}

/// Waits until the newest order of `deployment` is carried out.
pub(crate) fn follow(
    api: &Api,
    deployment: &Deployment,
    goal: Goal,
    deadline: Deadline,
    progress: &mut Progress,
) -> Result<()> {
    let zone = clock::time_zone();
    let mut watch = Watch::new(goal, deployment);
    let mut is_away = false;
    loop {
        match turn(api, deployment, &mut watch) {
            Ok(Turn::Over(end)) => return conclusion(deployment, end),
            Ok(Turn::News(steps)) => {
                is_away = false;
                for step in steps {
                    progress.show(&step, &zone)?;
                }
            }
            Err(error) if error.is_transient() => {
                if !is_away {
                    progress.note(&format!("{error}; still trying"))?;
                }
                is_away = true;
            }
            Err(error) => return Err(error.into()),
        }
        if is_away || watch.end.is_none() {
            if deadline.has_passed() {
                return Err(timed_out(deployment, &watch, deadline.span()).into());
            }
            deadline.pause(POLL_INTERVAL);
        }
    }
}

/// What one look at the fleet manager gave.
enum Turn {
    News(Vec<Step>),
    Over(End),
}

fn turn(api: &Api, deployment: &Deployment, watch: &mut Watch) -> Result<Turn, ApiError> {
    let path = format!("/deployments/{}", segment(&deployment.id));
    if let Some(end) = watch.end.clone() {
        let now: Deployment = api.poll(&path)?;
        return Ok(if watch.confirms(&now) { Turn::Over(end) } else { Turn::News(Vec::new()) });
    }
    let path = format!("{path}/events?after={}", watch.seen);
    let page: Page<DeploymentEvent> = api.poll(&path)?;
    let steps = page.items.iter().flat_map(|event| watch.observe(&deployment.name, event));
    Ok(Turn::News(steps.collect()))
}

fn conclusion(deployment: &Deployment, end: End) -> Result<()> {
    let name = &deployment.name;
    match end {
        End::Reached => Ok(()),
        End::Failed(error) => {
            let error = error.map_or_else(|| "no reason was given".to_owned(), |it| reason(&it));
            Err(Failure::DeploymentFailed(format!("{name} failed on the device: {error}")).into())
        }
        End::Replaced { by } => {
            let text = format!("{name}: {by} gave another order before this one was carried out");
            Err(Failure::Conflict(text).into())
        }
    }
}

fn timed_out(deployment: &Deployment, watch: &Watch, timeout: Duration) -> Failure {
    let hint = if watch.heard {
        "the device is still at it".to_owned()
    } else {
        format!(
            "its device has not spoken of it; `gantry client show {}` tells when it last called",
            deployment.client_id
        )
    };
    Failure::TimedOut(format!(
        "{} is {} after {} s: {hint}. The order stands; `gantry deployment show {}` tells how far it is",
        deployment.name,
        words(watch.state),
        timeout.as_secs(),
        deployment.id
    ))
}

fn component_words(component: &ComponentStatus) -> String {
    match &component.error {
        Some(error) if component.state == State::Failed => format!("failed: {}", reason(error)),
        Some(_) | None => words(component.state).to_owned(),
    }
}

/// An error of a device in one line.
pub(crate) fn reason(error: &StatusError) -> String {
    match (error.code.as_str(), error.message.as_str()) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{message} ({code})"),
    }
}

pub(crate) fn words(state: State) -> &'static str {
    match state {
        State::Ordered => "ordered",
        State::Pending => "pending",
        State::Installing => "installing",
        State::Installed => "installed",
        State::Failed => "failed",
        State::Removing => "removing",
        State::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(state: &str) -> Deployment {
        serde_json::from_value(json!({
            "id": "d-1", "name": "hello", "clientId": "c", "deviceId": "press-7",
            "applicationId": "a", "applicationVersion": "1", "wanted": true, "state": state,
            "components": [], "parameters": {}, "orderedBy": "ann", "orderedAt": "t",
            "orderedEvent": 4,
        }))
        .expect("a deployment")
    }

    fn event(
        sequence: u64,
        what: &str,
        state: &str,
        components: &[(&str, &str)],
    ) -> DeploymentEvent {
        let components: Vec<_> =
            components.iter().map(|(name, state)| json!({"name": name, "state": state})).collect();
        serde_json::from_value(json!({
            "sequence": sequence, "at": "2026-01-02T12:00:01Z", "what": what, "state": state,
            "components": components, "by": "bob", "revision": 3,
        }))
        .expect("an event")
    }

    fn told(watch: &mut Watch, event: &DeploymentEvent) -> Vec<String> {
        let steps = watch.observe("hello", event);
        steps.into_iter().map(|step| format!("{}: {}", step.subject, step.what)).collect()
    }

    #[test]
    fn every_component_is_told_when_it_changes_until_all_is_installed() {
        let mut watch = Watch::new(Goal::Installed, &deployment("ordered"));
        assert_eq!(told(&mut watch, &event(5, "published", "ordered", &[])).len(), 1);
        let first = event(6, "reported", "installing", &[("web", "installing"), ("db", "pending")]);
        assert_eq!(told(&mut watch, &first), ["web: installing", "db: pending"]);
        assert_eq!(told(&mut watch, &first), [""; 0]);
        let last = event(7, "reported", "installed", &[("web", "installed"), ("db", "installed")]);
        assert_eq!(told(&mut watch, &last), ["web: installed", "db: installed"]);
        assert_eq!(watch.end, Some(End::Reached));
    }

    #[test]
    fn what_the_device_says_of_former_content_ends_nothing() {
        let mut watch = Watch::new(Goal::Installed, &deployment("ordered"));
        assert_eq!(
            told(&mut watch, &event(5, "reported", "ordered", &[("web", "failed")])),
            [""; 0]
        );
        assert_eq!(told(&mut watch, &event(3, "reported", "installed", &[])), [""; 0]);
        assert_eq!(watch.end, None);
    }

    #[test]
    fn a_failure_carries_the_words_of_the_device() {
        let mut watch = Watch::new(Goal::Installed, &deployment("ordered"));
        let mut failed = event(5, "reported", "failed", &[("web", "failed")]);
        failed.error = Some(StatusError {
            code: "PULL".to_owned(),
            source: "web".to_owned(),
            message: "no such image".to_owned(),
        });
        told(&mut watch, &failed);
        let error = conclusion(&deployment("failed"), watch.end.expect("an end"));
        let error = error.expect_err("failed").to_string();
        assert!(error.contains("no such image (PULL)"), "{error}");
    }

    #[test]
    fn a_silent_device_is_told_from_a_slow_one() {
        let timeout = Duration::from_secs(5);
        let deployment = deployment("removing");
        let mut watch = Watch::new(Goal::Removed, &deployment);
        let text = |watch: &Watch| timed_out(&deployment, watch, timeout).to_string();
        assert!(text(&watch).contains("has not spoken"), "{}", text(&watch));
        told(&mut watch, &event(5, "reported", "removing", &[("web", "removing")]));
        assert!(text(&watch).contains("still at it"), "{}", text(&watch));
    }

    #[test]
    fn a_removal_ends_with_removed_and_not_with_installed() {
        let mut watch = Watch::new(Goal::Removed, &deployment("installed"));
        assert_eq!(watch.end, None);
        told(&mut watch, &event(5, "reported", "removing", &[]));
        assert_eq!(watch.end, None);
        told(&mut watch, &event(6, "reported", "removed", &[]));
        assert_eq!(watch.end, Some(End::Reached));
    }

    #[test]
    fn a_failure_before_a_removal_does_not_end_the_waiting_for_it() {
        assert_eq!(Watch::new(Goal::Removed, &deployment("failed")).end, None);
    }

    #[test]
    fn a_late_report_that_the_deployment_does_not_confirm_ends_nothing() {
        let mut watch = Watch::new(Goal::Installed, &deployment("ordered"));
        told(&mut watch, &event(5, "reported", "installed", &[("web", "installed")]));
        assert!(!watch.confirms(&deployment("ordered")));
        assert_eq!((watch.end.as_ref(), watch.state, watch.heard), (None, State::Ordered, false));
        told(&mut watch, &event(6, "reported", "installed", &[("web", "installed")]));
        assert!(watch.confirms(&deployment("installed")));
    }

    #[test]
    fn another_order_ends_the_waiting() {
        let mut watch = Watch::new(Goal::Installed, &deployment("ordered"));
        told(&mut watch, &event(5, "withdrawn", "ordered", &[]));
        assert_eq!(watch.end, Some(End::Replaced { by: "bob".to_owned() }));
    }

    #[test]
    fn an_order_that_is_fulfilled_already_is_not_waited_for() {
        assert_eq!(Watch::new(Goal::Installed, &deployment("installed")).end, Some(End::Reached));
    }
}
