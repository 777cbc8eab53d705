//! The way to the fleet manager: HTTPS with one pinned root, every request signed, every answer
//! bounded in size and time, and no redirect followed.

mod answer;
mod ask;
mod caller;
mod elsewhere;
mod failure;
mod retry_after;
mod times;
mod tls;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use http_signature::{Message, SigningKey};
use margo_contract::digest::Digest;
use margo_contract::state_manifest;
use ureq::http::Request;

use crate::announcement::Announcement;
use crate::clock;
use crate::gate::{Gate, Permit, Why};
use crate::onboarding::Onboarded;
use crate::schedule::Purpose;
use crate::skew::KnownTime;
use crate::state_dir::{StateDir, StateError};

pub(crate) use self::answer::{Answer, Arrived, Incoming, shown};
pub(crate) use self::ask::{Ask, LAST_WORD, Patience};
pub(crate) use self::caller::Caller;
pub(crate) use self::elsewhere::{Elsewhere, Trust};
pub(crate) use self::failure::{LinkError, NoAnswer};
pub(crate) use self::times::MachineClock;
use self::times::Times;

/// Speaks to one fleet manager. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct FleetManager {
    caller: Caller,
    /// Its origin, and the path below which its API lies, if any.
    url: String,
    key: Arc<SigningKey>,
}

impl FleetManager {
    /// For the fleet manager at `url`; `ca` is the PEM file of the only root that is trusted.
    pub(crate) fn new(url: &str, ca: &Path, key: SigningKey) -> Result<Self> {
        Self::with(url, ca, key, Arc::new(clock::now_ms), Patience::default())
    }

    /// As [`FleetManager::new`], by another clock and with other patience.
    pub(crate) fn with(
        url: &str,
        ca: &Path,
        key: SigningKey,
        machine: MachineClock,
        patience: Patience,
    ) -> Result<Self> {
        let times = Arc::new(Times::new(machine));
        let caller = Caller::new(ca, patience, times)?;
        Ok(Self { caller, url: url.to_owned(), key: Arc::new(key) })
    }

