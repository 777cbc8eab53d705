//! What is looked at after each restart: what was acknowledged is there, what was not is wholly there or not at
//! all, every revision is whole, and nothing has gone back.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use testkit::operator::Operator;
use testkit::wait;
use uuid::Uuid;

use crate::chance::Chance;
use crate::desk::{self, Desk};
use crate::device::Device;
use crate::orders::{Orders, Shown};
use crate::scene::Scene;
use crate::statuses::Statuses;
use crate::tally::{Kind, Loss, Tally};

/// One time of so many everything has to be published before the next load begins.
const SETTLES: u64 = 5;
/// Who looks at deployments at the same time.
const LOOKING: usize = 3;

/// Looks at everything that may have changed; the last time at everything there is.
pub(crate) fn inspect(scene: &mut Scene, chance: &mut Chance, is_last: bool, tally: &mut Tally) {
    let shown = settle(scene, is_last, tally);
    let settles = is_last || chance.one_in(SETTLES);
    let cloned = chance.below(scene.devices.len() as u64);
    let Scene { fleet, desks, devices, door, .. } = scene;
    let desks = &*desks;
    thread::scope(|scope| {
        for (number, device) in (0..).zip(devices.iter_mut()) {
            let operator = fleet.operator();
            scope.spawn(move || {
                let wanted = desks.iter().flat_map(|it| it.wanted(device.client())).collect();
                let missing = compare_list(desks, device.client(), &operator);
                device.losses.extend(missing);
                device.inspect(&operator, is_last || number == cloned);
                if settles {
                    device.await_published(&operator, &wanted);
                }
                if is_last {
                    device.check_clone();
                }
            });
        }
    });
    for desk in desks {
        for (id, (client, orders)) in &desk.orders {
            let Some(Some(shown)) = shown.get(id) else { continue };
            let device = devices.iter().find(|it| it.client() == client);
            let device = device.expect("orders are for clients that are there");
            tally.losses.extend(published(*id, orders, shown, |it| device.carried(it, *id)));
        }
    }
    door.inspect(fleet.operator(), is_last, tally);
    if settles {
        wait::until("all newcomers to have a desired state", || {
            door.all_have_a_revision().then_some(())
        });
    }
    for device in devices.iter_mut() {
        tally.losses.append(&mut device.losses);
    }
    tally.orders = desks.iter().map(|it| it.acknowledged).sum::<u64>() + door.orders;
    tally.statuses = devices.iter().map(|it| it.acknowledged).sum::<u64>() + door.statuses;
    tally.revisions = devices.iter().map(Device::revisions).sum();
}

/// Makes certain what had no answer. Gives what is shown of the deployments that were looked at.
fn settle(scene: &mut Scene, are_all: bool, tally: &mut Tally) -> BTreeMap<Uuid, Option<Shown>> {
    let Scene { fleet, desks, devices, .. } = scene;
    let touched = desks.iter().flat_map(|it| &it.touched);
    let touched = touched.chain(devices.iter().flat_map(|it| &it.touched));
    let mut ids: BTreeSet<Uuid> = touched.copied().collect();
    if are_all {
        ids.extend(desks.iter().flat_map(|it| it.orders.keys()));
    }
    let operators: Vec<Operator> = (0..LOOKING).map(|_| fleet.operator()).collect();
    let shown = show(&operators, &ids);
    for desk in desks {
        for (id, (client, orders)) in &mut desk.orders {
            let Some(shown) = shown.get(id) else { continue };
            let (settled, losses) = orders.settle(*id, shown.as_ref());
            tally.take(&settled, losses);
            let device = devices.iter_mut().find(|it| it.client() == client);
            let said = device.and_then(|it| it.statuses.get_mut(id));
            let (settled, losses) =
                said.unwrap_or(&mut Statuses::default()).settle(*id, shown.as_ref());
            tally.take(&settled, losses);
        }
        desk.go_on(fleet.operator());
    }
    for device in devices {
        device.touched.clear();
    }
    shown
}

/// What is shown of each of these.
fn show(operators: &[Operator], ids: &BTreeSet<Uuid>) -> BTreeMap<Uuid, Option<Shown>> {
    thread::scope(|scope| {
        let look = |(number, operator)| {
            let some = ids.iter().skip(number).step_by(LOOKING);
            scope.spawn(move || some.map(|id| (*id, desk::shown(operator, *id))).collect())
        };
        let looking: Vec<_> = (0..).zip(operators).map(look).collect();
        let parts = looking.into_iter().map(|it| -> BTreeMap<Uuid, Option<Shown>> {
            it.join().expect("looking does not panic")
        });
        parts.flatten().collect()
    })
}

/// Compares the list of all deployments of a client with what was asked for.
fn compare_list(desks: &[Desk], client: &str, operator: &Operator) -> Vec<Loss> {
    let orders = desks.iter().flat_map(|it| &it.orders).filter(|(_, (of, _))| of == client);
    let mut missing: BTreeMap<Uuid, &Orders> = orders.map(|(id, (_, it))| (*id, it)).collect();
    let mut losses = Vec::new();
    for deployment in desk::list(operator, client) {
        let asked = deployment.id.parse().ok().and_then(|id: Uuid| missing.remove(&id));
        match asked {
            Some(orders) => losses.extend(orders.check(&deployment)),
            None => {
                let what = format!("nobody asked for deployment {}", deployment.id);
                losses.push(Loss::of(Kind::Order, what));
            }
        }
    }
    losses.extend(missing.keys().map(|id| {
        Loss::of(Kind::Order, format!("deployment {id} is not in the list of its client"))
    }));
    losses
}

/// A revision that is shown to carry the newest content does.
fn published<'a>(
    id: Uuid,
    orders: &Orders,
    shown: &Shown,
    carried: impl Fn(u64) -> Option<&'a str>,
) -> Option<Loss> {
    let (wanted, revision) = (orders.wanted()?, shown.deployment.revision?);
    let carried = carried(revision);
    let what = || format!("deployment {id}: {wanted} is to be in revision {revision}: {carried:?}");
    (carried != Some(wanted)).then(|| Loss::of(Kind::Revision, what()))
}
