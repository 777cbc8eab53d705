//! The loop of the client: talk when it is time, plan, carry out, report, wait. What it accepted is on
//! disk, so the loop works without a network as it does with one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, Result};
use device_providers::Provider;
use margo_contract::component::Component;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::digest::Digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

use crate::accepted::{self, Acceptance, Accepted, Fetched};
use crate::carry_out::{CarryOut, Surroundings};
use crate::clock;
use crate::config::Config;
use crate::fleet_manager::{FleetManager, LinkError};
use crate::identity::Certificate;
use crate::journal::Journal;
use crate::onboarding::{self, Onboarded};
use crate::package::{self, PackageError};
use crate::plan::{Step, plan, unheard_orders};
use crate::report::{self, ReportError};
use crate::running::{self, Running};
use crate::schedule::Pace;
use crate::security_event::SecurityEvents;
use crate::source::{Source, SourceError};
use crate::state_dir::{StateDir, StateError};
use crate::status::{self, ClientStatus};

/// How often running workloads are looked at.
const INSPECTION_INTERVAL_MS: i64 = 60 * 1000;
/// The longest sleep: failed work and inspections have times of their own.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const JSON: (&str, &str) = ("content-type", "application/json");

/// The client at work.
pub(crate) struct Agent<'a> {
    config: &'a Config,
    certificate: &'a Certificate,
    provider: &'a dyn Provider,
    stop: Arc<AtomicBool>,
    source: Source,
    accepted: Option<Accepted>,
    running: Running,
    inspected_at: BTreeMap<Uuid, i64>,
    capabilities: DeviceCapabilities,
    /// The document of the capabilities.
    capabilities_json: String,
    contact: Contact<'a>,
}

/// All that talking needs, apart from what carrying out changes meanwhile.
struct Contact<'a> {
    link: &'a FleetManager,
    state: &'a StateDir,
    onboarded: Option<Onboarded>,
    journal: Journal,
    security_events: SecurityEvents,
    pace: Pace,
    next_at: i64,
    last_at: Option<i64>,
    last_error: Option<String>,
}

impl<'a> Agent<'a> {
    /// Takes up the work where the state directory says it was left.
    pub(crate) fn resume(
        config: &'a Config,
        state: &'a StateDir,
        certificate: &'a Certificate,
        link: &'a FleetManager,
        provider: &'a dyn Provider,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        let capabilities_json = crate::machine::hosting_device(config).to_json().to_string();
        let capabilities = DeviceCapabilities::parse(capabilities_json.as_bytes()).context(
            "the capabilities of this device cannot be reported; see [device] and [capabilities]",
        )?;
        let contact = Contact {
            link,
            state,
            onboarded: Onboarded::load(state, link.origin())?,
            journal: Journal::load(state)?,
            security_events: SecurityEvents::load(state)?,
            pace: Pace::default(),
            next_at: 0,
            last_at: None,
            last_error: None,
        };
        Ok(Self {
            config,
            certificate,
            provider,
            stop,
            source: Source::new(&config.desired_state, state)?,
            accepted: Accepted::load(state)?,
            running: running::load(state)?,
            inspected_at: BTreeMap::new(),
            capabilities,
            capabilities_json,
            contact,
        })
    }

