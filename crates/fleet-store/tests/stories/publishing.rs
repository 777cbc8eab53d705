//! The desired states of many clients are published in one transaction, each as if it were alone.

use std::collections::BTreeMap;

use fleet_domain::client::Client;
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