    /// Lets each request pass a gate from now on.
    pub(crate) fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.caller.gate = Some(gate);
        self
    }

    /// Why nothing is to be said now, if so.
    pub(crate) fn is_quiet(&self) -> Option<Why> {
        self.caller.gate.as_ref()?.shut(Purpose::Talk).map(|it| it.why)
    }

    /// Lets each request say that so many reports are left when it has been heard.
    pub(crate) fn announce_undelivered(&self, undelivered: usize) {
        if let Some(gate) = &self.caller.gate {
            gate.announce_undelivered(undelivered);
        }
    }

    /// Signs with another key from now on.
    pub(crate) fn replace_key(&mut self, key: SigningKey) {
        self.key = Arc::new(key);
    }

    /// Where it is, as its owner has written it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        let authority = self.url.find("://").map_or(0, |it| it + 3);
        let end = self.url[authority..].find('/').map_or(self.url.len(), |it| authority + it);
        &self.url[..end]
    }

    /// The whole URL that a document of the fleet manager means, if it is of the same origin.
    // margo(D-8)
    pub(crate) fn resolve(&self, url: &str) -> Result<String, LinkError> {
        if url.starts_with('/') && !url.starts_with("//") {
            return Ok(format!("{}{url}", self.origin()));
        }
        let authority = url.strip_prefix("https://").unwrap_or_default();
        let path = authority.find('/').map_or("", |it| &authority[it..]);
        let origin = url.strip_suffix(path).unwrap_or(url).to_ascii_lowercase();
        if origin.strip_suffix(":443").unwrap_or(&origin) != self.origin() || path.is_empty() {
            let what = format!("`{}` is not on the fleet manager's own origin", shown(url));
            return Err(LinkError::Nonsense(what));
        }
        Ok(format!("{}{path}", self.origin()))
    }

    /// For whoever speaks another protocol to the same server.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Breaks off every request that is under way; none is sent any more.
    pub(crate) fn hang_up(&self) {
        self.caller.hang_up();
    }

    /// The fleet manager's time when the machine's clock says `now_ms`.
    pub(crate) fn server_time(&self, now_ms: i64) -> i64 {
        self.caller.times.server_time(now_ms)
    }

    /// Takes up the newest time that was known before a restart.
    pub(crate) fn recall_time(&self, state: &StateDir) {
        let kept = KnownTime::load(state);
        self.caller.times.recall(kept);
    }

    /// Keeps the newest known time over a restart.
    pub(crate) fn keep_time(&self, state: &StateDir) -> Result<(), StateError> {
        self.caller.times.known_time().save(state)
    }

    /// Sends a signed request and gives a successful answer, or 304. `path` is below the fleet manager's
    /// URL, or a whole URL of [`FleetManager::resolve`].
    pub(crate) fn send(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, LinkError> {
        self.open(ask, path, keyid, headers, body)?.read()
    }

    /// As [`FleetManager::send`], for an answer that is read piece by piece.
    pub(crate) fn open(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Incoming, LinkError> {
        let attempt = || {
            let request = self.signed(ask, path, keyid, headers, body)?;
            self.caller.exchange(ask, request, body)
        };
        let before = self.server_time(0);
        let answer = attempt()?;
        // The signature was made by a wrong clock, which is known now: a right one is another request.
        let answer = match answer.status() {
            401 if self.server_time(0) != before => attempt()?,
            _ => answer,
        };
        Incoming::of(ask, answer, self.caller.times.server_now())
    }

    /// Says a last word, by a permit that was given before it became quiet. Nobody takes up the answer.
    pub(crate) fn say_last(
        &self,
        client: &Onboarded,
        in_force: Option<Digest>,
        announcement: &Announcement,
        permit: Permit,
    ) -> Result<(), LinkError> {
        let etag = in_force.map(|it| it.etag());
        let mut headers = vec![("accept", state_manifest::MEDIA_TYPE)];
        headers.extend(etag.iter().map(|it| ("if-none-match", it.as_str())));
        let (ask, path) = (Ask::LastWord, client.path("/deployments"));
        let mut request = self.signed(ask, &path, &client.client_id, &headers, None)?;
        announcement.put_into(request.headers_mut());
        let answer = self.caller.run_with(Some(permit), ask, request, None)?;
        Incoming::of(ask, answer, self.caller.times.server_now()).map(drop)
    }

    /// The way to other servers than the fleet manager.
    pub(crate) fn elsewhere(&self) -> Elsewhere {
        Elsewhere::new(self.caller.clone())
    }

    /// The time by which certificates and signatures are judged, in seconds since 1970.
    pub(crate) fn time_of_certificates(&self) -> i64 {
        self.caller.times.known_time().correct(self.caller.times.machine_now()).div_euclid(1000)
    }

    // margo(SP-18, SP-19, SP-20, SP-22)
    fn signed(
        &self,
        ask: Ask,
        path: &str,
        keyid: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Request<()>, LinkError> {
        let base = if path.starts_with('/') { self.url.as_str() } else { "" };
        let target_uri = format!("{base}{path}");
        let now = self.caller.times.server_now();
        let created = u64::try_from(now / 1_000).unwrap_or_default();
        let message = Message { method: ask.method(), target_uri: &target_uri, body };
        let signature = http_signature::sign(&self.key, &message, created, keyid)
            .map_err(|error| LinkError::Nonsense(error.to_string()))?;
        let mut request = Request::builder().method(ask.method()).uri(&target_uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(digest) = signature.content_digest {
            request = request.header("content-digest", digest);
        }
        request
            .header("signature-input", signature.signature_input)
            .header("signature", signature.signature)
            .body(())
            .map_err(malformed)
    }
}

fn malformed(error: ureq::http::Error) -> LinkError {
    ureq::Error::from(error).into()
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
