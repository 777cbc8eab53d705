//! What each request says about the contacts to come, so that a fleet manager knows who is overdue and who
//! is quiet because its owner wants it so: the header `Gantry-Contact`, a dictionary of RFC 9651. Ours;
//! servers of another make ignore it.

use std::fmt;

use ureq::http::{HeaderMap, HeaderValue};

use crate::schedule::Opening;

/// No contact is promised for later than this, in milliseconds from now.
const FURTHEST_MS: i64 = 365 * 24 * 60 * 60 * 1000;
/// The name of the header.
const HEADER: &str = "gantry-contact";

/// The contacts to come. Times are seconds since 1970, by the server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// When the next contact is expected.
    pub(crate) next: i64,
    /// By when it will have come if nothing is wrong.
    pub(crate) by: i64,
    /// Why it is later than the interval, if the owner's hours are the reason.
    pub(crate) quiet: Option<&'static str>,
    /// The manifest version in force.
    pub(crate) revision: Option<u64>,
    /// Entries of the journal that have yet to be delivered when this has been heard.
    pub(crate) undelivered: usize,
}

impl Announcement {
    /// Lets a request say it.
    pub(crate) fn put_into(&self, headers: &mut HeaderMap) {
        // It is made of numbers and names, so it always can be one.
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(HEADER, value);
        }
    }

    /// The same, with another next contact.
    pub(crate) fn until(self, next: i64, quiet: Option<&'static str>) -> Self {
        let latest = self.by.saturating_sub(self.next);
        Self { next, by: next.saturating_add(latest), quiet, ..self }
    }
}

/// The contact to promise, in milliseconds since 1970. Where none is in sight, or further away than a
/// year, nothing is promised for so long.
pub(crate) fn promised(opening: Opening, now_ms: i64) -> i64 {
    let furthest = now_ms.saturating_add(FURTHEST_MS);
    match opening {
        Opening::At(at) => at.min(furthest),
        Opening::NotBefore(_) => furthest,
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "next={}, by={}", self.next, self.by)?;
        if let Some(quiet) = self.quiet {
            write!(f, ", quiet={quiet}")?;
        }
        if let Some(revision) = self.revision {
            write!(f, ", revision={revision}")?;
        }
        write!(f, ", undelivered={}", self.undelivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_dictionary_without_what_is_not_known() {
        let mut it =
            Announcement { next: 60, by: 150, quiet: None, revision: None, undelivered: 0 };
        assert_eq!(it.to_string(), "next=60, by=150, undelivered=0");
        (it.quiet, it.revision, it.undelivered) = (Some("polling-period"), Some(7), 3);
        let expected = "next=60, by=150, quiet=polling-period, revision=7, undelivered=3";
        assert_eq!(it.to_string(), expected);
    }
}
