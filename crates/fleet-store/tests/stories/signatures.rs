//! A signature counts once, for as long as it holds.

use fleet_store::Added;

use crate::support::*;

#[tokio::test]
async fn a_signature_is_remembered_with_what_it_changed_until_it_holds_no_more() {
    let fleet = TestStore::new().await;
    let mut dropped = fleet.begin().await;
    assert_eq!(done(dropped.remember_signature(&[7; 32], 460).await), Added::New);
    drop(dropped);

    let mut transaction = fleet.begin().await;
    assert_eq!(done(transaction.remember_signature(&[7; 32], 460).await), Added::New);
    assert_eq!(done(transaction.remember_signature(&[8; 32], 461).await), Added::New);
    done(transaction.commit().await);

    let reopened = fleet.reopen().await;
    let mut transaction = reopened.begin().await;
    done(transaction.forget_signatures(460).await);
    let again = done(transaction.remember_signature(&[7; 32], 820).await);
    assert_eq!(again, Added::AlreadyThere);
    done(transaction.forget_signatures(461).await);
    let forgotten = done(transaction.remember_signature(&[7; 32], 821).await);
    assert_eq!(forgotten, Added::New);
    let other = done(transaction.remember_signature(&[8; 32], 821).await);
    assert_eq!(other, Added::AlreadyThere);
}
