//! What an operator orders in a life, and whether the fleet manager says that it is so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::operator::Operator;
use testkit::wait;

use crate::engine::{Container, Engine};
use crate::package::{WITHOUT_WEB, application, components};

/// What is ordered, and what is known of it.
pub(crate) struct Orders<'a> {
    operator: &'a Operator,
    engine: &'a Engine,
    name: &'a str,
    client: Option<String>,
    /// By name.
    wanted: BTreeMap<String, Wanted>,
    withdrawn: BTreeSet<String>,
    /// The volumes that have a marker.
    marked: BTreeSet<String>,
    /// The revision to return to.
    former: Option<(u64, BTreeMap<String, Wanted>)>,
}

/// A deployment as it is ordered.
#[derive(Clone)]
struct Wanted {
    id: String,
    components: &'static [&'static str],
    greeting: &'static str,
}

impl<'a> Orders<'a> {
    pub(crate) fn none(operator: &'a Operator, engine: &'a Engine, name: &'a str) -> Self {
        Self {
            operator,
            engine,
            name,
            client: None,
            wanted: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            marked: BTreeSet::new(),
            former: None,
        }
    }

    /// The ids of the deployments that are wanted.
    pub(crate) fn wanted(&self) -> BTreeSet<&String> {
        self.wanted.values().map(|it| &it.id).collect()
    }

    /// The volumes that have lost their marker.
    pub(crate) fn volumes_lost(&self) -> Vec<&String> {
        let is_lost = |volume: &&String| self.engine.marker(volume).as_ref() != Some(*volume);
        self.marked.iter().filter(is_lost).collect()
    }

    pub(crate) fn deploy(&mut self, which: &str, version: &str, greeting: &'static str) {
        let (name, before) = (format!("{}-{which}", self.name), self.revision());
        let order = json!({
            "applicationId": application(which), "version": version, "clientId": self.client,
            "name": name, "parameters": {"greeting": greeting},
        });
        let ordered = self.operator.send("POST", "/deployments", Some(&order)).expect(201).json();
        let id = ordered["id"].as_str().expect("a deployment has an id").to_owned();
        self.wanted.insert(name, Wanted { id, components: components(version), greeting });
        self.published_after(before);
    }

    pub(crate) fn update(&mut self, which: &str, change: &Value) {
        let (name, before) = (format!("{}-{which}", self.name), self.revision());
        let wanted = self.wanted.get_mut(&name).expect("it was ordered");
        self.operator
            .send("PATCH", &format!("/deployments/{}", wanted.id), Some(change))
            .expect(200);
        if change["version"] == WITHOUT_WEB {
            wanted.components = components(WITHOUT_WEB);
        }
        if change["parameters"]["greeting"] == "two" {
            wanted.greeting = "two";
        }
        self.published_after(before);
    }

    pub(crate) fn withdraw(&mut self, which: &str) {
        let (name, before) = (format!("{}-{which}", self.name), self.revision());
        let wanted = self.wanted.remove(&name).expect("it was ordered");
        self.operator.send("DELETE", &format!("/deployments/{}", wanted.id), None).expect(200);
        self.withdrawn.insert(wanted.id);
        self.published_after(before);
    }

    /// Remembers what is ordered, to return to it.
    pub(crate) fn remember(&mut self) {
        self.former = Some((self.revision(), self.wanted.clone()));
    }

    pub(crate) fn roll_back(&mut self) {
        let before = self.revision();
        let (revision, former) = self.former.take().expect("it was remembered");
        let client = self.client.as_deref().expect("it has onboarded");
        let order = json!({"revision": revision, "reason": "the newer one is worse"});
        let path = format!("/clients/{client}/rollback");
        self.operator.send("POST", &path, Some(&order)).expect(200);
        self.withdrawn.extend(self.wanted.values().map(|it| it.id.clone()));
        self.wanted = former;
        self.withdrawn.retain(|id| self.wanted.values().all(|it| it.id != *id));
        self.published_after(before);
    }

    /// Orders nothing, but what runs has to be mended.
    pub(crate) fn damage(&self) {
        self.engine.damage();
    }

    /// Puts a marker into each volume that has none yet.
    pub(crate) fn mark(&mut self) {
        for name in self.wanted.keys() {
            let volume = format!("{name}-store_data");
            if self.marked.insert(volume.clone()) {
                self.engine.mark(&volume, &volume);
            }
        }
    }

    /// The newest revision of the client; 0 when there is none.
    fn revision(&self) -> u64 {
        let client = self.client.as_deref().expect("it has onboarded");
        self.operator.get(&format!("/clients/{client}"))["revision"].as_u64().unwrap_or_default()
    }

    fn published_after(&self, revision: u64) {
        wait::until("the revision to be published", || (self.revision() > revision).then_some(()));
    }

    /// The last contact of the client. It is let in first; it may come with another certificate when it was
    /// killed before it had kept the first one.
    pub(crate) fn contact(&mut self) -> Result<String, String> {
        let clients = self.clients();
        for client in clients.iter().filter(|it| it["standing"] == "waiting") {
            let id = client["id"].as_str().expect("a client has an id");
            self.operator.approve(id);
            self.client = Some(id.to_owned());
        }
        let ours = clients.iter().find(|it| it["id"].as_str() == self.client.as_deref());
        let ours = ours.ok_or("the client is to onboard")?;
        if ours["devices"].as_array().is_none_or(Vec::is_empty) {
            return Err(format!("the capabilities are to be reported: {ours}"));
        }
        Ok(ours["contact"]["lastContact"].to_string())
    }

    pub(crate) fn check_states(&self) -> Result<(), String> {
        let wanted = self.wanted.values().map(|it| (&it.id, "installed"));
        for (id, state) in wanted.chain(self.withdrawn.iter().map(|id| (id, "removed"))) {
            let deployment = self.operator.get(&format!("/deployments/{id}"));
            if deployment["state"] != state {
                return Err(format!("the deployment is to be {state}: {deployment}"));
            }
        }
        Ok(())
    }

    /// The clients that the fleet manager knows under the name of this life: no more than one is good.
    pub(crate) fn clients(&self) -> Vec<Value> {
        let clients = self.operator.get("/clients");
        let clients = clients["items"].as_array().expect("a list of clients");
        clients.iter().filter(|it| it["name"] == self.name).cloned().collect()
    }

    /// The containers that are to run, sorted.
    pub(crate) fn containers(&self) -> Vec<Container> {
        let of = |(name, wanted): (&String, &Wanted)| {
            let (name, greeting) = (name.clone(), wanted.greeting.to_owned());
            wanted.components.iter().map(move |component| Container {
                project: format!("{name}-{component}"),
                service: (*component).to_owned(),
                greeting: greeting.clone(),
                is_running: true,
            })
        };
        let mut containers: Vec<Container> = self.wanted.iter().flat_map(of).collect();
        containers.sort();
        containers
    }
}
