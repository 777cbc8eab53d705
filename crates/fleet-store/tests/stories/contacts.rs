//! When clients were heard of: what is written later does not count as newer.

use fleet_domain::client::Client;
use fleet_domain::contact::{Announcement, Contact};

use crate::support::*;

async fn fleet_with_press() -> (TestStore, Client) {
    let (fleet, press) = (TestStore::new().await, client(7));
    let mut transaction = fleet.begin().await;
    done(transaction.add_client(&press, 100).await);
    done(transaction.commit().await);
    (fleet, press)
}

/// What is remembered after these contacts were written in this order.
async fn remembered(contacts: &[Contact]) -> Option<Contact> {
    let (fleet, press) = fleet_with_press().await;
    for it in contacts {
        let mut transaction = fleet.begin().await;
        done(transaction.save_contacts(&[(press.id, it.clone())]).await);
        done(transaction.commit().await);
    }
    let reopened = fleet.reopen().await;
    let entry = done(reopened.read().await.client(press.id).await).expect("it was added");
    let listed = done(reopened.read().await.clients(None, 10).await);
    assert_eq!(listed, std::slice::from_ref(&entry));
    entry.contact
}

#[tokio::test]
async fn the_newest_contact_is_remembered_in_whatever_order_it_is_written() {
    assert_eq!(remembered(&[]).await, None);
    let (early, late) = (contact(110, Some(170)), contact(120, Some(180)));
    assert_eq!(remembered(&[early.clone(), late.clone()]).await, Some(late.clone()));
    assert_eq!(remembered(&[late.clone(), early]).await, Some(late));
}

#[tokio::test]
async fn what_a_client_said_stays_until_it_says_something_else() {
    let silent = contact(130, None);
    assert_eq!(remembered(std::slice::from_ref(&silent)).await.as_ref(), Some(&silent));
    let stays = Some(contact(130, Some(170)));
    assert_eq!(remembered(&[contact(110, Some(170)), silent]).await, stays);

    let plain = Announcement { next: 190, by: 200, quiet: None, revision: None, undelivered: 0 };
    let plain = Contact { last: 140, announcement: Some(plain) };
    assert_eq!(remembered(&[contact(110, Some(170)), plain.clone()]).await, Some(plain));
}
