//! Histories, good and bad, and what of them is taken.

use commit_signature::SigningKey;
use gix::prelude::Write as _;

use super::*;

const POSITION: Position<'_> = Position { client: "press-7", version: 12 };

/// A repository whose commits a test makes one by one.
struct Repository {
    _folder: tempfile::TempDir,
    gix: gix::Repository,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let gix = super::super::make(&folder.path().join("copy")).expect("a place for it");
        Self { _folder: folder, gix }
    }

    fn commit(
        &self,
        parents: &[gix::ObjectId],
        key: Option<&SigningKey>,
        introduces: Option<&SigningKey>,
    ) -> gix::ObjectId {
        let introduction = introduces.map(|it| format!("{}\n", it.signer().introduction()));
        self.commit_with(parents, key, &introduction.unwrap_or_default())
    }

    /// A commit that says where a history goes on whose newest part was lost.
    fn recovery(
        &self,
        parents: &[gix::ObjectId],
        key: Option<&SigningKey>,
        client: &str,
        version: u64,
    ) -> gix::ObjectId {
        let recovery = Recovery { client: client.to_owned(), version };
        self.commit_with(parents, key, &format!("{}\n", recovery.declaration()))
    }

    fn commit_with(
        &self,
        parents: &[gix::ObjectId],
        key: Option<&SigningKey>,
        trailer: &str,
    ) -> gix::ObjectId {
        let parents: String = parents.iter().map(|it| format!("parent {it}\n")).collect();
        let person = "Gantry <gantry@gantry.invalid> 1800000000 +0000";
        let head = format!(
            "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n{parents}author {person}\ncommitter {person}\n"
        );
        let message = format!("A change\n\nA: b\n{trailer}");
        let signature = key.map(|key| {
            let signature = key.sign(format!("{head}\n{message}").as_bytes());
            let signature = signature.expect("a key can sign");
            format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "))
        });
        let text = format!("{head}{}\n{message}", signature.unwrap_or_default());
        self.gix.write_buf(gix::object::Kind::Commit, text.as_bytes()).expect("it is writable")
    }

    fn follow(&self, head: gix::ObjectId, trust: &Trust) -> Result<Trust, GitError> {
        follow(&self.gix, head, Some(trust), Some(POSITION), &FirstContact::default(), &[])
    }

    fn first(&self, head: gix::ObjectId, offered: &[&SigningKey]) -> Result<Trust, GitError> {
        let offered: Vec<Signer> = offered.iter().map(|it| it.signer()).collect();
        follow(&self.gix, head, None, None, &FirstContact::default(), &offered)
    }
}

fn key() -> SigningKey {
    let der = SigningKey::generate().expect("there is randomness");
    SigningKey::from_pkcs8_der(&der).expect("it was just made")
}

#[test]
fn signers_are_pinned_at_first_contact_and_later_ones_are_not_believed() {
    let (repository, key, thief) = (Repository::new(), key(), key());
    let first = repository.commit(&[], Some(&key), None);
    let trust = repository.first(first, &[&key]).expect("signed by who is named");
    assert_eq!(trust.signers, [key.signer().to_string()]);

    let second = repository.commit(&[first], Some(&thief), None);
    let offered = [thief.signer()];
    let error =
        follow(&repository.gix, second, Some(&trust), None, &FirstContact::default(), &offered);
    assert!(matches!(error, Err(GitError::Stranger { .. })), "{error:?}");
    assert!(error.is_err_and(|it| it.is_refusal()));
}

#[test]
fn every_commit_on_the_way_is_checked() {
    let (repository, key, thief) = (Repository::new(), key(), key());
    let first = repository.commit(&[], Some(&key), None);
    let trust = repository.first(first, &[&key]).expect("a good start");
    let good = repository.commit(&[first], Some(&key), None);
    let head = repository.commit(&[good], Some(&key), None);
    assert_eq!(repository.follow(head, &trust).expect("all signed").commit, head.to_string());

    let unsigned = repository.commit(&[first], None, None);
    let head = repository.commit(&[unsigned], Some(&key), None);
    assert!(matches!(repository.follow(head, &trust), Err(GitError::Unsigned(_))));
    let forged = repository.commit(&[first], Some(&thief), None);
    let head = repository.commit(&[forged], Some(&key), None);
    assert!(matches!(repository.follow(head, &trust), Err(GitError::Stranger { .. })));
}

#[test]
fn a_signature_of_another_commit_does_not_hold() {
    let (repository, key) = (Repository::new(), key());
    let first = repository.commit(&[], Some(&key), None);
    let trust = repository.first(first, &[&key]).expect("a good start");
    let good = repository.commit(&[first], Some(&key), None);
    let text = repository.gix.find_commit(good).expect("it was written").data.clone();
    let text = String::from_utf8(text).expect("it is text").replace("A change", "Another change");
    let forged = repository.gix.write_buf(gix::object::Kind::Commit, text.as_bytes());
    let forged = forged.expect("it is writable");
    assert!(matches!(repository.follow(forged, &trust), Err(GitError::BadSignature { .. })));
}

#[test]
fn history_that_leaves_out_the_trusted_commit_is_refused() {
    let (repository, key) = (Repository::new(), key());
    let first = repository.commit(&[], Some(&key), None);
    let second = repository.commit(&[first], Some(&key), None);
    let trust = repository.first(second, &[&key]).expect("a good start");
    let rewritten = repository.commit(&[first], Some(&key), Some(&key));
    let fresh = repository.commit(&[], Some(&key), Some(&key));
    let merge = repository.commit(&[second, first], Some(&key), None);
    for head in [first, rewritten, fresh, merge] {
        let error = repository.follow(head, &trust).expect_err("not a fast-forward");
        assert!(matches!(error, GitError::Rewritten), "{error:?}");
    }
    let same = repository.follow(second, &trust).expect("nothing is new");
    assert_eq!(same, trust);
}

