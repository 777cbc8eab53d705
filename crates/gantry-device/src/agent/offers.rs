//! Asks from time to time what there is to run workloads with. What has changed is reported at the next
//! contact; a short outage changes nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use device_providers::{Provider, Providers, code};
use margo_contract::component::ProfileType;
use margo_contract::device_capabilities::DeviceCapabilities;

use crate::config::Config;
use crate::machine;
use crate::offers::{Offered, Offers};
use crate::running::Deployment;
use crate::state_dir::StateError;

use super::Agent;

/// How often engines are asked that answer, in milliseconds.
const INTERVAL_MS: u64 = 10 * 60 * 1000;
/// How often they are asked while one of them does not.
const SHORT_INTERVAL_MS: u64 = 60 * 1000;
/// For how long one has to be away before that is reported.
const PATIENCE_MS: u64 = 15 * 60 * 1000;

/// When engines were asked, on the clock that never jumps.
#[derive(Debug, Default)]
pub(super) struct Asked {
    last: Option<u64>,
    silent_since: BTreeMap<ProfileType, u64>,
}

impl Agent<'_> {
    /// Asks the engines, if it is time.
    pub(super) fn ask_what_is_offered(&mut self) -> Result<(), StateError> {
        let now = self.clock.monotonic_ms();
        let is_waited_for = self.running.values().any(|it| waits_for_engine(it).is_some());
        let in_trouble = is_waited_for || !self.asked.silent_since.is_empty();
        let interval = if in_trouble { SHORT_INTERVAL_MS } else { INTERVAL_MS };
        if self.asked.last.is_some_and(|it| now < it + interval) {
            return Ok(());
        }
        self.asked.last = Some(now);
        let mut offers = self.offers.clone();
        let kinds: Vec<ProfileType> = self.providers.kinds().collect();
        for kind in kinds {
            match self.providers.of(kind).and_then(Provider::offers) {
                Ok(offer) => {
                    self.asked.silent_since.remove(&kind);
                    offers.note(kind, offer);
                    self.retry_at_once(|it| waits_for_engine(it) == Some(kind));
                }
                Err(failure) if failure.code == code::INTERRUPTED => return Ok(()),
                Err(failure) => {
                    let since = *self.asked.silent_since.entry(kind).or_insert(now);
                    if since == now {
                        tracing::warn!(kind = kind.name(), error = %failure, "no answer");
                    }
                    if now - since >= PATIENCE_MS {
                        offers.note_away(kind);
                    }
                }
            }
        }
        if offers == self.offers {
            return Ok(());
        }
        self.offers = offers;
        match capabilities_of(&self.config, &self.providers, &self.offers) {
            Ok((capabilities, json)) => {
                (self.capabilities, self.capabilities_json) = (capabilities, json);
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "the former ones stay"),
        }
        self.offers.save(&self.contact.state)
    }
}

/// The kind of components whose engine a failed deployment waits for.
fn waits_for_engine(deployment: &Deployment) -> Option<ProfileType> {
    let unavailable = |it: &&crate::running::Component| {
        it.error.as_ref().is_some_and(|it| it.code == code::ENGINE_UNAVAILABLE)
    };
    let component = deployment.components.iter().find(unavailable)?;
    deployment.has_failed().then_some(component.kind)
}

/// The capabilities that orders are judged by, and the document that is reported.
pub(super) fn capabilities_of(
    config: &Config,
    providers: &Providers,
    offers: &Offers,
) -> Result<(DeviceCapabilities, String)> {
    let document =
        |offered: Offered| machine::hosting_device(config, offered).to_json().to_string();
    let known = document(offers.in_any_case(providers.kinds()));
    let capabilities = DeviceCapabilities::parse(known.as_bytes()).context(
        "the capabilities of this device cannot be reported; see [device] and [capabilities]",
    )?;
    Ok((capabilities, document(offers.at_present(providers.kinds()))))
}
