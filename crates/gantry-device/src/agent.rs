//! The loop of the client: talk when it is time, plan, carry out, report, wait. What it accepted is on
//! disk, so the loop works without a network as it does with one.

mod contact;
mod offers;
mod reload;
mod talk;
#[cfg(test)]
mod tests;
mod watch;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Result;
use device_providers::Providers;
use margo_contract::device_capabilities::DeviceCapabilities;

use crate::accepted::Accepted;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::fleet_manager::{FleetManager, Patience};
use crate::gate::{Gate, Why};
use crate::identity::{Certificate, Identity, IdentityFiles};
use crate::journal::Journal;
use crate::live::{Live, Voice};
use crate::offers::Offers;
use crate::onboarding::Onboarded;
use crate::running::{self, Running};
use crate::schedule::{Because, Opening, Pace, Purpose};
use crate::security_event::SecurityEvents;
use crate::source::Source;
use crate::state_dir::{StateDir, StateError};
use crate::status::{self, ClientStatus};

use self::contact::Contact;
use self::offers::{Asked, capabilities_of};
use self::watch::Watched;

/// The longest sleep with workloads: failed work and inspections have times of their own.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The longest sleep without any: the clock may be set meanwhile, so that the owner's hours begin.
const LONGEST_IDLE_SLEEP: Duration = Duration::from_secs(5 * 60);

/// What ends a wait of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Something has changed: look what is due.
    Look,
    /// The owner wants a contact now.
    Poll,
    /// Read the configuration and the identity again.
    Reload,
}

/// What the agent works with.
pub(crate) struct Parts<'a> {
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    pub(crate) state: Arc<StateDir>,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) live: Arc<Live>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Makes the providers that a configuration asks for.
    pub(crate) providers: &'a dyn Fn(&Config) -> Providers,
    /// Sets the level of the log.
    pub(crate) log_level: &'a dyn Fn(&str) -> Result<()>,
}

/// The client at work.
pub(crate) struct Agent<'a> {
    config: Config,
    config_file: PathBuf,
    certificate: Certificate,
    fingerprint: String,
    identity_files: IdentityFiles,
    providers: Providers,
    providers_of: &'a dyn Fn(&Config) -> Providers,
    log_level: &'a dyn Fn(&str) -> Result<()>,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    live: Arc<Live>,
    stop: Arc<AtomicBool>,
    source: Source,
    accepted: Option<Accepted>,
    running: Running,
    watched: Watched,
    offers: Offers,
    asked: Asked,
    /// What the device has, also while an engine does not answer.
    capabilities: DeviceCapabilities,
    /// What is reported of it, as a document.
    capabilities_json: String,
    contact: Contact,
    /// What keeps the client from looking for changes, as the log was told.
    told_shut: Option<Why>,
    /// What is on disk of the status.
    written: Option<ClientStatus>,
}

impl<'a> Agent<'a> {
    /// Takes up the work where the state directory says it was left.
    pub(crate) fn resume(parts: Parts<'a>) -> Result<Self> {
        let Parts { config, state, gate, clock, .. } = parts;
        let (providers, offers) = ((parts.providers)(&config), Offers::load(&state)?);
        let (capabilities, capabilities_json) = capabilities_of(&config, &providers, &offers)?;
        let Identity { key, certificate } = parts.identity;
        let machine = Arc::clone(&clock);
        let link = FleetManager::with(
            &config.server.url,
            &config.server.ca,
            key,
            Arc::new(move || machine.now_ms()),
            Patience::default(),
        )?;
        link.recall_time(&state);
        let contact = Contact {
            onboarded: Onboarded::load(&state, link.url())?,
            link: link.behind(Arc::clone(&gate)),
            journal: Journal::load(&state)?,
            security_events: SecurityEvents::load(&state)?,
            state: Arc::clone(&state),
            gate: Arc::clone(&gate),
            clock: Arc::clone(&clock),
            rate: config.polling,
            pace: Pace::default(),
            chance: 0.5,
            is_open: true,
            because: Because::Nothing,
            due: 0,
            was_kept: false,
            last_at: None,
            last_error: None,
        };
        let mut agent = Self {
            source: Source::new(&config.desired_state, &state)?,
            accepted: Accepted::load(&state)?,
            running: running::load(&state)?,
            written: ClientStatus::load(&state)?,
            identity_files: IdentityFiles::seen(&state),
            providers,
            offers,
            asked: Asked::default(),
            providers_of: parts.providers,
            log_level: parts.log_level,
            config_file: parts.config_file,
            live: parts.live,
            stop: parts.stop,
            watched: Watched::default(),
            told_shut: None,
            fingerprint: certificate.fingerprint(),
            certificate,
            clock,
            gate,
            capabilities,
            capabilities_json,
            contact,
            config,
        };
        agent.contact.announce_contact(agent.revision());
        // Whoever asks gets an answer from the first moment on. A full disk does not end the client.
        if let Err(error) = agent.tell_status() {
            tracing::error!(error = crate::chain(&error), "cannot write down how the client is");
        }
        Ok(agent)
    }

