//! The Git repository of a client: commits are found without reading the history, and packs are read in
//! pieces.

use std::collections::BTreeMap;
use std::task::{Context, Waker};

use fleet_domain::client::{Client, Standing};
use fleet_domain::desired_state::DesiredState;
use fleet_domain::ids::{ClientId, ObjectId};
use fleet_store::{ClientState, Decision, NewestRevision, PackCursor, PackRange, Snapshot};

use crate::support::*;

/// A client with four revisions. The third goes back to the tree of the first, the fourth to a file that
/// only the second had.
async fn with_four_revisions(fleet: &TestStore) -> ClientId {
    let (press, _) = fleet.with_an_ordered_deployment().await;
    let mut transaction = fleet.begin().await;
    let histories: [&[&str]; 4] =
        [&["c1", "d1", "f1"], &["c2", "d2", "f2"], &["c3", "d1", "f1"], &["c4", "d4", "f2"]];
    for (number, objects) in (1..).zip(histories) {
        let desired = desired_state(&mut transaction, press.id).await;
        done(transaction.publish(&[(press.id, new_revision(number, desired, objects))]).await);
    }
    done(transaction.commit().await);
    press.id
}

/// Reads a pack in pieces and gives the first digits of its objects.
async fn pack(
    snapshot: &mut Snapshot,
    client: ClientId,
    range: &PackRange,
    most_bytes: usize,
) -> Vec<String> {
    let mut cursor = PackCursor::start(range.clone());
    let mut ids = Vec::new();
    loop {
        let objects = done(snapshot.pack_objects(client, &mut cursor, most_bytes).await);
        let bytes: usize = objects.iter().map(|it| it.entry.len()).sum();
        assert!(bytes < most_bytes + 2, "an entry of the story has two bytes");
        if objects.is_empty() {
            break;
        }
        for found in objects {
            assert_eq!(found, object(&found.id.as_str()[..2]));
            ids.push(found.id.as_str()[..2].to_owned());
        }
    }
    assert_eq!(done(snapshot.count_pack_objects(client, range).await), ids.len() as u64);
    ids
}

#[tokio::test]
async fn a_pack_holds_what_its_revisions_need_and_what_came_back_once() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let mut snapshot = fleet.read().await;
    let added = |added| PackRange { complete_at: None, added };
    let nothing_after = |last: u64| last + 1..=last;
    let since = |complete, last| PackRange {
        complete_at: Some(revision(complete)),
        added: complete + 1..=last,
    };
    for (range, expected) in [
        (added(1..=4), &["c1", "d1", "f1", "c2", "d2", "f2", "c3", "c4", "d4"][..]),
        (added(3..=3), &["c3", "d1", "f1"]),
        (added(2..=4), &["c2", "d2", "f2", "c3", "d1", "f1", "c4", "d4"]),
        (added(nothing_after(4)), &[]),
        (all_of(3), &["c3", "d1", "f1"]),
        (since(1, 3), &["c1", "d1", "f1", "c2", "d2", "f2", "c3"]),
        (since(2, 4), &["c2", "d2", "f2", "c3", "d1", "f1", "c4", "d4"]),
    ] {
        for most_bytes in [1, 4, 1_000] {
            assert_eq!(pack(&mut snapshot, press, &range, most_bytes).await, expected, "{range:?}");
        }
        let others = pack(&mut snapshot, client(99).id, &range, 1_000).await;
        assert_eq!(others, [""; 0], "others have none of it");
    }
}

#[tokio::test]
async fn a_commit_is_found_by_its_revision_and_a_revision_by_its_commit() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let mut snapshot = fleet.read().await;
    assert_eq!(done(snapshot.commit(press, revision(2)).await), Some(oid("c2")));
    assert_eq!(done(snapshot.commit(press, revision(5)).await), None);

    let strangers = (10..50).map(|it| oid(&it.to_string()));
    let named: Vec<ObjectId> = strangers.chain(["c4", "d1", "c1"].map(oid)).collect();
    let known = BTreeMap::from([(oid("c1"), revision(1)), (oid("c4"), revision(4))]);
    let lathe = client(99).id;
    assert_eq!(done(snapshot.commit(lathe, revision(1)).await), None);
    let reopened = fleet.reopen().await.store;
    for (store, from) in [(&fleet.store, "memory"), (&reopened, "disk"), (&reopened, "memory")] {
        assert_eq!(done(store.revisions_of_commits(press, &named).await), known, "{from}");
        assert_eq!(done(store.revisions_of_commits(press, &[]).await), BTreeMap::new());
        assert_eq!(done(store.revisions_of_commits(lathe, &named).await), BTreeMap::new());
    }
}

#[tokio::test]
async fn what_a_revision_added_is_in_memory_once_it_is_committed_just_as_it_is_read() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let mut snapshot = fleet.read().await;
    let added = |number| PackRange { complete_at: None, added: number..=number };
    for number in 1..=4 {
        let range = added(number);
        let mut cursor = PackCursor::start(range.clone());
        let objects = done(snapshot.pack_objects(press, &mut cursor, 1_000).await);
        let read: Vec<Vec<u8>> = objects.into_iter().map(|it| it.entry).collect();
        let kept = fleet.store.recent_pack(press, &range).expect("it was published just now");
        assert_eq!(&*kept, read.as_slice(), "revision {number}");
        assert_eq!(fleet.store.recent_pack(client(99).id, &range), None, "others have none of it");
    }
    assert_eq!(fleet.store.recent_pack(press, &all_of(4)), None, "nobody has read it yet");

    let mut transaction = fleet.begin().await;
    let fifth = new_revision(5, DesiredState::default(), &["c5", "d4"]);
    done(transaction.publish(&[(press, fifth.clone())]).await);
    assert_eq!(fleet.store.recent_pack(press, &added(5)), None, "it is not committed");
    drop(transaction);
    assert_eq!(fleet.store.recent_pack(press, &added(5)), None, "it was given up");
}

