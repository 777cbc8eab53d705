//! The story of a fleet, remembered in a real database file.

mod contacts;
mod publishing;
mod repository;
mod signatures;
mod support;
mod upgrades;

use fleet_domain::client::{Standing, Verdict};
use fleet_domain::deployment::{Heard, Life, Progress};
use fleet_domain::desired_state::{DesiredState, Order, Ordered};
use fleet_domain::permission::Role;
use fleet_store::{
    AddApplication, AddDeployment, Added, Decision, DeploymentEntry, DeviceEntry, Event, Job,
    KEPT_EVENTS, Operator, Recorded, RemoveApplication, RevisedDeployment, StoreError,
};

use support::*;

#[tokio::test]
async fn a_fleet_is_remembered_from_onboarding_to_removal() {
    let fleet = TestStore::new().await;
    let mut press = client(7);

    let mut transaction = fleet.begin().await;
    assert_eq!(done(transaction.add_client(&press, 100).await), Added::New);
    assert_eq!(done(transaction.add_client(&press, 200).await), Added::AlreadyThere);
    press.decide(Verdict::Approve).expect("a waiting client can be approved");
    let decision = Decision { by: id("ada"), at: 101 };
    done(transaction.save_standing(&press, &decision).await);
    let device = DeviceEntry { id: id("press-7"), capabilities: "{}".to_owned(), reported_at: 102 };
    assert_eq!(done(transaction.record_device(press.id, &device).await), Recorded::Created);
    assert_eq!(done(transaction.record_device(press.id, &device).await), Recorded::Updated);
    assert_eq!(
        done(transaction.add_application(&application("1.0.0", b"v1")).await),
        AddApplication::Added
    );
    let mut pumps = deployment(1, press.id, "pump-monitor");
    assert_eq!(done(transaction.add_deployment(&pumps).await), AddDeployment::Added);
    done(transaction.append_order(press.id, &install(&pumps)).await);
    done(transaction.enqueue_job("publish", &press.id.to_string(), 103).await);
    done(transaction.commit().await);

    let mut transaction = fleet.begin().await;
    let job = done(transaction.due_jobs(103, 10).await).pop().expect("the job is due");
    assert_eq!(job.subject, press.id.to_string());
    let desired = desired_state(&mut transaction, press.id).await;
    assert_eq!(desired.documents[&pumps.deployment.id()], pumps.document);
    assert_eq!(pending_orders(&mut transaction, press.id).await, [install(&pumps)]);
    let published = new_revision(1, desired, &["c1", "d1", "f1"]);
    done(transaction.publish(&[(press.id, published.clone())]).await);
    done(transaction.take_jobs(std::slice::from_ref(&job)).await);
    done(transaction.commit().await);

    let mut transaction = fleet.begin().await;
    pumps = done(transaction.deployment(pumps.deployment.id()).await).expect("it was ordered");
    assert_eq!(pumps.deployment.published(), Some(revision(1)));
    let heard = pumps.deployment.hear(report(Progress::Installed), None, revision(1));
    assert_eq!(heard, Ok(Heard::First));
    pumps.heard_at = Some(110);
    done(transaction.save_deployment(&pumps).await);
    done(transaction.save_contacts(&[(press.id, contact(110, Some(170)))]).await);
    done(transaction.commit().await);

    let reopened = fleet.reopen().await;
    let mut snapshot = reopened.read().await;
    let entry = done(snapshot.client_by_key(&press.key).await).expect("onboarded");
    assert_eq!(entry.client, press);
    assert_eq!((entry.onboarded_at, entry.contact), (100, Some(contact(110, Some(170)))));
    assert_eq!(entry.decision, Some(decision));
    assert_eq!(done(snapshot.count_clients(Standing::Approved).await), 1);
    assert_eq!(done(snapshot.devices(press.id).await), [device]);
    assert_eq!(done(snapshot.deployments_of(press.id, 10).await), [pumps.clone()]);
    assert_eq!(*pumps.deployment.life(), Life::Known(report(Progress::Installed)));
    assert_eq!(done(snapshot.newest_revision(press.id).await), Some(published.revision.clone()));
    assert_eq!(pending_orders(&mut snapshot, press.id).await, []);
    assert_eq!(done(snapshot.orders_of(press.id, revision(1)).await), [install(&pumps)]);
    assert_eq!(done(snapshot.next_job_at().await), None);
    let bytes = snapshot.document(press.id, pumps.deployment.id(), &pumps.document.digest).await;
    assert_eq!(done(bytes), Some(pumps.document.bytes.clone()));
    let revised = done(snapshot.revised_deployments(press.id, revision(1)).await);
    assert_eq!(revised, [RevisedDeployment::from(&pumps)]);
    let bundle = published.bundle.expect("the test gave one");
    assert_eq!(done(snapshot.bundle(press.id, &bundle.digest).await), Some(bundle.bytes));
    let events = done(snapshot.deployment_events(pumps.deployment.id(), 0, 10).await);
    assert_eq!(events[0].event, Event::Published { revision: revision(1) });
}

