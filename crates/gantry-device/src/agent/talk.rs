//! One contact with the fleet manager, apart from the reports: it brings the newest desired state.

use margo_contract::digest::Digest;

use crate::accepted::{self, Acceptance, Accepted, Fetched};
use crate::fleet_manager::{Ask, LinkError};
use crate::onboarding::{self, Onboarded};
use crate::source::SourceError;

use super::Agent;

impl Agent<'_> {
    /// Makes a contact: gets in, says what the device is, and takes what is new.
    pub(super) fn talk(&mut self) -> Result<(), LinkError> {
        let contact = &mut self.contact;
        let client = match &contact.onboarded {
            Some(client) => client.clone(),
            None => {
                let client = onboarding::ask(&contact.link, &self.certificate)?;
                tracing::info!(client = client.client_id, "onboarded");
                contact.keep(client.clone());
                client
            }
        };
        self.report_capabilities(client.clone())?;
        let contact = &mut self.contact;
        let now = self.clock.now_ms();
        let (link, state) = (&contact.link, &contact.state);
        let fetched = match self.source.fetch(link, &client, self.accepted.as_ref(), state, now) {
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
        contact.last_at = Some(self.clock.now_ms());
        match fetched {
            Some(fetched) => self.take(fetched),
            None => contact.end_refusal(),
        }
        Ok(())
    }

    /// Takes what was fetched, if it may be taken.
    fn take(&mut self, fetched: Fetched) {
        let contact = &mut self.contact;
        let device = &self.config.device.id;
        let kept = match Accepted::take(&fetched, self.accepted.as_ref(), device, &contact.state) {
            // margo(CW-3, CW-6): the previous state stays in force.
            Err(refusal) => {
                contact.note_refusal(&refusal);
                return;
            }
            Ok(Acceptance::Unchanged) => contact.security_events.end(&contact.state),
            Ok(Acceptance::Accepted(accepted)) => {
                tracing::info!(revision = accepted.manifest_version, "accepted a desired state");
                let tidied = accepted::tidy(&accepted, &contact.state)
                    .and_then(|()| contact.link.keep_time(&contact.state));
                self.accepted = Some(accepted);
                tidied.and_then(|()| contact.security_events.end(&contact.state))
            }
        };
        let kept = kept.and_then(|()| match fetched.trust {
            Some(trust) => self.source.keep(trust, &contact.state),
            None => Ok(()),
        });
        if let Err(error) = kept {
            tracing::error!(
                error = crate::chain(&error),
                "the state directory cannot be kept in order"
            );
        }
    }

    // margo(C-1, C-2, SP-15)
    fn report_capabilities(&mut self, client: Onboarded) -> Result<(), LinkError> {
        let digest = Digest::of(self.capabilities_json.as_bytes()).to_string();
        if client.reported_capabilities.as_ref() == Some(&digest) {
            return Ok(());
        }
        let body = Some(self.capabilities_json.as_bytes());
        let path = client.path("/capabilities");
        self.contact.link.send(Ask::Capabilities, &path, &client.client_id, &[], body)?;
        tracing::info!("reported the capabilities");
        self.contact.keep(Onboarded { reported_capabilities: Some(digest), ..client });
        Ok(())
    }
}
