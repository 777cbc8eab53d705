//! Where something is: the URLs of packages and of what goes with them.

use std::fmt;

use ureq::http::Uri;

/// A place on a host. It is shown without its query, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) is_secure: bool,
    /// In lower case, with a port unless it is the scheme's own.
    pub(super) host: String,
    /// From the slash on.
    pub(super) path: String,
    /// With its question mark; empty where there is none.
    pub(super) query: String,
}

impl Place {
    /// Reads an https URL.
    pub(super) fn https(url: &str) -> Result<Self, &'static str> {
        match Self::parse(url) {
            Ok(place) if !place.is_secure => Err("it is not an https URL"),
            other => other,
        }
    }

    /// Reads a URL of either scheme.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let url = url.split('#').next().unwrap_or_default();
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it is not an https URL"),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds credentials; those belong into a [[registry]] section");
        }
        let host = authority.as_str().to_ascii_lowercase();
        let own_port = if is_secure { ":443" } else { ":80" };
        let host = host.strip_suffix(own_port).unwrap_or(&host).to_owned();
        let query = uri.query().map(|it| format!("?{it}")).unwrap_or_default();
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        Ok(Self { is_secure, host, path: path.to_owned(), query })
    }

    /// Reads what stands in a document of this place: a URL, or a path from here on.
    pub(super) fn join(&self, reference: &str) -> Result<Self, &'static str> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match reference.strip_prefix('/') {
            Some(from_root) if !from_root.starts_with('/') => format!("/{from_root}"),
            Some(_) => return Err("it names no scheme"),
            None => format!("{folder}/{reference}"),
        };
        let scheme = if self.is_secure { "https" } else { "http" };
        Self::parse(&format!("{scheme}://{}{path}", self.host))
    }

    /// The place beside this one whose name is longer by `ending`.
    pub(super) fn beside(&self, ending: &str) -> Self {
        Self { path: format!("{}{ending}", self.path), ..self.clone() }
    }

    /// The path with its query.
    pub(super) fn target(&self) -> String {
        format!("{}{}", self.path, self.query)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_https_without_credentials_and_is_shown_without_its_query() {
        let place = Place::https("https://Files.example:443/a/b.tgz?sig=secret#x").expect("a URL");
        assert_eq!(
            (place.host.as_str(), place.target().as_str()),
            ("files.example", "/a/b.tgz?sig=secret")
        );
        assert_eq!(place.to_string(), "https://files.example/a/b.tgz");
        assert_eq!(place.beside(".asc").target(), "/a/b.tgz.asc?sig=secret");
        for bad in [
            "http://x.example/a",
            "https://me:secret@x.example/a",
            "file:///a",
            "a/b",
            "https://",
            "",
        ] {
            assert!(Place::https(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_document_names_counts_from_the_document() {
        let index = Place::https("https://x.example:8443/stable/index.yaml").expect("a URL");
        let joined = |reference: &str| index.join(reference).map(|it| it.to_string());
        assert_eq!(joined("a-1.tgz").as_deref(), Ok("https://x.example:8443/stable/a-1.tgz"));
        assert_eq!(joined("/other/a.tgz").as_deref(), Ok("https://x.example:8443/other/a.tgz"));
        assert_eq!(joined("https://y.example/a.tgz").as_deref(), Ok("https://y.example/a.tgz"));
        assert!(joined("//y.example/a.tgz").is_err());
        assert!(joined("oci://y.example/a").is_err());
    }
}
