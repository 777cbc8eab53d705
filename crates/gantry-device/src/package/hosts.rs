//! Hosts that packages come from, beside the fleet manager: how each is spoken to, by the owner's
//! configuration. Credentials are sent to the host that their section names and to no other; not to one
//! that an answer leads to, and not to one that gives tokens for it.

use serde::Deserialize;
use ureq::http::uri::Authority;

use super::challenge;
use super::failure::{PackageError, Trouble};
use super::place::Place;
use super::secret::Authorization;
use crate::config::{Credentials, RegistryConfig};
use crate::fleet_manager::{Arrived, Ask, Elsewhere, Incoming, LinkError, Trust};

/// What a host says to whom it does not know.
const NOBODY: &str =
    "it lets in only who is known (401), and no [[registry]] section has credentials for it";

/// The hosts, and the owner's rules for them.
pub(super) struct Hosts<'a> {
    elsewhere: Elsewhere,
    rules: &'a [RegistryConfig],
}

/// One host, while something is fetched from it.
pub(super) struct Server<'a> {
    hosts: &'a Hosts<'a>,
    /// Whoever is asked: the mirror, where there is one.
    pub(super) host: String,
    /// What goes before each path: empty, or segments with a slash after each.
    pub(super) prefix: String,
    rule: Option<&'a RegistryConfig>,
    authorization: Option<Authorization>,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(elsewhere: Elsewhere, rules: &'a [RegistryConfig]) -> Self {
        Self { elsewhere, rules }
    }

    /// The server that stands for a host: its mirror, if it has one.
    // margo(R-25).
    pub(super) fn server(&'a self, host: &str) -> Server<'a> {
        match self.rule(host).and_then(|it| it.mirror.as_ref()) {
            Some(mirror) => {
                let server = self.exactly(&mirror.host);
                Server { prefix: mirror.prefix.clone(), ..server }
            }
            None => self.exactly(host),
        }
    }

    fn exactly(&'a self, host: &str) -> Server<'a> {
        let (host, rule) = (host.to_owned(), self.rule(host));
        Server { hosts: self, host, prefix: String::new(), rule, authorization: None }
    }

    fn rule(&self, host: &str) -> Option<&'a RegistryConfig> {
        self.rules.iter().find(|it| it.host == host)
    }

    /// Fetches what is at a place, all at once.
    pub(super) fn read(&'a self, ask: Ask, place: &Place) -> Result<Vec<u8>, PackageError> {
        let mut server = self.server(&place.host);
        let incoming = server.get_place(ask, place, &[])?;
        let answer = incoming.read().map_err(|error| server.failed(error.into()))?;
        Ok(answer.body)
    }
}

