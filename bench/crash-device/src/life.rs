//! A life of a device: what is ordered step by step, and what has to be true after each of them however
//! often the client was killed meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::operator::Operator;
use testkit::wait;

use crate::engine::Engine;
use crate::orders::Orders;
use crate::package::{WITH_WEB, WITHOUT_WEB};
use crate::reports::Reports;
use crate::tally::Tally;
use crate::victim::{Deadly, Deaths, Victim};
use crate::watch::Watch;

/// How long a client that is left alone has for a step. Failed work is tried again after growing pauses.
const DEADLINE: Duration = Duration::from_secs(120);
/// A client that was killed more often in one step is left alone: what is not reached then never is.
const MOST_KILLS: u64 = 400;
const INTERVAL: Duration = Duration::from_millis(50);

/// A device, an operator who orders things, and whoever kills the client.
pub(crate) struct Life<'a> {
    operator: Operator,
    device: TestDevice,
    engine: Engine,
    name: String,
    deaths: Deaths,
    interrupted: &'a AtomicBool,
    progress: &'a dyn Fn(&str),
}

/// What is ordered in a step.
type Order = fn(&mut Orders<'_>);

/// The script. The first step orders nothing: the client comes to be known.
const SCRIPT: [(&str, Order); 10] = [
    ("onboard", |_| {}),
    ("install", |orders| orders.deploy("a", WITH_WEB, "one")),
    ("change a parameter", |orders| {
        orders.update("a", &json!({"parameters": {"greeting": "two"}}));
    }),
    ("install a second one", |orders| orders.deploy("b", WITHOUT_WEB, "one")),
    ("update to fewer components", |orders| {
        orders.remember();
        orders.update("a", &json!({"version": WITHOUT_WEB}));
    }),
    ("remove", |orders| orders.withdraw("b")),
    ("install again", |orders| orders.deploy("b", WITHOUT_WEB, "three")),
    ("roll back", |orders| orders.roll_back()),
    ("stop and remove containers behind its back", |orders| orders.damage()),
    ("remove all", |orders| {
        orders.withdraw("a");
        orders.withdraw("b");
    }),
];

impl<'a> Life<'a> {
    /// Everything in it has a name that no other life has.
    pub(crate) fn begin(
        fleet: &'a TestFleet,
        deaths: Deaths,
        interrupted: &'a AtomicBool,
        progress: &'a dyn Fn(&str),
    ) -> Self {
        let name = format!("gantry-crash-{}-{}", std::process::id(), deaths.life);
        Self {
            operator: fleet.operator(),
            device: TestDevice::prepare(fleet, &name, "[workloads]\ninspect_every = \"2s\"\n"),
            engine: Engine::new(&name),
            name,
            deaths,
            interrupted,
            progress,
        }
    }

    /// Lives it to its end, or until a step does not end well.
    pub(crate) fn live(&self, tally: &mut Tally) {
        let watch = Watch::start(&self.name, self.device.folder());
        let mut reports = Reports::of(&self.device.state_dir());
        let mut orders = Orders::none(&self.operator, &self.engine, &self.name);
        let mut victim = Victim::of(&self.device);
        let mut is_well = true;
        for (place, (step, order)) in SCRIPT.iter().enumerate() {
            order(&mut orders);
            let mut deadly = Deadly::first(self.deaths, place);
            let before = tally.kills;
            let outcome =
                self.carry_through(&mut victim, &mut deadly, &mut orders, &mut reports, tally);
            victim.end();
            reports.look();
            reports.ask(&self.operator);
            tally.volumes_lost += self.volumes_lost(&orders);
            let killed = tally.kills - before;
            let life = self.deaths.life;
            self.tell(&format!(
                "life {life}, {step}: killed {killed} times, {} in all",
                tally.kills
            ));
            if let Err(missing) = outcome {
                tally.unconverged += 1;
                self.tell(&format!("  NOT CONVERGED: {missing}\n{}", victim.log()));
                is_well = false;
                break;
            }
            orders.mark();
        }
        let clients = orders.clients().len() as u64;
        if clients > 1 {
            self.tell(&format!("  DOUBLED: the device onboarded as {clients} clients"));
            tally.doubled += clients - 1;
        }
        self.judge(&watch, &reports, is_well, tally);
    }

    /// Starts the client again and again, until one reaches what is ordered before it is killed.
    fn carry_through(
        &self,
        victim: &mut Victim<'_>,
        deadly: &mut Deadly,
        orders: &mut Orders<'_>,
        reports: &mut Reports,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let most = self.deaths.wanted.min(tally.kills + MOST_KILLS);
        loop {
            let mut next = Some(&mut *deadly).filter(|_| tally.kills < most);
            victim.start(next.as_deref());
            let deadline = Instant::now() + DEADLINE;
            // The last contact when all was as desired.
            let mut reached = None;
            let outcome = loop {
                assert!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
                if !victim.is_alive(next.as_deref_mut()) {
                    break None;
                }
                reports.look();
                match self.look(orders, reports) {
                    // It gets through one more turn, to be killed in what it does after the last report.
                    Ok(contact) if reached.as_ref().is_some_and(|it| *it != contact) => {
                        break Some(Ok(()));
                    }
                    Ok(contact) => drop(reached.get_or_insert(contact)),
                    Err(missing) if Instant::now() > deadline => break Some(Err(missing)),
                    Err(_) => reached = None,
                }
                thread::sleep(INTERVAL);
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
            tally.kills += 1;
            victim.die_with_all(tally.kills);
            reports.look();
            reports.ask(&self.operator);
        }
    }

    /// The time of the last contact if all is as it was ordered, else what is not: first as the client sees
    /// it, then the fleet manager, then the engine.
    fn look(&self, orders: &mut Orders<'_>, reports: &Reports) -> Result<String, String> {
        if reports.undelivered() > 0 {
            return Err(format!("{} reports are undelivered", reports.undelivered()));
        }
        let file = self.device.state_dir().join("running.json");
        let running = fs::read(file).ok().and_then(|it| serde_json::from_slice(&it).ok());
        let running: BTreeMap<String, Value> = running.unwrap_or_default();
        if !running.keys().eq(orders.wanted()) {
            return Err(format!("the client is to know no others: {running:?}"));
        }
        let contact = orders.contact()?;
        orders.check_states()?;
        let (found, desired) = (self.engine.containers(), orders.containers());
        if found != desired {
            return Err(format!("the containers are to be {desired:?}: {found:?}"));
        }
        Ok(contact)
    }

    fn volumes_lost(&self, orders: &Orders<'_>) -> u64 {
        let lost = orders.volumes_lost();
        for volume in &lost {
            self.tell(&format!("  VOLUME LOST: {volume}"));
        }
        lost.len() as u64
    }

    /// What the whole life has to show for itself.
    fn judge(&self, watch: &Watch, reports: &Reports, is_well: bool, tally: &mut Tally) {
        if is_well {
            wait::until("the engine to tell of all removals", || {
                (watch.seen().left == 0).then_some(())
            });
        }
        let seen = watch.seen();
        for it in &seen.doubled {
            self.tell(&format!("  DOUBLED: {it}"));
        }
        for it in &seen.volumes_removed {
            self.tell(&format!("  VOLUME REMOVED: {it}"));
        }
        tally.doubled += seen.doubled.len() as u64;
        tally.volumes_lost += seen.volumes_removed.len() as u64;
        // What is yet to be delivered when a life is broken off is not lost.
        let lost = if is_well { reports.lost() } else { Vec::new() };
        for it in &lost {
            self.tell(&format!("  REPORT LOST: {it}"));
        }
        tally.reports_lost += lost.len() as u64;
        let noted = reports.deployments().len();
        self.tell(&format!(
            "life {}: over; {noted} deployments were reported about",
            self.deaths.life
        ));
    }

    fn tell(&self, text: &str) {
        (self.progress)(text);
    }
}
