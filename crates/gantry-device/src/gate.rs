//! The gate that every request of the running client passes. It brings together the owner's hours, the
//! downtimes that were started at the device, and what the clock is worth, and says at any moment whether
//! a request may be sent. Other threads change it while the agent works; the agent asks it anew each time.
//!
//! # A clock that is wrong
//! A clock from before 2020 cannot judge windows. Without any period or downtime that does no harm, and the
//! client talks at its interval. With one, nobody knows whether it is in force, and the owner's downtime
//! goes first: the client is quiet for a day of the clock that never jumps, then makes one contact, and so
//! on each day until the clock is right. So it is never silent for ever either; nor is one that is switched
//! off each evening, since the hours of such a day are counted over restarts.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::announcement::Announcement;
use crate::clock::{self, Clock};
use crate::downtimes::{StartError, Started, StartedDowntimes};
use crate::schedule::{Closed, Hours, Opening, Purpose};
use crate::state_dir::{StateDir, StateError};

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Where the hours are counted for which a wrong clock has kept the client quiet.
const QUIET_HOURS: &str = "wrong-clock.json";

/// See the head of this file.
pub(crate) struct Gate {
    clock: Arc<dyn Clock>,
    state: Arc<StateDir>,
    inner: Mutex<Inner>,
}

struct Inner {
    hours: Hours,
    started: StartedDowntimes,
    pass: Pass,
    /// Since when the clock has been known to be wrong, or the last contact in spite of it.
    wrong_since: Option<u64>,
    /// For how long the client was quiet before that, in milliseconds.
    quiet_before: u64,
    /// The hours of it that are on disk.
    quiet_hours: u64,
    /// Requests that are under way.
    under_way: usize,
    /// The client is being stopped: nothing more is asked.
    is_ending: bool,
    /// What each request says about the contacts to come.
    announcement: Option<Announcement>,
    found: Found,
}

/// What was last found in the hours, so that windows are not searched for at each turn of a long night.
#[derive(Default)]
struct Found {
    /// For each purpose from when to when it is closed, and why.
    closed: [Option<(Range<i64>, Closed)>; 2],
    /// From where on an opening was looked for, what it is, and what keeps it from being earlier.
    opening: Option<(i64, Opening, Option<Closed>)>,
}

/// What the owner has asked for, for one contact and what it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pass {
    None,
    /// Also outside the polling period.
    PollingPeriod,
    /// Also in downtime.
    All,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// Why the gate is shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shut {
    pub(crate) why: Why,
    /// How long at least.
    pub(crate) remaining: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("{0}")]
    Closed(Closed),
    #[error("the clock of this device is wrong, so nobody knows whether a downtime is in force")]
    WrongClock,
    #[error("the client is being stopped")]
    Ending,
}

/// A request that is under way, until it is dropped.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    request: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.lock().under_way -= 1;
        if let Some(shut) = self.gate.shut(Purpose::Talk) {
            let (request, why) = (&self.request, shut.why);
            tracing::info!(request, %why, "a request ended after it had become quiet");
        }
    }
}