#[tokio::test]
async fn a_publication_that_is_killed_in_the_middle_leaves_nothing() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;

    let mut transaction = fleet.begin().await;
    let job = done(transaction.due_jobs(500, 10).await).pop().expect("the job is due");
    let desired = desired_state(&mut transaction, press.id).await;
    let published = new_revision(1, desired, &["c1", "d1", "f1"]);
    done(transaction.publish(&[(press.id, published.clone())]).await);
    done(transaction.take_jobs(std::slice::from_ref(&job)).await);
    done(transaction.append_audit(&[note("publish")]).await);
    drop(transaction);

    let reopened = fleet.reopen().await;
    let mut snapshot = reopened.read().await;
    assert_eq!(done(snapshot.newest_revision(press.id).await), None);
    assert_eq!(done(snapshot.count_pack_objects(press.id, &all_of(1)).await), 0);
    let digest = pumps.document.digest;
    assert_eq!(done(snapshot.document(press.id, pumps.deployment.id(), &digest).await), None);
    assert_eq!(pending_orders(&mut snapshot, press.id).await.len(), 1);
    assert_eq!(done(snapshot.due_jobs(500, 10).await), [job]);
    assert_eq!(done(snapshot.deployment(pumps.deployment.id()).await), Some(pumps));
    assert_eq!(done(snapshot.audit(0, 10).await), []);
}

#[tokio::test]
async fn writers_at_the_same_time_all_succeed() {
    let fleet = TestStore::new().await;
    let neighbour = fleet.reopen().await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..8_u8 {
        let store = if number % 2 == 0 { fleet.store.clone() } else { neighbour.store.clone() };
        writers.spawn(async move {
            let mut transaction = done(store.begin().await);
            let seen = done(transaction.clients(None, 100).await).len();
            done(transaction.add_client(&client(number), 100).await);
            done(transaction.append_audit(&[note("onboard")]).await);
            done(transaction.commit().await);
            seen
        });
    }
    let mut seen = writers.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7], "each writer sees all that were before it");

    let mut snapshot = fleet.read().await;
    assert_eq!(done(snapshot.clients(None, 100).await).len(), 8);
    let numbers = done(snapshot.audit(0, 100).await).into_iter().map(|it| it.sequence);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_snapshot_does_not_see_what_is_written_after_it_or_not_committed() {
    let fleet = TestStore::new().await;
    let mut transaction = fleet.begin().await;
    done(transaction.add_client(&client(1), 100).await);
    let mut snapshot = fleet.read().await;
    assert_eq!(done(snapshot.clients(None, 10).await), []);
    done(transaction.commit().await);
    assert_eq!(done(snapshot.clients(None, 10).await), []);
    assert_eq!(done(fleet.read().await.clients(None, 10).await).len(), 1);
}

