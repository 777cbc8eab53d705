//! The client's side of the contacts with the fleet manager: when the next one is due, how the last one
//! went, and what there is to deliver.
//!
//! Pauses are measured on the clock that never jumps. So whatever happens to the time of day, the client
//! neither hammers nor sleeps for ever; the owner's hours are asked anew, by the time of day, at each turn.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::announcement::{self, Announcement};
use crate::clock::Clock;
use crate::fleet_manager::{FleetManager, LinkError};
use crate::gate::Gate;
use crate::journal::Journal;
use crate::onboarding::Onboarded;
use crate::report::{self, ReportError};
use crate::schedule::forecast::Because;
use crate::schedule::{Closed, Expected, Pace, Purpose, Rate};
use crate::security_event::SecurityEvents;
use crate::state_dir::StateDir;

/// What a contact may take longer than expected when nothing is wrong.
const GRACE: Duration = Duration::from_secs(90);
/// How long a contact takes when nothing is wrong: the pause after it begins when it ends.
const LONGEST_CONTACT: Duration = Duration::from_secs(5);

/// All that talking needs, apart from what carrying out changes meanwhile.
pub(super) struct Contact {
    pub(super) link: FleetManager,
    pub(super) state: Arc<StateDir>,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) onboarded: Option<Onboarded>,
    pub(super) journal: Journal,
    pub(super) security_events: SecurityEvents,
    pub(super) rate: Rate,
    pub(super) pace: Pace,
    /// The random number from 0 to 1 by which the next contact strays: what is announced is what is kept.
    pub(super) chance: f64,
    /// Whether the last thing that was asked went well. A failure closes the way until the next contact.
    pub(super) is_open: bool,
    pub(super) because: Because,
    /// When the next contact is due as far as the pace goes, on the clock that never jumps.
    pub(super) due: u64,
    /// Whether the owner's hours kept a contact that was due.
    pub(super) was_kept: bool,
    /// Milliseconds since 1970.
    pub(super) last_at: Option<i64>,
    pub(super) last_error: Option<String>,
}

impl Contact {
    /// Remembers who the fleet manager says we are. If that cannot be written down, it is asked again
    /// after a restart.
    pub(super) fn keep(&mut self, client: Onboarded) {
        if let Err(error) = client.save(&self.state) {
            tracing::error!(error = crate::chain(&error), "cannot keep the client id");
        }
        self.onboarded = Some(client);
    }

    pub(super) fn note_refusal(&mut self, refusal: &dyn std::error::Error) {
        let (what, now) = (crate::chain(refusal), self.clock.now_ms());
        self.last_at = Some(now);
        if let Err(error) = self.security_events.note(&what, now, &self.state) {
            tracing::error!(error = crate::chain(&error), "cannot write down a refusal");
        }
    }

    /// Notes that what is accepted is what the fleet manager offers: the same refusal again would be news.
    pub(super) fn end_refusal(&mut self) {
        if let Err(error) = self.security_events.end(&self.state) {
            tracing::error!(
                error = crate::chain(&error),
                "cannot write down that a refusal is over"
            );
        }
    }

    /// Notes how a contact went, and when the next one is due.
    pub(super) fn note_outcome(&mut self, outcome: Result<(), &LinkError>) {
        let quiet = self.link.is_quiet();
        let mut pace = self.pace;
        match outcome {
            Ok(()) => {
                (self.is_open, self.last_error) = (true, None);
                pace = Pace::default();
            }
            // The owner wants it so: nothing has failed, and the way is as open as it was.
            Err(LinkError::Quiet(why)) => tracing::info!(%why, "a contact was cut short"),
            Err(error) if let Some(why) = quiet => {
                let error = crate::chain(error);
                tracing::info!(error, %why, "a contact failed while it became quiet; nothing is wrong");
            }
            Err(error) => {
                self.note_failure(error);
                pace = self.pace;
            }
        }
        let (pause, pacing) = self.rate.pause(pace, self.chance);
        self.because = Because::Pace(pacing);
        self.is_due_in(pause);
    }

