//! What operators asked for one deployment, held against what the fleet manager shows of it.

use operator_api::{Deployment, DeploymentEvent, EventKind};
use uuid::Uuid;

use crate::ledger::{Ledger, Settled};
use crate::tally::{Kind, Loss};

/// The parameter by which the contents of a deployment are told apart.
pub(crate) const PARAMETER: &str = "greeting";

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Deploy { greeting: String },
    Update { greeting: String },
    Withdraw,
}

/// A deployment as the fleet manager shows it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) deployment: Deployment,
    pub(crate) events: Vec<DeploymentEvent>,
}

/// All that was asked for one deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders(Ledger<Order>);

impl Orders {
    pub(crate) fn ask(&mut self, order: Order) {
        self.0.ask(order);
    }

    pub(crate) fn acknowledge(&mut self) {
        self.0.acknowledge();
    }

    /// Whether there is to be a deployment at all.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// The content that is wanted; none of a deployment that was withdrawn.
    pub(crate) fn wanted(&self) -> Option<&str> {
        match self.0.last()? {
            Order::Deploy { greeting } | Order::Update { greeting } => Some(greeting),
            Order::Withdraw => None,
        }
    }

    /// Compares with what is shown, or with nothing. What had no answer is certain from now on.
    pub(crate) fn settle(
        &mut self,
        id: Uuid,
        shown: Option<&Shown>,
    ) -> (Settled<Order>, Vec<Loss>) {
        let events = shown.map(|it| it.events.as_slice()).unwrap_or_default();
        let ordered: Vec<EventKind> = events.iter().map(|it| it.what).filter(is_order).collect();
        let settled = self.0.settle(&ordered, |order, event| order.event() == *event);
        let mut losses = Vec::new();
        let mut lost =
            |what: String| losses.push(Loss::of(Kind::Order, format!("deployment {id}: {what}")));
        for order in &settled.lost {
            lost(format!("{order:?} was acknowledged, and is not among {ordered:?}"));
        }
        if settled.unasked > 0 {
            lost(format!("{} of {ordered:?} were not asked for", settled.unasked));
        }
        let is_counted = (1..).zip(events).all(|(number, event)| event.sequence == number);
        if !is_counted {
            lost("events are missing between others".to_owned());
        }
        if let Some(shown) = shown
            && settled.is_well()
            && let Some(fault) = self.differs(&shown.deployment)
        {
            lost(format!("half an order: {fault}"));
        }
        (settled, losses)
    }

    /// Compares with what a list shows.
    pub(crate) fn check(&self, deployment: &Deployment) -> Option<Loss> {
        let fault = self.differs(deployment)?;
        Some(Loss::of(Kind::Order, format!("deployment {}: {fault}", deployment.id)))
    }

    fn differs(&self, deployment: &Deployment) -> Option<String> {
        let wanted = self.wanted();
        if deployment.wanted != wanted.is_some() {
            return Some(format!("it is to be {wanted:?}, and wanted is {}", deployment.wanted));
        }
        let shown = deployment.parameters.get(PARAMETER).and_then(|it| it.as_str());
        let differs = wanted.is_some() && wanted != shown;
        differs.then(|| format!("it is to be {wanted:?}, and is {shown:?}"))
    }
}

impl Order {
    /// The event that tells of it.
    fn event(&self) -> EventKind {
        match self {
            Order::Deploy { .. } => EventKind::Ordered,
            Order::Update { .. } => EventKind::Updated,
            Order::Withdraw => EventKind::Withdrawn,
        }
    }
}

