//! The way to servers that are not the fleet manager: registries, chart repositories and file servers.
//! Nothing is signed there, and each request passes the same gate and has the same bounds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ureq::http::Request;

use super::answer::Arrived;
use super::caller::{Caller, Security, agent, roots};
use super::failure::NoAnswer;
use super::{Ask, Incoming, LinkError, malformed};
use crate::gate::Why;
use crate::schedule::Purpose;

/// How a server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// By the root that is pinned for the fleet manager.
    Pinned,
    /// By the roots in this PEM file, and no others.
    Roots(PathBuf),
    /// Not at all: its owner says that it speaks HTTP without TLS.
    Plain,
}

/// Connections that are open to servers elsewhere. There are none while nothing is fetched.
pub(super) type Connections = Arc<Mutex<Vec<(Trust, ureq::Agent)>>>;

/// Speaks to servers elsewhere; dropping it closes all connections.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    caller: Caller,
}

impl Elsewhere {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller }
    }

    /// Why nothing is to be said now, if so.
    pub(crate) fn is_quiet(&self) -> Option<Why> {
        self.caller.gate.as_ref()?.shut(Purpose::Talk).map(|it| it.why)
    }

    /// Asks for what is at a URL. Whatever the answer is, it has yet to be judged.
    pub(crate) fn get(
        &self,
        trust: &Trust,
        ask: Ask,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Arrived, LinkError> {
        let caller = Caller { agent: self.agent(trust)?, ..self.caller.clone() };
        let mut request = Request::get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        caller.run(ask, request.body(()).map_err(malformed)?, None)
    }

    /// Takes an answer that can be what was asked for.
    pub(crate) fn take(&self, ask: Ask, arrived: Arrived) -> Result<Incoming, LinkError> {
        Incoming::of(ask, arrived, self.caller.times.server_now())
    }

    fn agent(&self, trust: &Trust) -> Result<ureq::Agent, LinkError> {
        let mut open = lock(&self.caller.elsewhere);
        if let Some((_, agent)) = open.iter().find(|(it, _)| it == trust) {
            return Ok(agent.clone());
        }
        let security = match trust {
            Trust::Pinned => {
                open.push((Trust::Pinned, self.caller.agent.clone()));
                return Ok(self.caller.agent.clone());
            }
            Trust::Roots(file) => Security::Tls(
                roots(file)
                    .map_err(|error| LinkError::Unreachable(NoAnswer::NoRoots(error.into())))?,
            ),
            Trust::Plain => Security::None,
        };
        let agent = agent(security, &self.caller.patience, Arc::clone(&self.caller.times))
            .map_err(|error| LinkError::Unreachable(NoAnswer::NoRoots(error.into())))?;
        open.push((trust.clone(), agent.clone()));
        Ok(agent)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        lock(&self.caller.elsewhere).clear();
    }
}

/// Breaks off every request to servers elsewhere.
pub(super) fn hang_up(connections: &Connections) {
    for (_, agent) in lock(connections).drain(..) {
        agent.shutdown();
    }
}

fn lock(connections: &Connections) -> MutexGuard<'_, Vec<(Trust, ureq::Agent)>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
