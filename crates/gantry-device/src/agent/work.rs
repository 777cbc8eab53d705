//! The client's work on the device: it makes the accepted desired state true, with a network or without.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use crate::carry_out::{CarryOut, Surroundings};
use crate::config::PackagesConfig;
use crate::package::{PackageError, Packages, Wanted};
use crate::plan::{Step, plan, unheard_orders};
use crate::report;
use crate::running::{self, Running};
use crate::state_dir::StateError;

use super::Agent;
use super::contact::Contact;

/// How often running workloads are looked at.
const INSPECTION_INTERVAL_MS: i64 = 60 * 1000;

impl Agent<'_> {
    /// Does what there is to do now, step by step.
    pub(super) fn work(&mut self) -> Result<(), StateError> {
        let Some(accepted) = self.accepted.clone() else { return Ok(()) };
        for id in unheard_orders(&accepted, &self.running) {
            if let Some(deployment) = self.running.get_mut(&id) {
                deployment.adopted = accepted.manifest_version;
            }
            let mut surroundings = Talking {
                contact: &mut self.contact,
                packages: &self.config.packages,
                revision: Some(accepted.manifest_version),
                work: self.config.compose.timeout,
            };
            surroundings.note(id, &self.running)?;
        }
        for step in plan(&accepted.deployments, &self.running, self.clock.now_ms()) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let state = Arc::clone(&self.contact.state);
            let carry_out = CarryOut {
                state: &state,
                providers: &self.providers,
                capabilities: &self.capabilities,
                default_timeout: self.config.compose.timeout,
            };
            let mut surroundings = Talking {
                contact: &mut self.contact,
                packages: &self.config.packages,
                revision: Some(accepted.manifest_version),
                work: self.config.compose.timeout,
            };
            let now = self.clock.now_ms();
            match step {
                Step::Remove(id) => {
                    carry_out.remove(id, &mut self.running, &mut surroundings, now)?;
                    self.inspected_at.remove(&id);
                }
                Step::Install(id) => {
                    carry_out.install(id, &accepted, &mut self.running, &mut surroundings, now)?;
                    self.inspected_at.insert(id, self.clock.now_ms());
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
}

/// Carrying out, with the way to the fleet manager.
struct Talking<'a> {
    contact: &'a mut Contact,
    packages: &'a PackagesConfig,
    revision: Option<u64>,
    /// How long the work may take that keeps the client from the next contact.
    work: Duration,
}

impl Surroundings for Talking<'_> {
    fn package(&mut self, wanted: &Wanted<'_>) -> Result<PathBuf, PackageError> {
        let contact = &self.contact;
        let client = contact.onboarded.as_ref().filter(|_| contact.may_fetch());
        let packages = Packages {
            link: &contact.link,
            state: &contact.state,
            config: self.packages,
            keyid: client.map(|it| it.client_id.as_str()),
        };
        let fetched = packages.fetch(wanted);
        // A fleet manager that fails here is left alone as it would be elsewhere.
        if let Err(PackageError::NotNow(Some(error))) = &fetched {
            self.contact.note_outcome(Err(error));
        }
        fetched
    }

    fn note(&mut self, id: Uuid, running: &Running) -> Result<(), StateError> {
        // The journal first: what is done is told even if the power fails before the next line.
        if let Some(deployment) = running.get(&id) {
            self.contact.journal.append(report::entry(id, deployment), &self.contact.state)?;
            self.contact.gate.announce_undelivered(self.contact.journal.len());
        }
        running::save(running, &self.contact.state)?;
        self.contact.deliver(self.revision, self.work);
        Ok(())
    }
}