fn is_order(event: &EventKind) -> bool {
    match event {
        EventKind::Ordered | EventKind::Updated | EventKind::Withdrawn => true,
        EventKind::Published | EventKind::Reported | EventKind::Forgotten => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) const ID: Uuid = Uuid::from_u128(7);

    /// A deployment with this greeting, and its events.
    pub(crate) fn shown(greeting: &str, deployment: &Value, events: &[Value]) -> Shown {
        let mut whole = json!({
            "id": ID, "name": "web", "clientId": ID, "deviceId": "press-7", "applicationId": "web",
            "applicationVersion": "1.0.0", "wanted": true, "state": "ordered", "components": [],
            "parameters": {"greeting": greeting}, "orderedBy": "ada", "orderedAt": "", "orderedEvent": 1,
        });
        let members = whole.as_object_mut().expect("it is an object");
        members.extend(deployment.as_object().expect("it is an object").clone());
        let events = (1..).zip(events).map(|(sequence, event)| {
            let mut whole = json!({"sequence": sequence, "at": "", "state": "ordered"});
            let members = whole.as_object_mut().expect("it is an object");
            members.extend(event.as_object().expect("it is an object").clone());
            serde_json::from_value(whole).expect("it is an event")
        });
        let events = events.collect();
        Shown { deployment: serde_json::from_value(whole).expect("it is a deployment"), events }
    }

    fn events(kinds: &[&str]) -> Vec<Value> {
        kinds.iter().map(|it| json!({"what": it})).collect()
    }

    fn deploy(greeting: &str) -> Order {
        Order::Deploy { greeting: greeting.to_owned() }
    }

    fn update(greeting: &str) -> Order {
        Order::Update { greeting: greeting.to_owned() }
    }

    /// What was asked for and acknowledged, and one thing more that was not.
    fn orders(acknowledged: &[Order], open: Option<Order>) -> Orders {
        let mut orders = Orders::default();
        for order in acknowledged {
            orders.ask(order.clone());
            orders.acknowledge();
        }
        open.into_iter().for_each(|it| orders.ask(it));
        orders
    }

    fn losses(orders: &mut Orders, shown: Option<&Shown>) -> Vec<String> {
        let (_, losses) = orders.settle(ID, shown);
        assert!(losses.iter().all(|it| it.of == Kind::Order));
        losses.into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn orders_that_are_there_are_well() {
        let mut updated = orders(&[deploy("one"), update("two")], None);
        let seen =
            shown("two", &json!({}), &events(&["ordered", "published", "updated", "reported"]));
        assert_eq!(losses(&mut updated, Some(&seen)), [""; 0]);
        let mut withdrawn = orders(&[deploy("one"), Order::Withdraw], None);
        let seen = shown("one", &json!({"wanted": false}), &events(&["ordered", "withdrawn"]));
        assert_eq!(losses(&mut withdrawn, Some(&seen)), [""; 0]);
    }

    #[test]
    fn an_acknowledged_deployment_that_is_gone_is_lost() {
        assert_eq!(losses(&mut orders(&[deploy("one")], None), None).len(), 1);
    }

    #[test]
    fn an_acknowledged_update_or_withdrawal_that_is_not_there_is_lost() {
        let before = shown("one", &json!({}), &events(&["ordered", "published"]));
        for order in [update("two"), Order::Withdraw] {
            let mut orders = orders(&[deploy("one"), order], None);
            assert_eq!(losses(&mut orders, Some(&before)).len(), 1);
        }
    }

    #[test]
    fn what_had_no_answer_is_wholly_there_or_not_at_all() {
        let asked = || orders(&[deploy("one")], Some(update("two")));
        let before = shown("one", &json!({}), &events(&["ordered"]));
        let after = shown("two", &json!({}), &events(&["ordered", "updated"]));
        for whole in [&before, &after] {
            assert_eq!(losses(&mut asked(), Some(whole)), [""; 0]);
        }
        let content_only = shown("two", &json!({}), &events(&["ordered"]));
        let event_only = shown("one", &json!({}), &events(&["ordered", "updated"]));
        for half in [content_only, event_only] {
            let losses = losses(&mut asked(), Some(&half));
            assert!(matches!(&losses[..], [it] if it.contains("half an order")), "{losses:?}");
        }
        assert_eq!(losses(&mut orders(&[], Some(deploy("one"))), None), [""; 0]);
    }

    #[test]
    fn an_order_that_is_carried_out_twice_is_seen() {
        let mut once = orders(&[deploy("one"), update("two")], None);
        let twice = shown("two", &json!({}), &events(&["ordered", "updated", "updated"]));
        assert_eq!(losses(&mut once, Some(&twice)).len(), 1);
    }

    #[test]
    fn an_event_that_is_missing_between_others_is_seen() {
        let mut orders = orders(&[deploy("one")], None);
        let mut seen = shown("one", &json!({}), &events(&["ordered", "published", "reported"]));
        seen.events.remove(1);
        assert_eq!(losses(&mut orders, Some(&seen)).len(), 1);
    }

    #[test]
    fn a_list_that_shows_other_content_is_seen() {
        let orders = orders(&[deploy("one"), update("two")], None);
        assert_eq!(orders.check(&shown("two", &json!({}), &[]).deployment), None);
        assert!(orders.check(&shown("one", &json!({}), &[]).deployment).is_some());
        assert!(orders.check(&shown("two", &json!({"wanted": false}), &[]).deployment).is_some());
    }
}
