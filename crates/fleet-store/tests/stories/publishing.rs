//! The desired states of many clients are published in one transaction, each as if it were alone.

use std::collections::BTreeMap;

use fleet_domain::client::Client;
use fleet_domain::deployment::Progress;
use fleet_domain::desired_state::DesiredState;
use fleet_domain::ids::ClientId;
use fleet_store::{Event, NewRevision, PackCursor, PackRange, Snapshot, StoreError};

use crate::support::*;

/// More than one statement takes.
const CLIENTS: u8 = 150;

/// Clients with one ordered deployment each, but for every third, which has none.
async fn with_orders(fleet: &TestStore) -> Vec<Client> {
    let clients: Vec<Client> = (1..=CLIENTS).map(client).collect();
    let mut transaction = fleet.begin().await;
    for (number, client) in (1..).zip(&clients) {
        done(transaction.add_client(client, 100).await);
        if number % 3 != 0 {
            let pumps = deployment(number, client.id, "pump-monitor");
            done(transaction.add_deployment(&pumps).await);
            done(transaction.append_order(client.id, &install(&pumps)).await);
        }
    }
    done(transaction.commit().await);
    clients
}

async fn publish(fleet: &TestStore, clients: &[Client], number: u64, objects: &[&str]) {
    let ids: Vec<ClientId> = clients.iter().map(|it| it.id).collect();
    let mut transaction = fleet.begin().await;
    let mut desired = done(transaction.desired_states(&ids).await);
    let mut revision_of =
        |id| new_revision(number, desired.remove(&id).unwrap_or_default(), objects);
    let new: Vec<(ClientId, NewRevision)> = ids.iter().map(|id| (*id, revision_of(*id))).collect();
    done(transaction.publish(&new).await);
    done(transaction.commit().await);
}

/// The first digits of the objects that one revision added.
async fn added(snapshot: &mut Snapshot, client: ClientId, number: u64) -> Vec<String> {
    let range = PackRange { complete_at: None, added: number..=number };
    let mut cursor = PackCursor::start(range);
    let objects = done(snapshot.pack_objects(client, &mut cursor, 1 << 20).await);
    objects.iter().map(|it| it.id.as_str()[..2].to_owned()).collect()
}

#[tokio::test]
async fn desired_states_that_are_published_together_are_each_as_if_published_alone() {
    let fleet = TestStore::new().await;
    let clients = with_orders(&fleet).await;
    publish(&fleet, &clients, 1, &["c1", "d1", "f1"]).await;
    publish(&fleet, &clients[10..], 2, &["c2", "d2", "f1"]).await;

    let mut snapshot = fleet.read().await;
    let ids: Vec<ClientId> = clients.iter().map(|it| it.id).collect();
    let newest = done(snapshot.newest_revisions(&ids).await);
    assert_eq!(newest.len(), clients.len());
    let numbers: Vec<_> = newest.iter().map(|(id, newest)| (*id, newest.number)).collect();
    let mut documents = done(snapshot.revision_documents(&numbers).await);
    assert_eq!(done(snapshot.pending_orders(&ids).await), BTreeMap::new());
    for (number, client) in (1..).zip(&clients) {
        let is_twice = number > 10;
        let last = if is_twice { 2 } else { 1 };
        assert_eq!(newest[&client.id].number, revision(last), "client {number}");
        assert_eq!(
            Some(&newest[&client.id]),
            done(snapshot.newest_revision(client.id).await).as_ref()
        );
        assert_eq!(added(&mut snapshot, client.id, 1).await, ["c1", "d1", "f1"]);
        let later: &[&str] = if is_twice { &["c2", "d2"] } else { &[] };
        assert_eq!(added(&mut snapshot, client.id, 2).await, later, "client {number}");

        let documents = documents.remove(&client.id).unwrap_or_default();
        let Some(pumps) = done(snapshot.deployments_of(client.id, 10).await).pop() else {
            assert_eq!((number % 3, documents), (0, BTreeMap::new()));
            continue;
        };
        let id = pumps.deployment.id();
        assert_eq!(documents, BTreeMap::from([(id, pumps.document.digest)]));
        assert_eq!(pumps.deployment.published(), Some(revision(1)), "the first that carried it");
        let revised = done(snapshot.revised_deployments(client.id, revision(last)).await);
        assert_eq!(revised, [(&pumps).into()], "client {number}");
        let events = done(snapshot.deployment_events(id, 0, 10).await);
        let events: Vec<&Event> = events.iter().map(|it| &it.event).collect();
        assert_eq!(events, [&Event::Published { revision: revision(1) }], "client {number}");
        let carried_out = done(snapshot.orders_of(client.id, revision(1)).await);
        assert_eq!(carried_out, [install(&pumps)], "client {number}");
    }
}

#[tokio::test]
async fn of_revisions_that_are_published_together_all_are_kept_or_none() {
    let fleet = TestStore::new().await;
    let clients = with_orders(&fleet).await;
    publish(&fleet, &clients[..1], 1, &["c1", "d1", "f1"]).await;
    let mut transaction = fleet.begin().await;
    let new = |client: &Client| (client.id, new_revision(1, DesiredState::default(), &["c3"]));
    let new: Vec<_> = clients.iter().rev().map(new).collect();
    let twice =
        transaction.publish(&new).await.expect_err("the last client has its first revision");
    assert!(matches!(twice, StoreError::Duplicate(_)), "{twice:?}");
    drop(transaction);
    let ids: Vec<ClientId> = clients.iter().map(|it| it.id).collect();
    let newest = done(fleet.read().await.newest_revisions(&ids).await);
    assert_eq!(newest.keys().collect::<Vec<_>>(), [&clients[0].id]);
}

#[tokio::test]
async fn what_is_withdrawn_was_never_had_where_the_client_runs_what_comes_after_it() {
    let fleet = TestStore::new().await;
    let (press, pumps) = fleet.with_an_ordered_deployment().await;
    publish(&fleet, std::slice::from_ref(&press), 1, &["c1"]).await;
    publish(&fleet, std::slice::from_ref(&press), 2, &["c2"]).await;
    let mut transaction = fleet.begin().await;
    let id = pumps.deployment.id();
    let mut withdrawn = done(transaction.deployment(id).await).expect("it was ordered");
    withdrawn.deployment.withdraw();
    done(transaction.save_deployment(&withdrawn).await);
    done(transaction.commit().await);
    publish(&fleet, std::slice::from_ref(&press), 3, &["c3"]).await;

    let never_had = async |running: Option<u64>, undelivered: u64| {
        let mut transaction = fleet.begin().await;
        let mut contact = contact(100, running.map(|_| 200));
        if let Some(said) = &mut contact.announcement {
            (said.revision, said.undelivered) = (running.map(revision), undelivered);
        }
        done(transaction.save_contacts(&[(press.id, contact)]).await);
        !done(transaction.withdrawn_and_never_had(10).await).is_empty()
    };
    assert!(!never_had(None, 0).await, "it says nothing");
    assert!(!never_had(Some(1), 0).await, "it may take up the second revision still");
    assert!(!never_had(Some(2), 0).await, "it runs what has to be removed");
    assert!(!never_had(Some(3), 1).await, "it has something to report");
    assert!(!never_had(Some(4), 0).await, "there is no such revision");
    assert!(never_had(Some(3), 0).await);

    let mut transaction = fleet.begin().await;
    let heard = withdrawn.deployment.hear(report(Progress::Removing), None, revision(3));
    done(heard);
    done(transaction.save_deployment(&withdrawn).await);
    done(transaction.commit().await);
    assert!(!never_had(Some(3), 0).await, "the device has spoken of it");
}