impl Gate {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        hours: Hours,
        state: Arc<StateDir>,
    ) -> Result<Self, StateError> {
        let quiet_hours = state.load::<u64>(QUIET_HOURS)?.unwrap_or_default().min(24);
        let inner = Inner {
            quiet_before: quiet_hours * HOUR_MS,
            quiet_hours,
            hours,
            started: StartedDowntimes::load(&state)?,
            pass: Pass::None,
            wrong_since: None,
            under_way: 0,
            is_ending: false,
            announcement: None,
            found: Found::default(),
        };
        Ok(Self { clock, state, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it is not a time for it now; nothing when it is.
    // margo(PO-2, PO-3)
    pub(crate) fn shut(&self, purpose: Purpose) -> Option<Shut> {
        self.lock().shut(purpose, self.clock.now_ms(), self.clock.monotonic_ms())
    }

    /// Lets one request through, which is named for the log, if it is a time to talk.
    // margo(PO-2)
    pub(crate) fn permit(self: &Arc<Self>, request: &str) -> Result<Permit, Why> {
        let mut inner = self.lock();
        let shut = inner.shut(Purpose::Talk, self.clock.now_ms(), self.clock.monotonic_ms());
        self.permit_unless(shut, &mut inner, request)
    }

    fn permit_unless(
        self: &Arc<Self>,
        shut: Option<Shut>,
        inner: &mut Inner,
        request: &str,
    ) -> Result<Permit, Why> {
        match shut {
            Some(shut) => Err(shut.why),
            None => {
                inner.under_way += 1;
                Ok(Permit { gate: Arc::clone(self), request: request.to_owned() })
            }
        }
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().under_way > 0
    }

    /// Lets nothing through any more: the client is being stopped.
    pub(crate) fn end(&self) {
        self.lock().is_ending = true;
    }

    /// The first time to look for changes from `from_ms` on, and what keeps it from being earlier.
    pub(crate) fn opening(&self, from_ms: i64) -> (Opening, Option<Closed>) {
        let mut inner = self.lock();
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        let started = inner.started.in_force(now, monotonic).max_by_key(|it| it.end);
        match started.filter(|it| from_ms < it.end).cloned() {
            Some(started) => {
                let (opening, why) = inner.opening(started.end);
                (opening, why.or_else(|| Some(downtime_of(&started))))
            }
            None => inner.opening(from_ms),
        }
    }

    /// Goes by other hours from now on. Where nobody looks for changes by them now, and it was a time to
    /// talk before, one last request is let through, which is named for the log.
    pub(crate) fn set_hours(self: &Arc<Self>, hours: Hours, request: &str) -> Option<Permit> {
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        let mut inner = self.lock();
        let before = inner.shut(Purpose::Talk, now, monotonic);
        (inner.hours, inner.found) = (hours, Found::default());
        inner.shut(Purpose::Look, now, monotonic)?;
        self.permit_unless(before, &mut inner, request).ok()
    }

    /// The owner asks for a contact; refused with the reason when this is not a time for one.
    pub(crate) fn grant(&self, pass: Pass) -> Result<(), Shut> {
        let mut inner = self.lock();
        let shut = inner.shut(Purpose::Talk, self.clock.now_ms(), self.clock.monotonic_ms());
        match shut {
            Some(shut) if pass < Pass::All => Err(shut),
            _ => {
                inner.pass = inner.pass.max(pass);
                Ok(())
            }
        }
    }

    /// A contact, and what it brought, is over: what was granted for it is, too.
    pub(crate) fn contact_is_over(&self) {
        let monotonic = self.clock.monotonic_ms();
        let mut inner = self.lock();
        inner.pass = Pass::None;
        if inner.wrong_since.is_some() {
            (inner.wrong_since, inner.quiet_before) = (Some(monotonic), 0);
        }
    }

    /// Writes down for how long a wrong clock has kept the client quiet: once an hour, and nothing while the
    /// clock is right.
    pub(crate) fn count_quiet_hours(&self) -> Result<(), StateError> {
        let monotonic = self.clock.monotonic_ms();
        let mut inner = self.lock();
        let hours = inner.quiet_for(monotonic) / HOUR_MS;
        if hours == inner.quiet_hours {
            return Ok(());
        }
        inner.quiet_hours = hours;
        match hours {
            0 => self.state.remove(QUIET_HOURS),
            _ => self.state.save(QUIET_HOURS, &hours),
        }
    }

    pub(crate) fn start_downtime(&self, end: i64, reason: &str) -> Result<Started, StartError> {
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        let mut inner = self.lock();
        inner.pass = Pass::None;
        inner.started.start(end, reason, now, monotonic, &self.state)
    }

    /// As [`Gate::start_downtime`], and lets one last request through before it, which is named for the
    /// log; or says why it was no time to talk before.
    pub(crate) fn start_downtime_after(
        self: &Arc<Self>,
        request: &str,
        end: i64,
        reason: &str,
    ) -> Result<(Started, Result<Permit, Why>), StartError> {
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        let mut inner = self.lock();
        inner.pass = Pass::None;
        let shut = inner.shut(Purpose::Talk, now, monotonic);
        let started = inner.started.start(end, reason, now, monotonic, &self.state)?;
        Ok((started, self.permit_unless(shut, &mut inner, request)))
    }

    pub(crate) fn stop_downtimes(&self) -> Result<usize, StateError> {
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        self.lock().started.stop(now, monotonic, &self.state)
    }

    /// The downtimes that were started and are in force.
    pub(crate) fn started_downtimes(&self) -> Vec<Started> {
        let (now, monotonic) = (self.clock.now_ms(), self.clock.monotonic_ms());
        self.lock().started.in_force(now, monotonic).cloned().collect()
    }

    /// Lets each request say this from now on.
    pub(crate) fn announce(&self, announcement: Announcement) {
        self.lock().announcement = Some(announcement);
    }

    /// Lets each request say that so many entries of the journal have yet to be delivered.
    pub(crate) fn announce_undelivered(&self, undelivered: usize) {
        if let Some(announcement) = &mut self.lock().announcement {
            announcement.undelivered = undelivered;
        }
    }

    /// What each request says about the contacts to come.
    pub(crate) fn announcement(&self) -> Option<Announcement> {
        self.lock().announcement.clone()
    }
}

impl Inner {
    fn closed_at(&mut self, now_ms: i64, purpose: Purpose) -> Option<(Closed, i64)> {
        let found = &mut self.found.closed[purpose as usize];
        if let Some((stretch, closed)) = found
            && stretch.contains(&now_ms)
        {
            return Some((closed.clone(), stretch.end));
        }
        let (closed, until) = self.hours.closed_at(now_ms, purpose)?;
        *found = Some((now_ms..until, closed.clone()));
        Some((closed, until))
    }

    /// For how long a wrong clock has kept the client quiet, in milliseconds.
    fn quiet_for(&self, monotonic_ms: u64) -> u64 {
        let since = self.wrong_since.map_or(0, |it| monotonic_ms.saturating_sub(it));
        since.saturating_add(self.quiet_before)
    }

    fn opening(&mut self, from_ms: i64) -> (Opening, Option<Closed>) {
        if let Some((from, opening, why)) = &self.found.opening
            && (*from..opening.at()).contains(&from_ms)
        {
            return (*opening, why.clone());
        }
        let (opening, why) = self.hours.opening(from_ms, Purpose::Look);
        self.found.opening = Some((from_ms, opening, why.clone()));
        (opening, why)
    }

    fn shut(&mut self, purpose: Purpose, now_ms: i64, monotonic_ms: u64) -> Option<Shut> {
        if self.is_ending {
            return Some(Shut { why: Why::Ending, remaining: Duration::MAX });
        }
        let purpose = match self.pass {
            Pass::All => return None,
            Pass::PollingPeriod => Purpose::Talk,
            Pass::None => purpose,
        };
        let started = self.started.in_force(now_ms, monotonic_ms).max_by_key(|it| it.end);
        if let Some(started) = started {
            let remaining = milliseconds(started.end.saturating_sub(now_ms));
            return Some(Shut { why: Why::Closed(downtime_of(started)), remaining });
        }
        if clock::is_plausible(now_ms) {
            (self.wrong_since, self.quiet_before) = (None, 0);
            let (closed, until) = self.closed_at(now_ms, purpose)?;
            let remaining = milliseconds(until.saturating_sub(now_ms));
            return Some(Shut { why: Why::Closed(closed), remaining });
        }
        let has_no_limits = self.hours.periods.is_empty() && self.hours.downtimes.is_empty();
        if has_no_limits && !self.started.may_last(monotonic_ms) {
            return None;
        }
        self.wrong_since.get_or_insert(monotonic_ms);
        let quiet_for = self.quiet_for(monotonic_ms);
        (quiet_for < DAY_MS).then(|| Shut {
            why: Why::WrongClock,
            remaining: Duration::from_millis(DAY_MS - quiet_for),
        })
    }
}

fn downtime_of(started: &Started) -> Closed {
    Closed::Downtime { reason: started.reason.clone() }
}

fn milliseconds(it: i64) -> Duration {
    Duration::from_millis(u64::try_from(it).unwrap_or_default())
}

#[cfg(test)]
mod tests;