#[test]
fn a_new_key_counts_once_it_was_introduced_and_then_in_place_of_the_former_one() {
    let (repository, old, new) = (Repository::new(), key(), key());
    let first = repository.commit(&[], Some(&old), None);
    let trust = repository.first(first, &[&old]).expect("a good start");
    let introducing = repository.commit(&[first], Some(&old), Some(&new));
    let taken_over = repository.commit(&[introducing], Some(&new), None);
    let both = repository.follow(introducing, &trust).expect("introduced");
    assert_eq!(both.signers, [old.signer().to_string(), new.signer().to_string()]);
    let trust = repository.follow(taken_over, &trust).expect("in one go");
    assert_eq!(trust.signers, [new.signer().to_string()]);
    let back = repository.commit(&[taken_over], Some(&old), None);
    assert!(matches!(repository.follow(back, &trust), Err(GitError::Stranger { .. })));
    // Whoever introduces himself is still a stranger.
    let thief = key();
    let own = repository.commit(&[taken_over], Some(&thief), Some(&thief));
    assert!(matches!(repository.follow(own, &trust), Err(GitError::Stranger { .. })));
}

#[test]
fn without_any_signer_unsigned_commits_are_taken_unless_the_owner_demands_signatures() {
    let (repository, key, other) = (Repository::new(), key(), key());
    let unsigned = repository.commit(&[], None, None);
    let trust = repository.first(unsigned, &[]).expect("a fleet manager of another make");
    assert!(trust.signers.is_empty());
    let demanding = FirstContact { signers: Vec::new(), signatures_required: true };
    let error = follow(&repository.gix, unsigned, None, None, &demanding, &[]);
    assert!(matches!(error, Err(GitError::NoSigner)), "{error:?}");

    let configured = FirstContact { signers: vec![key.signer()], signatures_required: false };
    let signed = repository.commit(&[], Some(&other), None);
    let error = follow(&repository.gix, signed, None, None, &configured, &[other.signer()]);
    assert!(matches!(error, Err(GitError::Stranger { .. })), "the owner goes before the server");
}

#[test]
fn a_history_whose_newest_part_was_lost_goes_on_where_a_signed_commit_says_so() {
    let (repository, key) = (Repository::new(), key());
    let first = repository.commit(&[], Some(&key), None);
    let lost = repository.commit(&[first], Some(&key), None);
    let trust = repository.first(lost, &[&key]).expect("a good start");
    let refused = |head| matches!(repository.follow(head, &trust), Err(GitError::Rewritten));

    let recovery = repository.recovery(&[first], Some(&key), "press-7", 13);
    let head = repository.commit(&[recovery], Some(&key), None);
    for head in [recovery, head] {
        assert_eq!(repository.follow(head, &trust).expect("it goes on").commit, head.to_string());
    }
    let without_position =
        follow(&repository.gix, head, Some(&trust), None, &FirstContact::default(), &[]);
    assert!(matches!(without_position, Err(GitError::Rewritten)));

    let of_another_client = repository.recovery(&[first], Some(&key), "lathe-2", 13);
    assert!(refused(of_another_client), "one key signs the histories of all");
    let taken_over_http = repository.recovery(&[first], Some(&key), "press-7", 12);
    for head in [taken_over_http, repository.commit(&[taken_over_http], Some(&key), None)] {
        assert_eq!(repository.follow(head, &trust).expect("it goes on").commit, head.to_string());
    }
    let rewritten = repository.commit(&[first], Some(&key), Some(&key));
    assert!(refused(rewritten), "nobody says that it goes on");
}

#[test]
fn nobody_but_who_is_trusted_can_say_that_history_was_lost() {
    let (repository, key, thief) = (Repository::new(), key(), key());
    let lost = repository.commit(&[], Some(&key), None);
    let trust = repository.first(lost, &[&key]).expect("a good start");
    let forged = repository.recovery(&[], Some(&thief), "press-7", 13);
    assert!(matches!(repository.follow(forged, &trust), Err(GitError::Stranger { .. })));
    let unsigned = repository.recovery(&[], None, "press-7", 13);
    assert!(matches!(repository.follow(unsigned, &trust), Err(GitError::Unsigned(_))));
    let head = repository.commit(&[unsigned], Some(&key), None);
    assert!(matches!(repository.follow(head, &trust), Err(GitError::Unsigned(_))));

    let without_signers = Trust { signers: Vec::new(), ..trust };
    assert!(matches!(repository.follow(unsigned, &without_signers), Err(GitError::Rewritten)));
}

#[test]
fn a_signer_that_was_introduced_after_the_loss_is_followed() {
    let (repository, old, new) = (Repository::new(), key(), key());
    let lost = repository.commit(&[], Some(&old), None);
    let trust = repository.first(lost, &[&old]).expect("a good start");
    let recovery = repository.recovery(&[], Some(&old), "press-7", 13);
    let introduction = repository.commit(&[recovery], Some(&old), Some(&new));
    let again = repository.recovery(&[introduction], Some(&new), "press-7", 20);
    let head = repository.commit(&[again], Some(&new), None);
    let trust = repository.follow(head, &trust).expect("each is trusted by those before it");
    assert_eq!(trust.signers, [new.signer().to_string()]);
}
