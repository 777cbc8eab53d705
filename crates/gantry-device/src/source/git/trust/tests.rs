//! Histories, good and bad, and what of them is taken.

use commit_signature::SigningKey;
use gix::prelude::Write as _;

use super::*;

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
        let parents: String = parents.iter().map(|it| format!("parent {it}\n")).collect();
        let person = "Gantry <gantry@gantry.invalid> 1800000000 +0000";
        let head = format!(
            "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n{parents}author {person}\ncommitter {person}\n"
        );
        let introduction = introduces.map(|it| format!("{}\n", it.signer().introduction()));
        let message = format!("A change\n\nA: b\n{}", introduction.unwrap_or_default());
        let signature = key.map(|key| {
            let signature = key.sign(format!("{head}\n{message}").as_bytes());
            let signature = signature.expect("a key can sign");
            format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "))
        });
        let text = format!("{head}{}\n{message}", signature.unwrap_or_default());
        self.gix.write_buf(gix::object::Kind::Commit, text.as_bytes()).expect("it is writable")
    }

    fn follow(&self, head: gix::ObjectId, trust: &Trust) -> Result<Trust, GitError> {
        follow(&self.gix, head, Some(trust), &FirstContact::default(), &[])
    }

    fn first(&self, head: gix::ObjectId, offered: &[&SigningKey]) -> Result<Trust, GitError> {
        let offered: Vec<Signer> = offered.iter().map(|it| it.signer()).collect();
        follow(&self.gix, head, None, &FirstContact::default(), &offered)
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
    let error = follow(&repository.gix, second, Some(&trust), &FirstContact::default(), &offered);
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
    let error = follow(&repository.gix, unsigned, None, &demanding, &[]);
    assert!(matches!(error, Err(GitError::NoSigner)), "{error:?}");

    let configured = FirstContact { signers: vec![key.signer()], signatures_required: false };
    let signed = repository.commit(&[], Some(&other), None);
    let error = follow(&repository.gix, signed, None, &configured, &[other.signer()]);
    assert!(matches!(error, Err(GitError::Stranger { .. })), "the owner goes before the server");
}
