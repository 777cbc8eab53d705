//! The fleet manager, and those who use it until it is struck.

use std::thread;

use tempfile::TempDir;
use testkit::fleet::TestFleet;

use crate::application;
use crate::chance::Chance;
use crate::database::{Database, FormerServer};
use crate::desk::Desk;
use crate::device::Device;
use crate::door::Door;
use crate::hearing::Struck;
use crate::strike::{Strike, Victim};

const DEVICES: usize = 4;
const APPLICATIONS: [&str; 3] = ["com-gantry-one", "com-gantry-two", "com-gantry-three"];
/// Here each client asks as often as many would.
const UNLIMITED: &str = "[limits]\nrequests_per_minute = 4294967295\n";

pub(crate) struct Scene {
    pub(crate) fleet: TestFleet,
    pub(crate) desks: Vec<Desk>,
    pub(crate) devices: Vec<Device>,
    pub(crate) door: Door,
    // Of the clones; goes with this value.
    _clones: TempDir,
}

impl Scene {
    /// Devices that have been let in, applications that can be ordered, and nothing ordered yet.
    pub(crate) fn set_up(database: &Database) -> Self {
        let mut fleet = database.start_fleet(UNLIMITED);
        // What is left of a failure is to be looked at.
        fleet.keep_dir(true);
        for id in APPLICATIONS {
            application::add(&fleet, id);
        }
        let clones = tempfile::tempdir().expect("a temporary directory can be made");
        let device = |number| Device::new(&fleet, &format!("press-{number}"), clones.path());
        let mut devices: Vec<Device> = (1..=DEVICES).map(device).collect();
        let clients: Vec<String> = devices.iter().map(|it| it.client().to_owned()).collect();
        let desk = |id: &&str| Desk::new(fleet.operator(), id, &clients);
        let desks = APPLICATIONS.iter().map(desk).collect();
        for device in &mut devices {
            fleet.operator().revision_reached(device.client(), 1);
            device.inspect(&fleet.operator(), false);
        }
        let door = Door::new(fleet.operator(), fleet.http());
        Self { fleet, desks, devices, door, _clones: clones }
    }

    /// Lets everybody work until the strike comes, and starts the fleet manager again.
    pub(crate) fn work_until(&mut self, strike: Strike, database: &Database, chance: &mut Chance) {
        let struck = Struck::default();
        let Self { fleet, desks, devices, door, .. } = self;
        thread::scope(|scope| {
            for desk in desks {
                let (mut chance, struck) = (chance.branch(), &struck);
                scope.spawn(move || desk.work(&mut chance, struck));
            }
            for device in devices {
                let (mut chance, struck) = (chance.branch(), &struck);
                scope.spawn(move || device.live(&mut chance, struck));
            }
            let (mut chance, struck) = (chance.branch(), &struck);
            scope.spawn(move || door.open(&mut chance, struck));
            struck.await_granted(strike.granted);
            thread::sleep(strike.delay);
            struck.set();
            if strike.victim != Victim::Database {
                fleet.kill();
            }
            if strike.victim != Victim::Server {
                database.kill();
                database.start_again();
            }
        });
        if strike.victim == Victim::Database {
            // By itself, and without a restart.
            return fleet.await_server();
        }
        if let Some(after) = strike.again_after {
            fleet.launch_server();
            thread::sleep(after);
            fleet.kill();
        }
        let former = FormerServer::of(fleet);
        fleet.start_server();
        former.await_end(fleet);
    }
}
