//! Charts from chart repositories, as Helm had them before OCI: `index.yaml` names a URL for each version
//! of each chart (helm.sh/docs/topics/chart_repository). An index may name thousands of versions, so it is
//! read as it comes, and only those of the one chart are kept.

use std::fmt;
use std::io::{self, Read};

use margo_contract::digest::Digest;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::failure::PackageError;
use super::hosts::Hosts;
use super::place::Place;
use crate::fleet_manager::{Ask, Incoming, LinkError};

/// Where a version of a chart is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) place: Place,
    pub(super) digest: Option<Digest>,
}

/// Looks a chart up.
// margo(P-1, P-4)
pub(super) fn find(
    hosts: &Hosts<'_>,
    repository: &str,
    name: &str,
    revision: &str,
) -> Result<Chart, PackageError> {
    let wrong = |problem| PackageError::Location { location: repository.to_owned(), problem };
    let index = Place::https(&format!("{}/index.yaml", repository.trim_end_matches('/')));
    let index = index.map_err(wrong)?;
    let mut server = hosts.server(&index.host);
    let mut incoming = server.get_place(Ask::ChartIndex, &index, &[])?;
    let unfit = |problem: String| PackageError::Unfit { place: index.to_string(), problem };
    let version = revision.replace('_', "+");
    let mut broken = None;
    let reader = Watched { incoming: &mut incoming, broken: &mut broken };
    let found = look_up(reader, name, &version);
    if let Some(error) = broken {
        return Err(server.failed(error.into()));
    }
    let found = found.map_err(unfit)?;
    let problem = match found.versions {
        0 => format!("it has no chart `{name}`"),
        count => format!("it has {count} versions of the chart `{name}`, and not {version}"),
    };
    let place = index.to_string();
    let found = found.wanted.ok_or(PackageError::NotThere { place, problem })?;
    let url = found.urls.first().ok_or_else(|| unfit(format!("it names no URL of `{name}`")))?;
    let place = index.join(url).map_err(|why| unfit(format!("its URL of `{name}`: {why}")))?;
    if !place.is_secure {
        return Err(unfit(format!("its URL of `{name}` is {place}, which is not https")));
    }
    let digest = found.digest.as_deref().filter(|it| !it.is_empty()).map(|text| {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        format!("sha256:{digits}").parse::<Digest>()
    });
    let digest =
        digest.transpose().map_err(|_| unfit(format!("its digest of `{name}` is none")))?;
    Ok(Chart { place, digest })
}

/// An answer that tells whether it was it that failed.
struct Watched<'a> {
    incoming: &'a mut Incoming,
    broken: &'a mut Option<LinkError>,
}

impl Read for Watched<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.incoming.read_piece(piece).map_err(|error| {
            *self.broken = Some(error);
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

/// A version of a chart, as an index has it.
#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    urls: Vec<String>,
    digest: Option<String>,
}

/// What an index has of a chart.
#[derive(Debug, Default)]
struct Found {
    wanted: Option<Version>,
    /// How many versions there are.
    versions: usize,
}

/// Looks a version of a chart up in an index.
fn look_up(index: impl Read, name: &str, version: &str) -> Result<Found, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(16 << 20),
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_aliases: 200,
            max_depth: 32,
            max_total_scalar_bytes: 32 << 20,
        },
        with_snippet: false,
    };
    let seed = Below { key: "entries", then: Below { key: name, then: Versions(version) } };
    serde_saphyr::with_deserializer_from_reader_with_options(index, options, |it| {
        seed.deserialize(it)
    })
    .map_err(|error| format!("it is no index of charts: {error}"))
}

/// Reads one field of a map, and passes over the others.
#[derive(Clone, Copy)]
struct Below<'n, T> {
    key: &'n str,
    then: T,
}

impl<'de, T: DeserializeSeed<'de, Value = Found> + Copy> DeserializeSeed<'de> for Below<'_, T> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeSeed<'de, Value = Found> + Copy> Visitor<'de> for Below<'_, T> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("charts by name below `entries`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key {
                found = map.next_value_seed(self.then)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a list of versions, and keeps the one.
#[derive(Clone, Copy)]
struct Versions<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Versions<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("versions of a chart")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(version) = list.next_element::<Version>()? {
            found.versions += 1;
            // Many charts have a `v` before their versions, which a revision never has.
            let number = version.version.strip_prefix('v').unwrap_or(&version.version);
            if number == self.0 && found.wanted.is_none() {
                found.wanted = Some(version);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\ngenerated: 2026-11-25T00:00:00Z\nentries:\n  \
        other:\n  - {version: 1.0.0, urls: [other.tgz], maintainers: [{name: x}]}\n  \
        gauge:\n  - version: v2.0.0\n    urls: [gauge-2.0.0.tgz]\n  \
        - version: 1.0.0+b\n    digest: 5df8\n    urls: [\"https://files.example/gauge-1.tgz\"]\n";

    #[test]
    fn a_version_of_a_chart_is_found_among_others() {
        let found = |version: &str| look_up(INDEX.as_bytes(), "gauge", version).expect("an index");
        let with_plus = found("1.0.0+b").wanted.expect("it is there");
        assert_eq!(with_plus.urls, ["https://files.example/gauge-1.tgz"]);
        assert_eq!(with_plus.digest.as_deref(), Some("5df8"));
        assert_eq!(found("2.0.0").wanted.expect("it is there").urls, ["gauge-2.0.0.tgz"]);
        assert_eq!((found("3.0.0").wanted.is_none(), found("3.0.0").versions), (true, 2));
        assert_eq!(look_up(INDEX.as_bytes(), "missing", "1.0.0").expect("an index").versions, 0);
    }

    #[test]
    fn what_is_no_index_is_told_and_a_bomb_does_not_go_off() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\n\
                    f: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f]\n\
                    h: [*g,*g,*g,*g,*g,*g,*g,*g]\n";
        for bad in ["[]", "entries: {gauge: {}}", "entries: {gauge: [x]}", "\u{0}", bomb] {
            assert!(look_up(bad.as_bytes(), "gauge", "1.0.0").is_err(), "{bad}");
        }
        let endless = std::io::repeat(b' ');
        assert!(look_up(endless, "gauge", "1.0.0").is_err());
    }
}