#[tokio::test]
async fn conflicts_are_outcomes_and_change_nothing() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;
    let mut transaction = fleet.begin().await;

    let again = deployment(2, press.id, "another-name");
    assert_eq!(
        done(transaction.add_deployment(&again).await),
        AddDeployment::ApplicationAlreadyThere(pumps.deployment.id())
    );
    let mut same_name = deployment(3, press.id, "pump-monitor");
    same_name.application = id("com-example-lathe");
    assert_eq!(
        done(transaction.add_deployment(&same_name).await),
        AddDeployment::NameTaken(pumps.deployment.id())
    );
    let same = transaction.add_application(&application("1.0.0", b"v1")).await;
    assert_eq!(done(same), AddApplication::AlreadyThere);
    let other = transaction.add_application(&application("1.0.0", b"other")).await;
    assert_eq!(done(other), AddApplication::OtherContent);
    let in_use = transaction.remove_application(&pumps.application, &pumps.version).await;
    assert_eq!(done(in_use), RemoveApplication::InUse);
    let ada = Operator { name: id("ada"), role: Role::Operator };
    assert_eq!(done(transaction.add_operator(&ada, &sha256(1)).await), Added::New);
    assert_eq!(done(transaction.add_operator(&ada, &sha256(2)).await), Added::AlreadyThere);
    assert_eq!(done(transaction.operator_by_token_hash(&sha256(1)).await), Some(ada));
    assert_eq!(done(transaction.operator_by_token_hash(&sha256(2)).await), None);
    assert_eq!(done(transaction.operators(10).await).len(), 1);
    assert!(done(transaction.remove_operator(&id("ada")).await));
    assert!(!done(transaction.remove_operator(&id("ada")).await));
    assert_eq!(done(transaction.operator_by_token_hash(&sha256(1)).await), None);
    done(transaction.commit().await);
    let mut transaction = fleet.begin().await;
    let stray = deployment(4, client(99).id, "stray");
    let refused = transaction.add_deployment(&stray).await;
    assert!(matches!(refused, Err(StoreError::UnknownReference(_))), "{refused:?}");
    drop(transaction);

    assert_eq!(done(fleet.read().await.deployments(None, 10).await), [pumps]);
}

#[tokio::test]
async fn a_withdrawn_deployment_makes_room_for_another_and_frees_its_application() {
    let fleet = TestStore::new().await;
    let (press, mut pumps) = fleet.with_an_ordered_deployment().await;
    let mut transaction = fleet.begin().await;
    pumps.deployment.withdraw();
    done(transaction.save_deployment(&pumps).await);
    assert_eq!(desired_state(&mut transaction, press.id).await, DesiredState::default());

    let package = sha256(0xb1);
    assert!(done(transaction.package(&package).await).is_some());
    let removed = transaction.remove_application(&pumps.application, &pumps.version).await;
    assert_eq!(done(removed), RemoveApplication::Removed);
    assert_eq!(done(transaction.package(&package).await), None);
    let again = transaction.remove_application(&pumps.application, &pumps.version).await;
    assert_eq!(done(again), RemoveApplication::Unknown);

    let again = deployment(2, press.id, "pump-monitor");
    assert_eq!(done(transaction.add_deployment(&again).await), AddDeployment::Added);
}

#[tokio::test]
async fn a_revision_is_not_published_twice() {
    let fleet = TestStore::new().await;
    let (press, _) = fleet.with_an_ordered_deployment().await;
    let mut transaction = fleet.begin().await;
    let desired = desired_state(&mut transaction, press.id).await;
    done(transaction.publish(&[(press.id, new_revision(1, desired.clone(), &["c1"]))]).await);
    let twice = transaction.publish(&[(press.id, new_revision(1, desired, &["c2"]))]).await;
    assert!(matches!(twice, Err(StoreError::Duplicate(_))), "{twice:?}");
}

