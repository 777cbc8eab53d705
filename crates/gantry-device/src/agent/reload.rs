//! Takes over what the owner has changed, without a restart: the configuration, and the key with its
//! certificate. What is not valid is told with all its mistakes, and what was in force stays.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::identity::{Identity, IdentityFiles};
use crate::last_word::LastWord;
use crate::schedule::Because;
use crate::source::Source;

use super::Agent;
use super::offers::{Asked, capabilities_of};

impl Agent<'_> {
    /// Reads the configuration again.
    pub(super) fn reload(&mut self) {
        match Config::read(&self.config_file) {
            Ok(config) => match self.take_over(config) {
                Ok(()) => tracing::info!("took over the configuration"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(
                        error,
                        "the configuration is not taken over; the former one stays"
                    );
                }
            },
            Err(ConfigError::Invalid { mistakes, .. }) => {
                for mistake in mistakes {
                    tracing::error!(%mistake, "the configuration is not valid; the former one stays");
                }
            }
            Err(error) => {
                let error = crate::chain(&error);
                tracing::error!(error, "the configuration is not taken over; the former one stays");
            }
        }
        self.take_over_identity();
    }

    fn take_over(&mut self, mut new: Config) -> anyhow::Result<()> {
        keep_fixed(&self.config, &mut new);
        let runs_others = new.compose != self.config.compose || new.helm != self.config.helm;
        let providers = runs_others.then(|| (self.providers_of)(&new));
        let (capabilities, capabilities_json) =
            capabilities_of(&new, providers.as_ref().unwrap_or(&self.providers), &self.offers)?;
        let source = (new.desired_state != self.config.desired_state)
            .then(|| Source::new(&new.desired_state, &self.contact.state))
            .transpose()?;
        if new.log.level != self.config.log.level {
            (self.log_level)(&new.log.level)?;
        }
        // Nothing fails from here on.
        if let Some(source) = source {
            self.source = source;
        }
        if let Some(providers) = providers {
            self.providers = providers;
            self.asked = Asked::default();
        }
        if new.polling != self.config.polling {
            self.contact.rate = new.polling;
            // A shorter interval counts at once.
            let (pause, pacing) = new.polling.pause(self.contact.pace, 0.5);
            if pause < self.contact.due_in() {
                self.contact.is_due_in(pause);
                self.contact.because = Because::Pace(pacing);
            }
        }
        if new.hours != self.config.hours {
            let permit = self.gate.set_hours(new.hours.clone(), "the last word before other hours");
            if let (Some(permit), Some(voice)) = (permit, self.live.voice()) {
                self.say_last(LastWord { voice, permit });
            }
        }
        // What failed may go well with this, and what gives trouble may be looked at more often.
        self.retry_at_once(|_| true);
        self.watched.no_later_than(self.clock.monotonic_ms(), new.workloads.inspect_every);
        (self.capabilities, self.capabilities_json) = (capabilities, capabilities_json);
        self.config = new;
        Ok(())
    }

    /// Tells the fleet manager that this client is quiet from now on, so that it is not waited for.
    fn say_last(&self, last_word: LastWord) {
        match last_word.say(&self.gate, &*self.clock) {
            Ok(()) => tracing::info!("the fleet manager was told of the other hours"),
            Err(why) => {
                let why = crate::chain(&why);
                tracing::info!(why, "the fleet manager was not told of the other hours");
            }
        }
    }

    /// Takes over a key and a certificate that somebody has put in place.
    pub(super) fn take_over_identity(&mut self) {
        let state = Arc::clone(&self.contact.state);
        if !self.identity_files.have_changed(&state) {
            return;
        }
        match Identity::load(&state) {
            Ok(Identity { key, certificate }) => {
                self.contact.link.replace_key(key);
                if certificate != self.certificate {
                    self.certificate = certificate;
                    // Under which id this certificate is known is for the fleet manager to say.
                    self.contact.onboarded = None;
                    self.contact.due = 0;
                    self.fingerprint = self.certificate.fingerprint();
                    tracing::info!(
                        fingerprint = self.fingerprint,
                        "took over another key and certificate"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the key and the certificate in place are refused; the former stay"
                );
            }
        }
        self.identity_files = IdentityFiles::seen(&state);
    }
}

/// What only a restart can change stays as it is, and the log says so.
fn keep_fixed(old: &Config, new: &mut Config) {
    let keep = |field: &str, differs: bool| {
        if differs {
            tracing::warn!(
                field,
                "this takes effect with a restart; until then it stays as it was"
            );
        }
    };
    keep("state_dir", old.state_dir != new.state_dir);
    keep("server", old.server != new.server);
    keep("device.id", old.device.id != new.device.id);
    keep("control", old.control != new.control);
    keep("log.format", old.log.format != new.log.format);
    new.state_dir.clone_from(&old.state_dir);
    new.server.clone_from(&old.server);
    new.device.id.clone_from(&old.device.id);
    new.control.clone_from(&old.control);
    new.log.format = old.log.format;
}
