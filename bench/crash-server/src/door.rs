//! The door: now and then somebody onboards, is let in, and says what it is.

use std::collections::BTreeSet;

use operator_api::{Client, Page, Standing};
use serde_json::json;
use testkit::client::TestClient;
use testkit::http::Http;
use testkit::operator::Operator;

use crate::chance::Chance;
use crate::hearing::{Struck, patiently};
use crate::ledger::Ledger;
use crate::tally::{Kind, Loss, Tally};

/// One time of so many somebody comes.
const COMES: u64 = 3;
const CLIENTS: &str = "/clients";
const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) struct Door {
    operator: Operator,
    http: Http,
    newcomers: Vec<Newcomer>,
    /// What operators, and newcomers, had acknowledged.
    pub(crate) orders: u64,
    pub(crate) statuses: u64,
}

struct Newcomer {
    client: TestClient,
    steps: Ledger<Step>,
}

/// How far somebody has come in, one step after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Asked,
    LetIn,
    Described,
}

impl Door {
    pub(crate) fn new(operator: Operator, http: Http) -> Self {
        Self { operator, http, newcomers: Vec::new(), orders: 0, statuses: 0 }
    }

    /// Lets the newest one come in further, or a new one come, until the server is struck.
    pub(crate) fn open(&mut self, chance: &mut Chance, struck: &Struck) {
        if self.newcomers.last().is_none_or(Newcomer::is_in) {
            if !chance.one_in(COMES) {
                return;
            }
            let name = format!("newcomer-{}", self.newcomers.len() + 1);
            let client = TestClient::new(self.http.clone(), &name);
            self.newcomers.push(Newcomer { client, steps: Ledger::default() });
        }
        let newcomer = self.newcomers.last_mut().expect("somebody is there");
        while !struck.is_set() && !newcomer.is_in() {
            match newcomer.go_on(&self.operator, struck) {
                None => return,
                Some(Step::LetIn) => self.orders += 1,
                Some(Step::Asked | Step::Described) => self.statuses += 1,
            }
        }
    }

    /// After a restart: the newest one, or each, is as far in as was acknowledged.
    pub(crate) fn inspect(&mut self, operator: Operator, are_all: bool, tally: &mut Tally) {
        self.operator = operator;
        let clients = clients(&self.operator);
        let newest = self.newcomers.len().saturating_sub(1);
        for newcomer in self.newcomers.iter_mut().skip(if are_all { 0 } else { newest }) {
            newcomer.settle(&clients, tally);
        }
    }

    /// Whether everybody who is in has a desired state.
    pub(crate) fn all_have_a_revision(&self) -> bool {
        let clients = clients(&self.operator);
        let without = clients.iter().filter(|it| it.revision.is_none());
        let without: BTreeSet<&str> = without.map(|it| it.name.as_str()).collect();
        self.newcomers.iter().all(|it| !it.is_in() || !without.contains(it.client.name()))
    }
}

impl Newcomer {
    fn is_in(&self) -> bool {
        self.steps.last() == Some(&Step::Described)
    }

    /// Takes the next step and gives it once it is acknowledged.
    fn go_on(&mut self, operator: &Operator, struck: &Struck) -> Option<Step> {
        let next = match self.steps.last() {
            None => Step::Asked,
            Some(Step::Asked) => Step::LetIn,
            Some(Step::LetIn | Step::Described) => Step::Described,
        };
        match next {
            Step::Asked => {
                self.steps.ask(next);
                // Who is told to wait is known from then on.
                struck.hear("onboarding", self.client.try_onboard())?.expect(403);
            }
            Step::LetIn => {
                let clients = struck.granted("clients", operator.try_send("GET", CLIENTS, None))?;
                let clients = read(&clients.body);
                let known = clients.iter().find(|it| it.name == self.client.name());
                let id = &known.expect("who was told to wait is listed").id;
                self.steps.ask(next);
                let path = format!("{CLIENTS}/{id}/approve");
                struck.granted(&path, operator.try_send("POST", &path, Some(&json!({}))))?;
            }
            Step::Described => {
                struck.hear("onboarding", self.client.try_onboard())?.expect(201);
                self.steps.ask(next);
                let path = self.client.path("/capabilities");
                let body = self.client.capabilities().to_string().into_bytes();
                let request = self.client.signed("POST", &path, Some(body), &[JSON]);
                struck.granted(&path, self.client.try_send(&request))?;
            }
        }
        self.steps.acknowledge();
        Some(next)
    }

    fn settle(&mut self, clients: &[Client], tally: &mut Tally) {
        let known = clients.iter().find(|it| it.name == self.client.name());
        let steps = known.map(steps_of).unwrap_or_default();
        let settled = self.steps.settle(&steps, |asked, found| asked == found);
        let losses = settled.lost.iter().map(|step| {
            let kind = match step {
                Step::Asked | Step::Described => Kind::Status,
                Step::LetIn => Kind::Order,
            };
            Loss::of(kind, format!("{}: {step:?} was acknowledged", self.client.name()))
        });
        tally.take(&settled, losses.collect());
    }
}

fn clients(operator: &Operator) -> Vec<Client> {
    read(&patiently(CLIENTS, || operator.try_send("GET", CLIENTS, None)).expect(200).body)
}

fn read(list: &[u8]) -> Vec<Client> {
    let list: Page<Client> = serde_json::from_slice(list).expect("it is a list of clients");
    list.items
}

fn steps_of(client: &Client) -> Vec<Step> {
    let mut steps = vec![Step::Asked];
    if client.standing == Standing::Approved {
        steps.push(Step::LetIn);
    }
    if !client.devices.is_empty() {
        steps.push(Step::Described);
    }
    steps
}
