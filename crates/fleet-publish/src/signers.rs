//! Which key signs the next commit of a client's repository. A device takes a commit only from a key that
//! it trusts, and trusts another key only after a commit of a trusted one has introduced it: so a new key
//! takes one revision to be introduced in, and signs from the next one on.

use commit_signature::{Signer, SigningKey};

use crate::Previous;

/// The key for the next commit, and whom that commit has to introduce.
#[derive(Debug)]
pub(crate) struct Signing<'a> {
    pub(crate) key: &'a SigningKey,
    pub(crate) introduces: Option<Signer>,
}

/// Chooses among `keys`, the oldest first; nothing when there are none.
pub(crate) fn choose<'a>(
    previous: Option<&Previous>,
    keys: &'a [SigningKey],
) -> Option<Signing<'a>> {
    let newest = keys.last()?;
    let trusted = previous.and_then(|it| it.signer.as_ref()).filter(|it| **it != newest.signer());
    let is_introduced = previous.is_some_and(|it| it.introduces.as_ref() == Some(&newest.signer()));
    let former = trusted.filter(|_| !is_introduced);
    let former = former.and_then(|signer| keys.iter().find(|it| it.signer() == *signer));
    Some(match former {
        Some(key) => Signing { key, introduces: Some(newest.signer()) },
        // The first commit, one after an unsigned one, or after one by a key that is lost: then devices
        // have to be told by their owners.
        None => Signing { key: newest, introduces: None },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fleet_domain::ids::RevisionNumber;

    use super::*;

    fn key() -> SigningKey {
        let der = SigningKey::generate().expect("there is randomness");
        SigningKey::from_pkcs8_der(&der).expect("it was just made")
    }

    fn after(signer: Option<&SigningKey>, introduces: Option<&SigningKey>) -> Previous {
        Previous {
            number: RevisionNumber::first(),
            commit: git_serve::object::blob(b"").expect("a blob").id,
            documents: BTreeMap::new(),
            signer: signer.map(SigningKey::signer),
            introduces: introduces.map(SigningKey::signer),
        }
    }

    fn chosen(previous: Option<&Previous>, keys: &[SigningKey]) -> (Signer, Option<Signer>) {
        let signing = choose(previous, keys).expect("there are keys");
        (signing.key.signer(), signing.introduces)
    }

    #[test]
    fn a_new_key_is_introduced_by_the_former_one_before_it_signs() {
        let keys = [key(), key(), key()];
        let [first, second, third] = &keys;
        assert_eq!(chosen(None, &keys[..1]), (first.signer(), None));
        let before = after(Some(first), None);
        assert_eq!(chosen(Some(&before), &keys[..1]), (first.signer(), None));
        assert_eq!(chosen(Some(&before), &keys[..2]), (first.signer(), Some(second.signer())));
        let introduced = after(Some(first), Some(second));
        assert_eq!(chosen(Some(&introduced), &keys[..2]), (second.signer(), None));
        assert_eq!(chosen(Some(&introduced), &keys), (first.signer(), Some(third.signer())));
        assert_eq!(chosen(Some(&after(Some(second), None)), &keys[..2]), (second.signer(), None));
    }

    #[test]
    fn without_a_former_key_the_newest_signs() {
        let (keys, lost) = ([key(), key()], key());
        assert_eq!(chosen(Some(&after(None, None)), &keys), (keys[1].signer(), None));
        assert_eq!(chosen(Some(&after(Some(&lost), None)), &keys), (keys[1].signer(), None));
        assert!(choose(None, &[]).is_none());
    }
}