impl Server<'_> {
    /// Opens what is at a place that this server stands for.
    pub(super) fn get_place(
        &mut self,
        ask: Ask,
        place: &Place,
        headers: &[(&str, &str)],
    ) -> Result<Incoming, PackageError> {
        let target = place.target();
        let path = format!("/{}{}", self.prefix, target.strip_prefix('/').unwrap_or(&target));
        self.get(ask, &path, headers)
    }

    /// Opens what is at a path of this server, and says who asks if it wants to know. One redirect of a
    /// package is followed.
    pub(super) fn get(
        &mut self,
        ask: Ask,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Incoming, PackageError> {
        let outcome = self.try_get(ask, path, headers);
        outcome.map_err(|trouble| self.failed(trouble))
    }

    /// What it means that an answer of this server breaks off.
    pub(super) fn failed(&self, trouble: Trouble) -> PackageError {
        match self.hosts.elsewhere.is_quiet() {
            // What fails because nothing is to be said any more says nothing about the host.
            Some(why) => PackageError::NotNow(Some(LinkError::Quiet(why))),
            None => PackageError::Host { host: self.host.clone(), trouble },
        }
    }

    fn try_get(
        &mut self,
        ask: Ask,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Incoming, Trouble> {
        let mut arrived = self.send(ask, path, headers)?;
        if arrived.status() == 401 {
            self.say_who_asks(&arrived)?;
            arrived = self.send(ask, path, headers)?;
            if arrived.status() == 401 {
                let problem = match self.credentials() {
                    Some(_) => "it does not take the credentials of this device (401)",
                    None => NOBODY,
                };
                return Err(Trouble::Denied(problem.to_owned()));
            }
        }
        if matches!(arrived.status(), 301 | 302 | 303 | 307 | 308) {
            arrived = self.follow(ask, path, &arrived, headers)?;
        }
        Ok(self.hosts.elsewhere.take(ask, arrived)?)
    }

    fn send(&self, ask: Ask, path: &str, headers: &[(&str, &str)]) -> Result<Arrived, Trouble> {
        let mut headers = headers.to_vec();
        headers.extend(self.authorization.iter().map(|it| ("authorization", it.header())));
        Ok(self.hosts.elsewhere.get(&self.trust(), ask, &self.url(path), &headers)?)
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.is_plain() { "http" } else { "https" };
        format!("{scheme}://{}{path}", self.host)
    }

    fn credentials(&self) -> Option<&Credentials> {
        self.rule?.credentials.as_ref()
    }

    fn is_plain(&self) -> bool {
        self.rule.is_some_and(|it| it.plain_http)
    }

    fn trust(&self) -> Trust {
        match self.rule {
            Some(RegistryConfig { plain_http: true, .. }) => Trust::Plain,
            Some(RegistryConfig { ca: Some(file), .. }) => Trust::Roots(file.clone()),
            _ => Trust::Pinned,
        }
    }

    /// Goes where a redirect leads: once, for packages, and without credentials on another host.
    fn follow(
        &self,
        ask: Ask,
        path: &str,
        arrived: &Arrived,
        headers: &[(&str, &str)],
    ) -> Result<Arrived, Trouble> {
        if ask != Ask::Package {
            return Err(Trouble::Nonsense(
                "it is a redirect, which is followed for packages only".to_owned(),
            ));
        }
        let location = arrived.header("location").unwrap_or_default();
        let to = Place::parse(&self.url(path))
            .and_then(|it| it.join(location))
            .map_err(|_| Trouble::Nonsense("it is a redirect to nowhere".to_owned()))?;
        let mut server = self.hosts.exactly(&to.host);
        if !to.is_secure && !server.is_plain() {
            return Err(Trouble::Nonsense(format!("it is a redirect to {to}, which is not https")));
        }
        if to.host == self.host {
            server.authorization.clone_from(&self.authorization);
        }
        let arrived = server.send(ask, &to.target(), headers)?;
        if matches!(arrived.status(), 300..=399) {
            let problem =
                format!("it leads to {}, which leads on; one redirect is followed", to.host);
            return Err(Trouble::Nonsense(problem));
        }
        Ok(arrived)
    }

    /// Finds out how to say who asks, from a refusal.
    fn say_who_asks(&mut self, refusal: &Arrived) -> Result<(), Trouble> {
        let challenges: Vec<_> =
            refusal.all("www-authenticate").flat_map(challenge::parse).collect();
        let has = |scheme: &str| challenges.iter().find(|it| it.scheme == scheme);
        self.authorization = Some(match (self.credentials(), has("bearer"), has("basic")) {
            (Some(token @ Credentials::Token { .. }), _, _) => Authorization::read(token)?,
            (_, Some(bearer), _) if bearer.parameters.contains_key("realm") => {
                let parameter = |name: &str| bearer.parameters.get(name).map(String::as_str);
                let realm = parameter("realm").unwrap_or_default();
                self.token(realm, parameter("service"), parameter("scope"))?
            }
            (Some(password), _, _) => Authorization::read(password)?,
            (None, _, _) => return Err(Trouble::Denied(NOBODY.to_owned())),
        });
        Ok(())
    }

    /// Gets a token where the registry says that there are some.
    // margo(R-10)
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Authorization, Trouble> {
        #[derive(Deserialize)]
        struct Granted {
            token: Option<String>,
            access_token: Option<String>,
        }
        let place = Place::parse(realm)
            .map_err(|why| Trouble::Nonsense(format!("where it gives tokens, {why}")))?;
        let mut server = self.hosts.exactly(&place.host);
        if !place.is_secure && !server.is_plain() {
            let problem = format!("it gives tokens at {place}, which is not https");
            return Err(Trouble::Nonsense(problem));
        }
        if let Some(credentials) = server.credentials() {
            server.authorization = Some(Authorization::read(credentials)?);
        }
        let mut path = place.target();
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                path.push(if path.contains('?') { '&' } else { '?' });
                path += &format!("{name}={}", in_query(value));
            }
        }
        let arrived = server.send(Ask::RegistryToken, &path, &[])?;
        if matches!(arrived.status(), 401 | 403) {
            return Err(Trouble::Denied(match server.authorization {
                Some(_) => format!("{} does not take the credentials of this device", place.host),
                None => format!(
                    "it has its tokens from {}, which lets in only who is known; no [[registry]] \
                     section has credentials for that host",
                    place.host
                ),
            }));
        }
        let answer = self.hosts.elsewhere.take(Ask::RegistryToken, arrived)?.read()?;
        let granted: Option<Granted> = serde_json::from_slice(&answer.body).ok();
        let token = granted.and_then(|it| it.token.or(it.access_token));
        let is_fit = |it: &String| !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic());
        let token = token
            .filter(is_fit)
            .ok_or_else(|| Trouble::Nonsense(format!("{} gives no token", place.host)))?;
        Ok(Authorization::bearer(&token))
    }
}

/// Text as the value of a query.
fn in_query(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Whether this can be the host of a URL, with a port if need be.
pub(super) fn is_host(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok()
}