    fn note_failure(&mut self, error: &LinkError) {
        let text = crate::chain(error);
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!(error = text, "cannot talk to the fleet manager");
        }
        // Who we are is asked anew when the fleet manager does not know us: the id may be another one.
        if error.is_about_us() {
            self.onboarded = None;
        }
        (self.is_open, self.last_error) = (false, Some(text));
        self.pace = Pace {
            failures: self.pace.failures.saturating_add(1),
            retry_after: error.retry_after(),
            is_final: !error.is_retryable(),
        };
    }

    /// Forgets earlier failures once all of a turn went well. A contact that only begins well does not
    /// count: what fails each time after it would be tried again after the shortest pause for ever.
    pub(super) fn end_well(&mut self) {
        if self.is_open {
            self.pace = Pace::default();
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due <= self.clock.monotonic_ms()
    }

    pub(super) fn is_due_in(&mut self, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.due = self.clock.monotonic_ms().saturating_add(pause);
    }

    /// The owner's hours let the client talk again. A fleet with the same hours does not call all at once:
    /// gives whether the contact, which is due, is put off by a chance part of its jitter.
    pub(super) fn is_spread(&mut self) -> bool {
        if !std::mem::take(&mut self.was_kept) {
            return false;
        }
        let spread = self.rate.longest_stray().mul_f64(chance());
        let until = self.clock.now_ms().saturating_add(milliseconds(spread));
        // A window that is shorter than that is not to be missed.
        if self.gate.opening(until).1.is_some() {
            return false;
        }
        self.is_due_in(spread);
        !self.is_due()
    }

    /// Whether anything may be fetched: the way is open, and the polling period lasts.
    pub(super) fn may_fetch(&self) -> bool {
        self.is_open && self.gate.shut(Purpose::Look).is_none()
    }

    /// Delivers the journal while the way is open. `work` is how long work may take that comes first.
    pub(super) fn deliver(&mut self, revision: Option<u64>, work: Duration) {
        if self.is_open && self.has_to_tell() && self.gate.shut(Purpose::Talk).is_none() {
            self.announce(self.due_in(), self.because.clone(), work, revision);
            self.try_to_deliver();
        }
    }

    /// Outside the polling period reports are delivered all the same: an operator has to learn of a failure.
    /// After an error that is tried again when a contact would be due.
    pub(super) fn deliver_again(&mut self, revision: Option<u64>) {
        if !self.is_open && self.has_to_tell() && self.gate.shut(Purpose::Talk).is_none() {
            self.announce_contact(revision);
            if self.try_to_deliver() {
                self.note_outcome(Ok(()));
            }
        }
    }

    fn has_to_tell(&self) -> bool {
        self.journal.len() > 0 || self.security_events.newest().is_some_and(|it| !it.is_told())
    }

    /// Gives whether all of it was delivered.
    fn try_to_deliver(&mut self) -> bool {
        let Some(client) = self.onboarded.clone() else { return false };
        let delivered = report::deliver(&mut self.journal, &self.link, &client, &self.state)
            .and_then(|()| self.security_events.deliver(&self.link, &client, &self.state));
        match delivered {
            Ok(()) => return true,
            Err(ReportError::Link(error)) => self.note_outcome(Err(&error)),
            Err(ReportError::State(error)) => {
                tracing::error!(error = crate::chain(&error), "cannot write the journal");
            }
        }
        false
    }

    /// The next contact, if all goes well until then.
    pub(super) fn next(&self, due_in: Duration, because: Because) -> Expected {
        let due = self.clock.now_ms().saturating_add(milliseconds(due_in));
        let (at, closed) = self.gate.opening(due);
        Expected { at, because: closed.map_or(because, Because::Closed) }
    }

    /// How long it takes until the next contact is due as far as the pace goes.
    pub(super) fn due_in(&self) -> Duration {
        Duration::from_millis(self.due.saturating_sub(self.clock.monotonic_ms()))
    }

    /// A contact begins: says with each request what is to be expected after it, if all goes well.
    pub(super) fn announce_contact(&mut self, revision: Option<u64>) {
        self.chance = chance();
        let (pause, pacing) = self.rate.pause(Pace::default(), self.chance);
        self.announce(pause, Because::Pace(pacing), Duration::ZERO, revision);
    }

    /// Says with each request from now on what is to be expected. Work that is to be done before the next
    /// contact may take its time; where it becomes quiet meanwhile, the contact after that is promised.
    fn announce(&self, due_in: Duration, because: Because, work: Duration, revision: Option<u64>) {
        let late = due_in.saturating_add(work).saturating_add(LONGEST_CONTACT);
        let next = match self.next(late, because.clone()) {
            quiet @ Expected { because: Because::Closed(_), .. } => quiet,
            _ => self.next(due_in, because),
        };
        let at = announcement::promised(next.at, self.clock.now_ms());
        let latest = self.rate.longest_stray().saturating_add(GRACE).saturating_add(work);
        let by = at.saturating_add(milliseconds(latest));
        let by_server = |ms: i64| self.link.server_time(ms).div_euclid(1000);
        let announcement = Announcement {
            next: by_server(at),
            by: by_server(by),
            quiet: match &next.because {
                Because::Closed(closed) => Some(Closed::code(closed)),
                Because::Nothing | Because::Pace(_) => None,
            },
            revision,
            undelivered: self.journal.len(),
        };
        self.gate.announce(announcement);
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests;
