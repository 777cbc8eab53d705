//! Packages from OCI registries (contract §15.2; OCI distribution specification 1.1): the manifest that a
//! tag names, and the one blob in it that is the package.

mod manifest;

use margo_contract::component::ProfileType;
use margo_contract::digest::Digest;

use self::manifest::Layer;
use super::failure::PackageError;
use super::hosts::{Hosts, Server, is_host};
use super::origin::{Headers, Origin};
use crate::fleet_manager::{Ask, Incoming, LinkError};

/// A package in a registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    host: String,
    name: &'a str,
    /// The tag as it is written, with `_` for `+`.
    tag: &'a str,
}

impl<'a> Reference<'a> {
    /// Reads `oci://host/name` and a tag, margo(CP-1, R-20).
    pub(super) fn parse(repository: &'a str, tag: &'a str) -> Result<Self, PackageError> {
        let wrong = |problem| PackageError::Location { location: repository.to_owned(), problem };
        let rest = repository.strip_prefix("oci://").ok_or(wrong("it is not oci://"))?;
        let (host, name) = rest.split_once('/').ok_or(wrong("it names no repository"))?;
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(wrong("it names no host"));
        }
        let name = name.trim_end_matches('/');
        if name.contains([':', '@']) {
            return Err(wrong("it holds a tag or a digest; the tag is the revision"));
        }
        let is_name = |it: &str| {
            let is_end = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
            let is_middle = |it: u8| is_end(it) || b"._-".contains(&it);
            it.bytes().all(is_middle)
                && it.bytes().next().is_some_and(is_end)
                && it.bytes().last().is_some_and(is_end)
        };
        if name.len() > 255 || !name.split('/').all(is_name) {
            return Err(wrong("it names no repository as registries have them"));
        }
        let is_tag = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
        if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(is_tag) {
            return Err(wrong("its revision is no tag"));
        }
        let host = host.strip_suffix(":443").unwrap_or(&host).to_owned();
        Ok(Self { host, name, tag })
    }

    /// Finds out what the tag names.
    pub(super) fn resolve<'h>(
        &self,
        hosts: &'h Hosts<'h>,
        kind: ProfileType,
        largest: u64,
    ) -> Result<Blob<'h>, PackageError> {
        let mut server = hosts.server(&self.host);
        let base = format!("/v2/{}{}", server.prefix, self.name);
        let path = format!("{base}/manifests/{}", self.tag);
        let accept = [("accept", manifest::ACCEPTED)];
        let incoming = server.get(Ask::RegistryManifest, &path, &accept)?;
        let promised = incoming.header("docker-content-digest").and_then(|it| it.parse().ok());
        let answer = incoming.read().map_err(|error| server.failed(error.into()))?;
        if let Some(promised) = promised
            && promised != Digest::of(&answer.body)
        {
            return Err(PackageError::Digest(promised));
        }
        let Layer { digest, size } = manifest::layer(&answer.body, kind, self.tag)
            .map_err(|problem| self.unfit(&server, problem))?;
        if size > largest {
            return Err(PackageError::TooLarge(largest));
        }
        Ok(Blob { server, path: format!("{base}/blobs/{digest}"), digest })
    }

    fn unfit(&self, server: &Server<'_>, problem: String) -> PackageError {
        let place = format!("{}/{}{}:{}", server.host, server.prefix, self.name, self.tag);
        PackageError::Unfit { place, problem }
    }
}

/// The package itself.
pub(super) struct Blob<'a> {
    server: Server<'a>,
    path: String,
    pub(super) digest: Digest,
}

impl Origin for Blob<'_> {
    fn open(&mut self, headers: Headers<'_>) -> Result<Incoming, PackageError> {
        self.server.get(Ask::Package, &self.path, headers)
    }

    fn broken(&self, error: LinkError) -> PackageError {
        self.server.failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(R-20, CP-1)
    #[test]
    fn a_reference_is_a_host_a_name_and_a_tag() {
        let good = Reference::parse("oci://Registry.example:5000/plant/line-1/hello", "1.0.0_b.1");
        let good = good.expect("a reference");
        assert_eq!(
            (good.host.as_str(), good.name),
            ("registry.example:5000", "plant/line-1/hello")
        );
        assert_eq!(good.tag, "1.0.0_b.1");
        for (repository, tag) in [
            ("oci://registry.example", "1.0.0"),
            ("oci:///hello", "1.0.0"),
            ("oci://me:secret@registry.example/hello", "1.0.0"),
            ("oci://registry.example/hello:1.0.0", "1.0.0"),
            ("oci://registry.example/../hello", "1.0.0"),
            ("oci://registry.example/Hello", "1.0.0"),
            ("oci://registry.example/hello?x=1", "1.0.0"),
            ("oci://registry.example/a//b", "1.0.0"),
            ("oci://registry.example/hello", "1.0.0/../2"),
            ("oci://registry.example/hello", ""),
            ("https://registry.example/hello", "1.0.0"),
        ] {
            assert!(Reference::parse(repository, tag).is_err(), "{repository} {tag}");
        }
    }
}
