//! The client's work on the device: it makes the accepted desired state true, with a network or without.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use crate::accepted::Accepted;
use crate::carry_out::{CarryOut, Surroundings};
use crate::config::PackagesConfig;
use crate::package::{PackageError, Packages, Wanted};
use crate::plan::{Step, plan, unheard_orders};
use crate::report;
use crate::running::{self, Running};
use crate::state_dir::StateError;

use super::Agent;
use super::contact::Contact;

impl Agent<'_> {
    /// Does what there is to do now, step by step.
    pub(super) fn work(&mut self) -> Result<(), StateError> {
        let Some(accepted) = self.accepted.clone() else { return Ok(()) };
        let told = self.tell_unheard_orders(&accepted);
        // First what runs, and again after each step: a step may take long.
        self.watch(&accepted)?;
        told?;
        for step in plan(&accepted.deployments, &self.running, self.clock.now_ms()) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.carry_out(&accepted, |carry_out, running, surroundings| match step {
                Step::Remove(id) => carry_out.remove(id, running, surroundings),
                Step::Install(id) => carry_out.install(id, &accepted, running, surroundings),
            })?;
            match step {
                Step::Remove(id) => self.watched.forget(id),
                Step::Install(id) => self.look_again_in(id, self.config.workloads.inspect_every),
            }
            self.watch(&accepted)?;
        }
        Ok(())
    }

    /// Says of orders that there was nothing to do for them.
    fn tell_unheard_orders(&mut self, accepted: &Accepted) -> Result<(), StateError> {
        for id in unheard_orders(accepted, &self.running) {
            if let Some(deployment) = self.running.get_mut(&id) {
                deployment.adopted = accepted.manifest_version;
            }
            self.carry_out(accepted, |_, running, surroundings| surroundings.note(id, running))?;
        }
        Ok(())
    }

    /// Carries something out with what the device has.
    pub(super) fn carry_out<T>(
        &mut self,
        accepted: &Accepted,
        what: impl FnOnce(&CarryOut<'_>, &mut Running, &mut Talking<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let (state, clock) = (Arc::clone(&self.contact.state), Arc::clone(&self.clock));
        let config = &self.config;
        let carry_out = CarryOut {
            state: &state,
            providers: &self.providers,
            capabilities: &self.capabilities,
            default_timeout: &|kind| config.timeout_of(kind),
            now_ms: &move || clock.now_ms(),
        };
        let mut surroundings = Talking {
            contact: &mut self.contact,
            packages: &self.config.packages,
            revision: Some(accepted.manifest_version),
            work: self.config.longest_timeout(),
        };
        what(&carry_out, &mut self.running, &mut surroundings)
    }
}

/// Carrying out, with the way to the fleet manager.
pub(super) struct Talking<'a> {
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