#[tokio::test]
async fn each_revision_keeps_what_its_documents_were_made_of() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;
    // Another version, and values that differ only in name: the device is told the same.
    let mut newer = DeploymentEntry { version: id("1.1.0"), ..pumps.clone() };
    newer.parameters = "{}".to_owned();
    let mut transaction = fleet.begin().await;
    for (number, entry, commit) in [(1, &pumps, "c1"), (2, &newer, "c2")] {
        done(transaction.save_deployment(entry).await);
        let desired = desired_state(&mut transaction, press.id).await;
        done(transaction.publish(&[(press.id, new_revision(number, desired, &[commit]))]).await);
    }
    for (number, entry) in [(1, &pumps), (2, &newer)] {
        let revised = transaction.revised_deployments(press.id, revision(number)).await;
        assert_eq!(done(revised), [RevisedDeployment::from(entry)]);
    }
    assert_eq!(done(transaction.revised_deployments(press.id, revision(3)).await), []);
    assert_eq!(done(transaction.revised_deployments(client(8).id, revision(1)).await), []);
}

#[tokio::test]
async fn a_rollback_is_an_order_of_several_deployments() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;
    let Ordered::Install { deployment } = install(&pumps).what else { panic!("it installs") };
    let what = Ordered::RollBack {
        to: revision(7),
        installed: vec![deployment.clone()],
        updated: vec![deployment.clone(), deployment],
        removed: Vec::new(),
    };
    let order = Order { what, reason: None, ..install(&pumps) };
    let mut transaction = fleet.begin().await;
    done(transaction.append_order(press.id, &order).await);
    assert_eq!(pending_orders(&mut transaction, press.id).await, [install(&pumps), order]);
}

#[tokio::test]
async fn a_job_that_is_asked_for_while_it_is_done_is_done_again() {
    let fleet = TestStore::new().await;
    let mut transaction = fleet.begin().await;
    done(transaction.enqueue_job("publish", "press", 10).await);
    done(transaction.enqueue_job("publish", "press", 10).await);
    let jobs = done(transaction.due_jobs(10, 10).await);
    assert_eq!(jobs.len(), 1, "asking twice is asking once");
    assert_eq!(done(transaction.due_jobs(9, 10).await), []);

    done(transaction.enqueue_job("publish", "press", 11).await);
    assert_eq!(done(transaction.take_jobs(&jobs).await), [] as [&Job; 0], "it was asked for again");
    let again = done(transaction.due_jobs(11, 10).await).pop().expect("asked for once more");
    done(transaction.postpone_job(&again, 20).await);
    assert_eq!(done(transaction.next_job_at().await), Some(20));
    let late = done(transaction.due_jobs(20, 10).await).pop().expect("it is due again");
    assert_eq!(late.attempts, 1);
    done(transaction.enqueue_job("publish", "mill", 30).await);
    let stranger = done(transaction.due_jobs(30, 10).await).pop().expect("it is due, too");
    assert_eq!(done(transaction.take_jobs(std::slice::from_ref(&stranger)).await), [&stranger]);
    let both = [late, stranger];
    assert_eq!(done(transaction.take_jobs(&both).await), [&both[0]], "the other was taken before");
    assert_eq!(done(transaction.next_job_at().await), None);
}

#[tokio::test]
async fn only_the_newest_events_of_a_deployment_are_kept() {
    let fleet = TestStore::new().await;
    let (_, pumps) = fleet.with_an_ordered_deployment().await;
    let id = pumps.deployment.id();
    let last = u64::from(KEPT_EVENTS) + 2;
    let mut transaction = fleet.begin().await;
    for number in 1..=last {
        let event = Event::Reported(report(Progress::Failed(failure("no image"))));
        assert_eq!(done(transaction.append_event(id, 100, &event).await), number);
    }
    let kept = done(transaction.deployment_events(id, 0, u32::MAX).await);
    assert_eq!(kept.len(), KEPT_EVENTS as usize);
    assert_eq!((kept[0].sequence, kept[kept.len() - 1].sequence), (3, last));
    assert_eq!(kept[0].event, Event::Reported(report(Progress::Failed(failure("no image")))));
    assert_eq!(done(transaction.deployment_events(id, last - 1, 10).await).len(), 1);
}