    /// Works until it is told to stop. Trouble with the disk is logged and does not end the client:
    /// the workloads run on, and it goes on when there is room again.
    pub(crate) fn run(&mut self, wake: &Receiver<()>) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.turn() {
                tracing::error!(error = crate::chain(&error), "cannot write down what is done");
            }
            let wait = self.contact.next_at.saturating_sub(clock::now_ms());
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
            // Whatever ends the wait, the next turn sees what is due.
            let _ = wake.recv_timeout(wait.min(LONGEST_SLEEP));
        }
        tracing::info!("stopped");
    }

    fn turn(&mut self) -> Result<(), StateError> {
        if self.contact.next_at <= clock::now_ms() {
            let outcome = self.talk();
            self.contact.note_outcome(outcome, self.config);
            self.save_status()?;
        }
        self.work()?;
        self.contact.deliver(self.config);
        self.save_status()
    }

    fn talk(&mut self) -> Result<(), LinkError> {
        let contact = &mut self.contact;
        let client = match &contact.onboarded {
            Some(client) => client.clone(),
            None => {
                let client = onboarding::ask(contact.link, self.certificate)?;
                tracing::info!(client = client.client_id, "onboarded");
                contact.keep(client.clone());
                client
            }
        };
        self.report_capabilities(client.clone())?;
        let contact = &mut self.contact;
        let fetched =
            self.source.fetch(contact.link, &client, self.accepted.as_ref(), clock::now_ms());
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(SourceError::Link(error)) => return Err(error),
            Err(error @ SourceError::Git(_)) => {
                return Err(LinkError::Nonsense(crate::chain(&error)));
            }
            Err(error @ SourceError::Refused(_)) => {
                contact.note_refusal(&error);
                return Ok(());
            }
        };
        contact.last_at = Some(clock::now_ms());
        if let Some(fetched) = fetched {
            self.take(fetched);
        }
        Ok(())
    }

    /// Takes what was fetched, if it may be taken.
    fn take(&mut self, fetched: Fetched) {
        let contact = &mut self.contact;
        let device = &self.config.device.id;
        let kept = match Accepted::take(&fetched, self.accepted.as_ref(), device, contact.state) {
            // margo(§6.6 step 3): the previous state stays in force.
            Err(refusal) => {
                contact.note_refusal(&refusal);
                return;
            }
            Ok(Acceptance::Unchanged) => contact.security_events.end(contact.state),
            Ok(Acceptance::Accepted(accepted)) => {
                tracing::info!(revision = accepted.manifest_version, "accepted a desired state");
                let tidied = accepted::tidy(&accepted, contact.state);
                self.accepted = Some(accepted);
                tidied.and_then(|()| contact.security_events.end(contact.state))
            }
        };
        let kept = kept.and_then(|()| match fetched.trust {
            Some(trust) => self.source.keep(trust, contact.state),
            None => Ok(()),
        });
        if let Err(error) = kept {
            tracing::error!(
                error = crate::chain(&error),
                "the state directory cannot be kept in order"
            );
        }
    }

    // margo(C-1, C-2).
    fn report_capabilities(&mut self, client: Onboarded) -> Result<(), LinkError> {
        let digest = Digest::of(self.capabilities_json.as_bytes()).to_string();
        if client.reported_capabilities.as_ref() == Some(&digest) {
            return Ok(());
        }
        let body = Some(self.capabilities_json.as_bytes());
        let path = client.path("/capabilities");
        self.contact.link.send("PUT", &path, &client.client_id, &[JSON], body)?;
        tracing::info!("reported the capabilities");
        self.contact.keep(Onboarded { reported_capabilities: Some(digest), ..client });
        Ok(())
    }

    fn work(&mut self) -> Result<(), StateError> {
        let Some(accepted) = self.accepted.clone() else { return Ok(()) };
        for id in unheard_orders(&accepted, &self.running) {
            if let Some(deployment) = self.running.get_mut(&id) {
                deployment.adopted = accepted.manifest_version;
            }
            let mut surroundings = Talking { contact: &mut self.contact, config: self.config };
            surroundings.note(id, &self.running)?;
        }
        for step in plan(&accepted.deployments, &self.running, clock::now_ms()) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let carry_out = CarryOut {
                state: self.contact.state,
                provider: self.provider,
                capabilities: &self.capabilities,
                default_timeout: self.config.compose.timeout,
            };
            let mut surroundings = Talking { contact: &mut self.contact, config: self.config };
            let now = clock::now_ms();
            match step {
                Step::Remove(id) => {
                    carry_out.remove(id, &mut self.running, &mut surroundings, now)?;
                    self.inspected_at.remove(&id);
                }
                Step::Install(id) => {
                    carry_out.install(id, &accepted, &mut self.running, &mut surroundings, now)?;
                    self.inspected_at.insert(id, clock::now_ms());
                }
                Step::Inspect(id) => {
                    let last = self.inspected_at.get(&id).copied();
                    if last.is_some_and(|it| (0..INSPECTION_INTERVAL_MS).contains(&(now - it))) {
                        continue;
                    }
                    self.inspected_at.insert(id, now);
                    let Some(deployment) = self.running.get(&id) else { continue };
                    if let Some(amiss) = carry_out.inspect(id, deployment) {
                        tracing::warn!(deployment = deployment.name, amiss, "repairing");
                        carry_out.install(
                            id,
                            &accepted,
                            &mut self.running,
                            &mut surroundings,
                            now,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn save_status(&self) -> Result<(), StateError> {
        let contact = &self.contact;
        let status = ClientStatus {
            server: contact.link.origin().to_owned(),
            client_id: contact.onboarded.as_ref().map(|it| it.client_id.clone()),
            certificate_fingerprint: self.certificate.fingerprint(),
            standing: if contact.onboarded.is_some() { "onboarded" } else { "waiting" }.to_owned(),
            last_contact: contact.last_at.map(clock::rfc3339),
            next_contact: Some(clock::rfc3339(contact.next_at)),
            last_error: contact.last_error.clone(),
            revision: self.accepted.as_ref().map(|it| it.manifest_version),
            undelivered: contact.journal.len(),
            security_event: contact
                .security_events
                .newest()
                .map(|it| format!("{} {}", it.at, it.what)),
            deployments: status::deployments(&self.running),
        };
        if ClientStatus::load(contact.state).ok().flatten().as_ref() == Some(&status) {
            return Ok(());
        }
        status.save(contact.state)
    }
}

impl Contact<'_> {
    /// Remembers who the fleet manager says we are. If that cannot be written down, it is asked again
    /// after a restart.
    fn keep(&mut self, client: Onboarded) {
        if let Err(error) = client.save(self.state) {
            tracing::error!(error = crate::chain(&error), "cannot keep the client id");
        }
        self.onboarded = Some(client);
    }

    fn note_refusal(&mut self, refusal: &dyn std::error::Error) {
        let (what, now) = (crate::chain(refusal), clock::now_ms());
        self.last_at = Some(now);
        if let Err(error) = self.security_events.note(&what, now, self.state) {
            tracing::error!(error = crate::chain(&error), "cannot write down a refusal");
        }
    }

    fn note_outcome(&mut self, outcome: Result<(), LinkError>, config: &Config) {
        match outcome {
            Ok(()) => {
                self.pace = Pace::default();
                self.last_error = None;
            }
            Err(error) => self.note_failure(&error),
        }
        let (pause, _) = config.polling.pause(self.pace, chance());
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.next_at = clock::now_ms().saturating_add(pause);
    }

    fn note_failure(&mut self, error: &LinkError) {
        let text = crate::chain(error);
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!(error = text, "cannot talk to the fleet manager");
        }
        // Who we are is asked anew when the fleet manager does not know us: the id may be another one.
        if matches!(error, LinkError::Refused { status: 401 | 404, .. }) {
            self.onboarded = None;
        }
        self.last_error = Some(text);
        self.pace.failures = self.pace.failures.saturating_add(1);
        self.pace.retry_after = error.retry_after();
    }

    /// Whether the last contact went well. A failure closes the way until the next contact.
    fn is_open(&self) -> bool {
        self.pace.failures == 0
    }

    /// Delivers the journal while the way is open.
    fn deliver(&mut self, config: &Config) {
        let Some(client) = self.onboarded.clone().filter(|_| self.is_open()) else {
            return;
        };
        let delivered = report::deliver(&mut self.journal, self.link, &client, self.state)
            .and_then(|()| self.security_events.deliver(self.link, &client, self.state));
        match delivered {
            Ok(()) => {}
            Err(ReportError::Link(error)) => self.note_outcome(Err(error), config),
            Err(ReportError::State(error)) => {
                tracing::error!(error = crate::chain(&error), "cannot write the journal");
            }
        }
    }
}

/// Carrying out, with the way to the fleet manager.
struct Talking<'a, 'b> {
    contact: &'a mut Contact<'b>,
    config: &'a Config,
}

impl Surroundings for Talking<'_, '_> {
    fn package(&mut self, component: &Component) -> Result<PathBuf, PackageError> {
        let contact = &self.contact;
        let client = contact.onboarded.as_ref().filter(|_| contact.is_open());
        let keyid = client.map(|it| it.client_id.as_str());
        package::fetch(&component.source, contact.link, keyid, contact.state)
    }

    fn note(&mut self, id: Uuid, running: &Running) -> Result<(), StateError> {
        // The journal first: what is done is told even if the power fails before the next line.
        if let Some(deployment) = running.get(&id) {
            self.contact.journal.append(report::entry(id, deployment), self.contact.state)?;
        }
        running::save(running, self.contact.state)?;
        self.contact.deliver(self.config);
        Ok(())
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        // Without randomness the fleet does not spread, and works all the same.
        Err(_) => 0.5,
    }
}
