//! An operator's desk: one application on all clients, ordered for one or for many, updated and withdrawn without
//! a pause.

use std::collections::{BTreeMap, BTreeSet};

use operator_api::{Deployment, DeploymentEvent, Page, PlaceOutcome};
use serde_json::{Value, json};
use testkit::operator::Operator;
use uuid::Uuid;

use crate::chance::Chance;
use crate::hearing::{Struck, patiently};
use crate::orders::{Order, Orders, PARAMETER, Shown};

/// One of so many orders about a deployment is its withdrawal.
const WITHDRAWN: u64 = 6;
/// One of so many deployments is ordered alone, the others with all that are missing at this desk.
const ALONE: u64 = 3;

pub(crate) struct Desk {
    operator: Operator,
    application: String,
    places: Vec<Place>,
    /// All that was ever asked for here, and the client that it was asked for.
    pub(crate) orders: BTreeMap<Uuid, (String, Orders)>,
    /// What was asked for since it was last settled.
    pub(crate) touched: BTreeSet<Uuid>,
    pub(crate) acknowledged: u64,
    greetings: u64,
}

/// A client and the deployment that is wanted on it.
struct Place {
    client: String,
    deployment: Option<Uuid>,
}

impl Desk {
    pub(crate) fn new(operator: Operator, application: &str, clients: &[String]) -> Self {
        let place = |client: &String| Place { client: client.clone(), deployment: None };
        Self {
            operator,
            application: application.to_owned(),
            places: clients.iter().map(place).collect(),
            orders: BTreeMap::new(),
            touched: BTreeSet::new(),
            acknowledged: 0,
            greetings: 0,
        }
    }

    /// Orders until the server is struck.
    pub(crate) fn work(&mut self, chance: &mut Chance, struck: &Struck) {
        while !struck.is_set() && self.order(chance, struck).is_some() {}
    }

    fn order(&mut self, chance: &mut Chance, struck: &Struck) -> Option<()> {
        self.greetings += 1;
        let greeting = format!("{} {}", self.application, self.greetings);
        let places = self.places.len() as u64;
        let place = usize::try_from(chance.below(places)).expect("it is a place in memory");
        if self.places[place].deployment.is_none() && !chance.one_in(ALONE) {
            return self.order_all(&greeting, chance, struck);
        }
        let Place { client, deployment } = &self.places[place];
        let (id, order, method, body) = match *deployment {
            None => {
                let id = some_id(chance);
                let body = json!({"id": id, "applicationId": self.application,
                    "clientId": client, "parameters": {PARAMETER: greeting}});
                (id, Order::Deploy { greeting }, "POST", Some(body))
            }
            Some(id) if chance.one_in(WITHDRAWN) => (id, Order::Withdraw, "DELETE", None),
            Some(id) => {
                let body = json!({"parameters": {PARAMETER: greeting}});
                (id, Order::Update { greeting }, "PATCH", Some(body))
            }
        };
        let path = match method {
            "POST" => "/deployments".to_owned(),
            _ => format!("/deployments/{id}"),
        };
        self.ask(place, id, order);
        let answer = self.operator.try_send(method, &path, body.as_ref());
        struck.granted(&format!("{method} {path}"), answer)?;
        self.acknowledge(id);
        Some(())
    }

    fn ask(&mut self, place: usize, id: Uuid, order: Order) {
        let place = &mut self.places[place];
        let (_, orders) =
            self.orders.entry(id).or_insert_with(|| (place.client.clone(), Orders::default()));
        orders.ask(order);
        self.touched.insert(id);
        place.deployment = orders.wanted().map(|_| id);
    }

    fn acknowledge(&mut self, id: Uuid) {
        let (_, orders) = self.orders.get_mut(&id).expect("it was asked for");
        orders.acknowledge();
        self.acknowledged += 1;
    }

    /// Orders with one request for all clients on which nothing is wanted.
    fn order_all(&mut self, greeting: &str, chance: &mut Chance, struck: &Struck) -> Option<()> {
        let mut asked = Vec::new();
        for place in 0..self.places.len() {
            if self.places[place].deployment.is_none() {
                let id = some_id(chance);
                self.ask(place, id, Order::Deploy { greeting: greeting.to_owned() });
                asked.push(json!({"clientId": self.places[place].client, "id": id}));
            }
        }
        let body = json!({"applicationId": self.application, "places": asked,
            "parameters": {PARAMETER: greeting}});
        let path = "/deployments/batch";
        let answer = struck.granted(path, self.operator.try_send("POST", path, Some(&body)))?;
        let outcomes: Page<PlaceOutcome> =
            serde_json::from_value(answer.json()).expect("it is a list of outcomes");
        assert_eq!(outcomes.items.len(), asked.len(), "each place has its outcome");
        for outcome in outcomes.items {
            let id = outcome.deployment_id.as_deref().map(str::parse::<Uuid>);
            let id = id.and_then(Result::ok).unwrap_or_else(|| panic!("{:?}", outcome.refusal));
            self.acknowledge(id);
        }
        Some(())
    }

    /// Goes on from what is certain now, with new connections.
    pub(crate) fn go_on(&mut self, operator: Operator) {
        self.operator = operator;
        self.touched.clear();
        self.orders.retain(|_, (_, orders)| orders.is_any());
        for place in &mut self.places {
            let wanted = self
                .orders
                .iter()
                .find(|(_, (client, orders))| *client == place.client && orders.wanted().is_some());
            place.deployment = wanted.map(|(id, _)| *id);
        }
    }

    /// What is wanted on a client.
    pub(crate) fn wanted(&self, client: &str) -> impl Iterator<Item = (Uuid, String)> {
        let of_client = self.orders.iter().filter(move |(_, (of, _))| of == client);
        of_client.filter_map(|(id, (_, orders))| Some((*id, orders.wanted()?.to_owned())))
    }
}

/// A deployment and its events, if there is one.
pub(crate) fn shown(operator: &Operator, id: Uuid) -> Option<Shown> {
    let deployment = get(operator, &format!("/deployments/{id}"))?;
    let events = get(operator, &format!("/deployments/{id}/events"))?;
    let events: Page<DeploymentEvent> =
        serde_json::from_value(events).expect("it is a list of events");
    let deployment = serde_json::from_value(deployment).expect("it is a deployment");
    Some(Shown { deployment, events: events.items })
}

/// All deployments of a client.
pub(crate) fn list(operator: &Operator, client: &str) -> Vec<Deployment> {
    let list = get(operator, &format!("/deployments?client={client}")).expect("a list is there");
    let list: Page<Deployment> = serde_json::from_value(list).expect("it is a list of deployments");
    list.items
}

fn get(operator: &Operator, path: &str) -> Option<Value> {
    let answer = patiently(path, || operator.try_send("GET", path, None));
    (answer.status != 404).then(|| answer.expect(200).json())
}

fn some_id(chance: &mut Chance) -> Uuid {
    let bytes = [(); 16].map(|()| u8::try_from(chance.below(256)).expect("it is below 256"));
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
