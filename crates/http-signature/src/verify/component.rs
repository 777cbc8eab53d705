//! The values of covered components: headers, and what is derived from the request (RFC 9421, section 2).

use super::{Received, SignatureError};
use crate::field::joined;

/// The value of a component without parameters, by its lower-case name.
pub(super) fn value(received: &Received<'_>, name: &str) -> Result<String, SignatureError> {
    let target = Target::of(received.target_uri);
    Ok(match name {
        "@method" => received.method.to_owned(),
        "@target-uri" => received.target_uri.to_owned(),
        "@scheme" => target.scheme.to_ascii_lowercase(),
        "@authority" => target.authority.to_ascii_lowercase(),
        "@path" => target.path.to_owned(),
        "@query" => format!("?{}", target.query.unwrap_or_default()),
        "@request-target" => match target.query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.to_owned(),
        },
        derived if derived.starts_with('@') => {
            return Err(SignatureError::UnsupportedComponent(name.to_owned()));
        }
        header => joined(&(received.header)(header))
            .ok()
            .flatten()
            .ok_or_else(|| SignatureError::UnresolvedComponent(name.to_owned()))?,
    })
}

/// The parts of an absolute URI that has no port unless it is needed.
struct Target<'a> {
    scheme: &'a str,
    authority: &'a str,
    /// At least `/`.
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(uri: &'a str) -> Self {
        let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
        let (authority, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let below = &rest[authority.len()..];
        let (path, query) = match below.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (below, None),
        };
        Self { scheme, authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9421, sections 2.2.1 to 2.2.7.
    #[test]
    fn what_is_derived_from_a_request_is_what_rfc_9421_says() {
        let of = |target_uri, name: &str| {
            let (header, method) = (|_: &str| Vec::new(), "POST");
            value(&Received { method, target_uri, has_body: false, header: &header }, name)
        };
        let uri = "https://www.Example.com/path?param=value&a=%2F";
        for (name, expected) in [
            ("@method", "POST"),
            ("@target-uri", uri),
            ("@authority", "www.example.com"),
            ("@scheme", "https"),
            ("@request-target", "/path?param=value&a=%2F"),
            ("@path", "/path"),
            ("@query", "?param=value&a=%2F"),
        ] {
            assert_eq!(of(uri, name).as_deref(), Ok(expected), "{name}");
        }
        assert_eq!(of("https://www.example.com", "@path").as_deref(), Ok("/"));
        assert_eq!(of("https://www.example.com/p", "@query").as_deref(), Ok("?"));
        assert_eq!(of("https://e.example:8443?q", "@authority").as_deref(), Ok("e.example:8443"));
        for unsupported in ["@status", "@query-param", "@"] {
            let refused = SignatureError::UnsupportedComponent(unsupported.to_owned());
            assert_eq!(of(uri, unsupported), Err(refused));
        }
    }
}
