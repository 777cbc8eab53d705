//! The versions of one client's desired state, as it gets them: they only rise, and each has one content.

use std::collections::BTreeMap;

use margo_contract::digest::Digest;

use crate::tally::{Kind, Loss};

#[derive(Debug, Default)]
pub(crate) struct Versions {
    newest: u64,
    contents: BTreeMap<u64, Digest>,
}

impl Versions {
    /// The fleet manager gives this one out as the newest.
    pub(crate) fn newest_is(&mut self, version: u64, content: Digest) -> Vec<Loss> {
        let mut losses = Vec::new();
        if version < self.newest {
            let what = format!("version {version} was given out after version {}", self.newest);
            losses.push(Loss::of(Kind::Version, what));
        }
        self.newest = self.newest.max(version);
        losses.extend(self.is(version, content));
        losses
    }

    /// A version, the newest or not, has this content.
    pub(crate) fn is(&mut self, version: u64, content: Digest) -> Option<Loss> {
        let known = *self.contents.entry(version).or_insert(content);
        let what = || format!("version {version} was {known}, and is {content}");
        (known != content).then(|| Loss::of(Kind::Version, what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn versions_that_rise_or_stay_are_well() {
        let mut versions = Versions::default();
        for (version, text) in [(1, "one"), (2, "two"), (2, "two"), (5, "five")] {
            assert_eq!(versions.newest_is(version, content(text)), []);
        }
        assert_eq!(versions.is(2, content("two")), None, "an older one may be looked at");
    }

    #[test]
    fn a_version_that_goes_back_is_seen() {
        let mut versions = Versions::default();
        versions.newest_is(5, content("five"));
        let losses = versions.newest_is(4, content("four"));
        assert!(matches!(&losses[..], [Loss { of: Kind::Version, .. }]), "{losses:?}");
    }

    #[test]
    fn a_version_with_another_content_is_seen() {
        let mut versions = Versions::default();
        versions.newest_is(5, content("five"));
        let losses = versions.newest_is(5, content("another five"));
        assert!(matches!(&losses[..], [Loss { of: Kind::Version, .. }]), "{losses:?}");
        assert!(versions.is(5, content("a third five")).is_some());
    }
}