#[tokio::test]
async fn a_poll_sees_each_change_from_its_commit_on() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let state =
        async || done(fleet.store.client_state(press).await).map(|it| ClientState::clone(&it));
    let newest = |number, commit| {
        let manifest_digest = new_revision(number, DesiredState::default(), &[commit]).revision;
        let manifest_digest = manifest_digest.manifest_digest;
        Some(NewestRevision { number: revision(number), commit: oid(commit), manifest_digest })
    };
    let first = state_of(&client(7), newest(4, "c4"));
    assert_eq!(state().await, Some(first.clone()));

    let mut transaction = fleet.begin().await;
    let published = new_revision(5, DesiredState::default(), &["c5", "d4"]);
    done(transaction.publish(&[(press, published.clone())]).await);
    assert_eq!(state().await, Some(first.clone()), "nobody sees what is not committed");
    drop(transaction);
    assert_eq!(state().await, Some(first.clone()), "nor what is given up");

    let mut transaction = fleet.begin().await;
    done(transaction.publish(&[(press, published.clone())]).await);
    done(transaction.commit().await);
    let second = ClientState { newest: newest(5, "c5"), ..first };
    assert_eq!(state().await, Some(second.clone()));

    let mut transaction = fleet.begin().await;
    done(transaction.note_fetched(&[(press, revision(5))].into()).await);
    done(transaction.commit().await);
    let second = ClientState { given: Some(revision(5)), ..second };
    assert_eq!(state().await, Some(second.clone()));

    let mut transaction = fleet.begin().await;
    let entry = done(transaction.client(press).await).expect("it is there");
    let revoked = Client { standing: Standing::Revoked, ..entry.client };
    let decision = Decision { by: id("ada"), at: 200 };
    done(transaction.save_standing(&revoked, &decision).await);
    done(transaction.commit().await);
    assert_eq!(state().await, Some(ClientState { standing: Standing::Revoked, ..second }));
}

#[tokio::test]
async fn who_shares_a_commit_sees_what_the_others_changed_as_soon_as_it_is_told() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let newest = async || {
        let state = done(fleet.store.client_state(press).await).expect("it is there");
        state.newest.as_ref().map(|it| it.number)
    };
    assert_eq!(newest().await, Some(revision(4)));
    let mut first = fleet.begin().await;
    let published = new_revision(5, DesiredState::default(), &["c5", "d4"]);
    done(first.publish(&[(press, published.clone())]).await);
    let store = fleet.store.clone();
    let second = tokio::spawn(async move {
        let mut second = done(store.begin().await);
        let seen = done(second.newest_revision(press).await).map(|it| it.number);
        done(second.commit().await);
        seen
    });
    // So that the second one stands in the line when the first one commits.
    tokio::task::yield_now().await;
    let mut commit = Box::pin(first.commit());
    // Begun, and told to nobody yet.
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(second.await.expect("it does not panic"), Some(revision(5)));
    assert_eq!(newest().await, Some(revision(5)));
    done(commit.await);
}

#[tokio::test]
async fn a_client_without_revisions_has_a_state_and_one_that_is_not_there_has_none() {
    let fleet = TestStore::new().await;
    let press = client(7);
    assert_eq!(done(fleet.store.client_state(press.id).await), None);
    let mut transaction = fleet.begin().await;
    done(transaction.add_client(&press, 100).await);
    done(transaction.commit().await);
    assert_eq!(
        done(fleet.store.client_state(press.id).await).as_deref(),
        Some(&state_of(&press, None))
    );

    let mut transaction = fleet.begin().await;
    done(transaction.forget_waiting(Some(press.id)).await);
    done(transaction.commit().await);
    assert_eq!(done(fleet.store.client_state(press.id).await), None, "it was forgotten");
}

/// A client that waits.
fn state_of(client: &Client, newest: Option<NewestRevision>) -> ClientState {
    ClientState {
        standing: Standing::Waiting,
        certificate: client.fingerprint,
        key: client.key,
        newest,
        given: None,
    }
}

#[tokio::test]
async fn what_comes_after_a_gap_adds_what_the_revision_before_it_lacks() {
    let fleet = TestStore::new().await;
    let press = with_four_revisions(&fleet).await;
    let mut transaction = fleet.begin().await;
    for (number, objects) in [(90, ["c5", "d4", "f2"]), (91, ["c6", "d4", "f3"])] {
        let desired = desired_state(&mut transaction, press).await;
        done(transaction.publish(&[(press, new_revision(number, desired, &objects))]).await);
    }
    done(transaction.commit().await);
    let mut snapshot = fleet.read().await;
    let added = |added| PackRange { complete_at: None, added };
    for (range, expected) in [
        (added(90..=90), &["c5"][..]),
        (added(5..=90), &["c5"]),
        (added(5..=91), &["c5", "c6", "f3"]),
        (all_of(91), &["c6", "d4", "f3"]),
    ] {
        assert_eq!(pack(&mut snapshot, press, &range, 1_000).await, expected, "{range:?}");
    }
    assert_eq!(done(snapshot.missing_revisions(press).await), [5..=89]);
    assert_eq!(done(snapshot.missing_revisions(client(99).id).await), []);
    assert_eq!(done(snapshot.published_clients(None, 9).await), [press]);
    assert_eq!(done(snapshot.published_clients(Some(press), 9).await), []);
}
