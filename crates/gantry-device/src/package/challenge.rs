//! What a server says about who may ask: the challenges of a 401 (RFC 9110 section 11.6.1).

use std::collections::BTreeMap;

/// One way to say who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    /// By name in lower case.
    pub(super) parameters: BTreeMap<String, String>,
}

/// All challenges of a `WWW-Authenticate` header; what makes no sense is left out.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in items(header) {
        let item = item.trim();
        let (scheme, parameter) = match item.split_once([' ', '=']) {
            Some((scheme, rest)) if item.as_bytes().get(scheme.len()) == Some(&b' ') => {
                (Some(scheme), rest.trim())
            }
            Some(_) => (None, item),
            None => (Some(item).filter(|it| !it.is_empty()), ""),
        };
        if let Some(scheme) = scheme {
            let scheme = scheme.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: BTreeMap::new() });
        }
        if let (Some(challenge), Some((name, value))) =
            (challenges.last_mut(), parameter.split_once('='))
        {
            let value = value.trim().trim_matches('"').replace('\\', "");
            challenge.parameters.insert(name.trim().to_ascii_lowercase(), value);
        }
    }
    challenges
}

/// What stands between commas that are not in quotes.
fn items(header: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted) = (Vec::new(), 0, false);
    for (place, byte) in header.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(&header[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    items.push(&header[start..]);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let header = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",\
                      scope=\"repository:plant/hello:pull,push\", Basic Realm=x, Negotiate";
        let challenges = parse(header);
        let [bearer, basic, negotiate] = &challenges[..] else { panic!("{challenges:?}") };
        assert_eq!(bearer.scheme, "bearer");
        assert_eq!(bearer.parameters["realm"], "https://auth.example/token");
        assert_eq!(bearer.parameters["scope"], "repository:plant/hello:pull,push");
        assert_eq!((basic.scheme.as_str(), basic.parameters["realm"].as_str()), ("basic", "x"));
        assert_eq!(negotiate.scheme, "negotiate");
        for nonsense in ["", ",", "=", "\"", " = , \"a", "é=é"] {
            parse(nonsense);
        }
    }
}