    /// The way to the fleet manager, for whoever has to break it off.
    pub(crate) fn link(&self) -> FleetManager {
        self.contact.link.clone()
    }

    /// Works until it is told to stop. Trouble with the disk is logged and does not end the client:
    /// the workloads run on, and it goes on when there is room again.
    pub(crate) fn run(&mut self, wake: &Receiver<Wake>) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.turn() {
                tracing::error!(error = crate::chain(&error), "cannot write down what is done");
            }
            match Arc::clone(&self.clock).wait(wake, self.longest_wait()) {
                Some(Wake::Poll) => (self.contact.due, self.contact.was_kept) = (0, false),
                Some(Wake::Reload) => self.reload(),
                // Whatever ends the wait, the next turn sees what is due.
                Some(Wake::Look) | None => {}
            }
        }
        tracing::info!("stopped");
    }

    /// Until something may be due.
    fn longest_wait(&self) -> Duration {
        let due_in = self.contact.due_in();
        let wait = match self.gate.shut(Purpose::Look) {
            // Never in no time at all: a clock may stand still.
            Some(shut) => due_in.max(shut.remaining).max(Duration::from_millis(1)),
            None => due_in,
        };
        let is_idle = self.running.is_empty()
            && self.accepted.as_ref().is_none_or(|it| it.deployments.is_empty());
        let wait = wait.min(if is_idle { LONGEST_IDLE_SLEEP } else { LONGEST_SLEEP });
        self.work_due_in().map_or(wait, |work| wait.min(work.max(Duration::from_millis(1))))
    }

    fn turn(&mut self) -> Result<(), StateError> {
        self.tell_hours();
        let asked = self.ask_what_is_offered();
        let in_contact = self.contact.is_due() && self.begin_contact();
        if in_contact {
            // What it brought may take its time.
            self.tell_status()?;
        }
        let worked = self.work();
        self.contact.deliver(self.revision(), Duration::ZERO);
        self.contact.end_well();
        if in_contact {
            self.gate.contact_is_over();
        }
        self.tell_status().and(self.gate.count_quiet_hours()).and(worked).and(asked)
    }

    /// A contact is due: it is made if the owner's hours let it, which is what is given back.
    fn begin_contact(&mut self) -> bool {
        if self.gate.shut(Purpose::Look).is_some() {
            self.contact.was_kept = true;
            self.contact.deliver_again(self.revision());
            false
        } else if self.contact.is_spread() {
            false
        } else {
            self.take_over_identity();
            self.contact.announce_contact(self.revision());
            let outcome = self.talk();
            self.contact.note_outcome(outcome.as_ref().copied());
            // First of all: what is fetched for the work to come may close the way.
            self.contact.deliver(self.revision(), self.config.longest_timeout());
            true
        }
    }

    /// The manifest version in force.
    fn revision(&self) -> Option<u64> {
        self.accepted.as_ref().map(|it| it.manifest_version)
    }

    /// Tells the log when the owner's hours begin and end.
    fn tell_hours(&mut self) {
        let shut = self.gate.shut(Purpose::Look).map(|it| it.why);
        if shut != self.told_shut {
            match &shut {
                Some(why) => tracing::info!(%why, "the client does not look for changes now"),
                None => tracing::info!("the client looks for changes again"),
            }
            self.told_shut = shut;
        }
    }

    /// Tells whoever asks how the client is. On disk goes only what is of lasting interest, when it has
    /// changed: a contact that brings nothing new writes nothing.
    fn tell_status(&mut self) -> Result<(), StateError> {
        let contact = &self.contact;
        let next = contact.next(contact.due_in(), contact.because.clone());
        let event = contact.security_events.newest();
        let now = self.clock.now_ms();
        let status = ClientStatus {
            as_of: Some(clock::rfc3339(now)),
            server: contact.link.url().to_owned(),
            client_id: contact.onboarded.as_ref().map(|it| it.client_id.clone()),
            certificate_fingerprint: self.fingerprint.clone(),
            standing: if contact.onboarded.is_some() { "onboarded" } else { "waiting" }.to_owned(),
            last_contact: contact.last_at.map(clock::rfc3339),
            next_contact: match next.at {
                Opening::At(at) => Some(clock::rfc3339(at)),
                Opening::NotBefore(_) => None,
            },
            because: Some(next.because.to_string()),
            quiet: self.gate.shut(Purpose::Talk).map(|it| it.why.to_string()),
            last_error: contact.last_error.clone(),
            revision: self.revision(),
            undelivered: contact.journal.len(),
            security_event: event.map(|it| format!("{} {}", it.at, it.what)),
            deployments: status::deployments(&self.running),
        };
        let is_new = self.written.as_ref().is_none_or(|it| it.lasting() != status.lasting());
        let voice = contact.onboarded.clone().map(|client| Voice {
            link: contact.link.clone(),
            client,
            in_force: self.accepted.as_ref().map(|it| it.manifest_digest),
        });
        self.live.set(status.clone(), voice);
        if is_new {
            status.save(&self.contact.state)?;
            self.written = Some(status);
        }
        Ok(())
    }
}