#[tokio::test]
async fn the_event_of_the_newest_order_outlives_all_reports() {
    let fleet = TestStore::new().await;
    let (_, pumps) = fleet.with_an_ordered_deployment().await;
    let pumps = pumps.deployment.id();
    let mut transaction = fleet.begin().await;
    assert_eq!(done(transaction.newest_order_event(pumps).await), 0);
    done(transaction.append_event(pumps, 100, &Event::Ordered { by: id("ada") }).await);
    let order = transaction.append_event(pumps, 100, &Event::Updated { by: id("ada") }).await;
    let order = done(order);
    assert_eq!(done(transaction.count_orders_after(pumps, 0).await), 2);
    for _ in 0..=KEPT_EVENTS {
        let event = Event::Reported(report(Progress::Installing));
        done(transaction.append_event(pumps, 100, &event).await);
    }
    assert_eq!(done(transaction.newest_order_event(pumps).await), order);
    assert_eq!(done(transaction.count_orders_after(pumps, 0).await), 1, "one is forgotten");
    assert_eq!(done(transaction.count_orders_after(pumps, order).await), 0);
    let kept = done(transaction.deployment_events(pumps, 0, u32::MAX).await);
    assert_eq!((kept.len(), kept[0].sequence), (KEPT_EVENTS as usize + 1, order));
}

#[tokio::test]
async fn orders_are_found_by_what_came_before_them_and_by_what_they_are_about() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;
    let fans = deployment(2, press.id, "fans");
    let mut transaction = fleet.begin().await;
    let seen = done(transaction.newest_order(press.id).await);
    let again = Order { reason: None, ..install(&pumps) };
    for order in [install(&fans), again.clone()] {
        done(transaction.append_order(press.id, &order).await);
    }
    assert_eq!(done(transaction.newest_order(press.id).await), seen + 2);
    let after = done(transaction.orders_after(press.id, seen, 10).await);
    assert_eq!(after, [again.clone(), install(&fans)]);
    assert_eq!(
        done(transaction.orders_after(press.id, seen, 1).await),
        std::slice::from_ref(&again)
    );
    let about = done(transaction.orders_about(press.id, pumps.deployment.id(), 10).await);
    assert_eq!(about, [again, install(&pumps)]);
    let about = done(transaction.orders_about(press.id, fans.deployment.id(), 10).await);
    assert_eq!(about, [install(&fans)]);
}

#[tokio::test]
async fn the_audit_only_grows() {
    let fleet = TestStore::new().await;
    for action in ["onboard", "approve"] {
        let mut transaction = fleet.begin().await;
        done(transaction.append_audit(&[note(action)]).await);
        done(transaction.commit().await);
    }
    let mut forgotten = fleet.begin().await;
    done(forgotten.append_audit(&[note("nothing happened")]).await);
    drop(forgotten);
    let mut transaction = fleet.begin().await;
    assert_eq!(done(transaction.append_audit(&[note("revoke")]).await), 3);
    done(transaction.commit().await);

    let reopened = fleet.reopen().await;
    let entries = done(reopened.read().await.audit(0, 10).await);
    let told: Vec<_> = entries.iter().map(|it| (it.sequence, it.note.action.as_str())).collect();
    assert_eq!(told, [(1, "onboard"), (2, "approve"), (3, "revoke")]);
    assert_eq!(done(reopened.read().await.audit(2, 10).await), entries[2..]);
}

#[tokio::test]
async fn a_setting_is_what_it_was_set_to_last() {
    let fleet = TestStore::new().await;
    let mut transaction = fleet.begin().await;
    assert_eq!(done(transaction.setting("key").await), None);
    done(transaction.set_setting("key", &[1, 2]).await);
    done(transaction.set_setting("key", &[]).await);
    assert_eq!(done(transaction.setting("key").await), Some(vec![]));
}
