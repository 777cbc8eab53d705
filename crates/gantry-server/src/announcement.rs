//! The header `Gantry-Contact`, by which our client says at each request when it calls again. It is an
//! RFC 9651 dictionary:
//!
//! `next=1764100800, by=1764101100, quiet=downtime, revision=7, undelivered=2`
//!
//! It helps people, and lets the server put things in order sooner: a deployment that was withdrawn and that
//! nobody has is gone, a connection that is not needed any more is ended. No request is refused for it, and one that
//! cannot be read is passed over. Only what a client sent that is verified may be read.

use axum::http::{HeaderMap, HeaderValue};
use fleet_domain::contact::{Announcement, Incredible, Quiet};
use fleet_domain::ids::RevisionNumber;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

const HEADER: &str = "gantry-contact";
/// Longer than any that our client sends, in bytes.
const LONGEST: usize = 256;

/// Why a header is passed over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unreadable {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is not a dictionary of RFC 9651")]
    NoDictionary,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is not of its kind")]
    WrongKind(&'static str),
    #[error(transparent)]
    Incredible(#[from] Incredible),
}

/// What the client says of itself; nothing where it says nothing that can be read and believed.
pub(crate) fn announced(headers: &HeaderMap, now: i64) -> Option<Announcement> {
    match read(headers, now)? {
        Ok(announcement) => Some(announcement),
        Err(error) => {
            tracing::debug!(%error, "the header {HEADER} is passed over");
            None
        }
    }
}

fn read(headers: &HeaderMap, now: i64) -> Option<Result<Announcement, Unreadable>> {
    let lines: Vec<&[u8]> = headers.get_all(HEADER).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| {
        let value = lines.join(&b", "[..]);
        if value.len() > LONGEST {
            return Err(Unreadable::TooLong);
        }
        let members = Parser::new(&value).parse().map_err(|_| Unreadable::NoDictionary)?;
        Ok(announcement(&members)?.credible(now)?)
    })
}

/// Members that are unknown here are for a later server.
fn announcement(members: &Dictionary) -> Result<Announcement, Unreadable> {
    let number = |name| integer(members, name)?.ok_or(Unreadable::Missing(name));
    let count = |name, number: i64| u64::try_from(number).map_err(|_| Unreadable::WrongKind(name));
    let revision = integer(members, "revision")?
        .map(|it| {
            let number = RevisionNumber::new(count("revision", it)?);
            number.ok_or(Unreadable::WrongKind("revision"))
        })
        .transpose()?;
    Ok(Announcement {
        next: number("next")?,
        by: number("by")?,
        quiet: quiet(members)?,
        revision,
        undelivered: count("undelivered", number("undelivered")?)?,
    })
}

fn integer(members: &Dictionary, name: &'static str) -> Result<Option<i64>, Unreadable> {
    let Some(item) = item(members, name)? else { return Ok(None) };
    item.as_integer().map(|it| Some(i64::from(it))).ok_or(Unreadable::WrongKind(name))
}

/// A reason that is unknown here is none.
fn quiet(members: &Dictionary) -> Result<Option<Quiet>, Unreadable> {
    let Some(item) = item(members, "quiet")? else { return Ok(None) };
    let name = item.as_token().ok_or(Unreadable::WrongKind("quiet"))?;
    Ok(Quiet::ALL.into_iter().find(|it| it.name() == name.as_str()))
}

fn item<'a>(
    members: &'a Dictionary,
    name: &'static str,
) -> Result<Option<&'a BareItem>, Unreadable> {
    match members.get(name) {
        Some(ListEntry::Item(item)) => Ok(Some(&item.bare_item)),
        Some(ListEntry::InnerList(_)) => Err(Unreadable::WrongKind(name)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_100_000;

    fn read_lines(lines: &[&str]) -> Option<Result<Announcement, Unreadable>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, line.parse().expect("the test writes a header"));
        }
        read(&headers, NOW)
    }

    fn plain(next: i64, by: i64) -> Announcement {
        Announcement { next, by, quiet: None, revision: None, undelivered: 0 }
    }

    #[test]
    fn everything_that_a_client_says_is_read() {
        let line = "next=1764100800, by=1764101100, quiet=downtime, revision=7, undelivered=2";
        let expected = Announcement {
            next: 1_764_100_800,
            by: 1_764_101_100,
            quiet: Some(Quiet::Downtime),
            revision: RevisionNumber::new(7),
            undelivered: 2,
        };
        assert_eq!(read_lines(&[line]), Some(Ok(expected)));
        let of_period =
            read_lines(&["next=1764100800,by=1764101100,undelivered=0,quiet=polling-period"]);
        let of_period = of_period.expect("there is a header").expect("it can be read");
        assert_eq!(of_period.quiet, Some(Quiet::PollingPeriod));
    }

    #[test]
    fn a_client_that_says_nothing_sends_no_header() {
        assert_eq!(read_lines(&[]), None);
    }

    #[test]
    fn what_rfc_9651_allows_is_understood() {
        let expected = Some(Ok(plain(1_764_100_800, 1_764_101_100)));
        let several = ["next=1764100800", "by=1764101100", "undelivered=0"];
        assert_eq!(read_lines(&several), expected, "a dictionary may be split into lines");
        let twice = "next=1, by=1764101100, next=1764100800, undelivered=0";
        assert_eq!(read_lines(&[twice]), expected, "the last member of a name counts");
        let more =
            "next=1764100800;a=1, by=1764101100, undelivered=0, mood=(\"good\"), quiet=other";
        assert_eq!(read_lines(&[more]), expected, "what is unknown is for others");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_member() {
        let long =
            format!("next=1764100800, by=1764101100, undelivered=0, x=\"{}\"", "x".repeat(LONGEST));
        let cases = [
            (long.as_str(), Unreadable::TooLong),
            ("next=", Unreadable::NoDictionary),
            ("next=1764100800; by=1764101100,,", Unreadable::NoDictionary),
            ("next=99999999999999999999, by=1, undelivered=0", Unreadable::NoDictionary),
            ("", Unreadable::Missing("next")),
            ("next=1764100800, undelivered=0", Unreadable::Missing("by")),
            ("next=1764100800, by=1764101100", Unreadable::Missing("undelivered")),
            ("next=soon, by=1, undelivered=0", Unreadable::WrongKind("next")),
            ("next=1764100800.5, by=1, undelivered=0", Unreadable::WrongKind("next")),
            ("next=(1 2), by=1, undelivered=0", Unreadable::WrongKind("next")),
            ("next=1, by=2, undelivered=-1", Unreadable::WrongKind("undelivered")),
            ("next=1, by=2, undelivered=0, revision=0", Unreadable::WrongKind("revision")),
            ("next=1, by=2, undelivered=0, quiet=\"downtime\"", Unreadable::WrongKind("quiet")),
            ("next=2, by=1, undelivered=0", Unreadable::Incredible(Incredible::Contradiction)),
            ("next=1, by=2, undelivered=0", Unreadable::Incredible(Incredible::Past)),
        ];
        for (line, error) in cases {
            assert_eq!(read_lines(&[line]), Some(Err(error)), "{line}");
        }
        let far = "next=999999999999999, by=999999999999999, undelivered=0";
        assert_eq!(read_lines(&[far]), Some(Err(Incredible::TooFar.into())));
        let mut bytes = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"next=\xff").expect("a header may be so");
        bytes.insert(HEADER, value);
        assert_eq!(read(&bytes, NOW), Some(Err(Unreadable::NoDictionary)));
    }
}
