//! How long contacts took, and which failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::ContactError;

/// Counts contacts; all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// In microseconds.
    latencies: Mutex<Vec<u32>>,
    failed: AtomicU64,
    server_errors: AtomicU64,
    /// Why the last one failed.
    last_error: Mutex<Option<String>>,
}

/// What was counted since the last time.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Sorted.
    latencies: Vec<u32>,
    pub(crate) failed: u64,
    /// How many of those that failed had an answer of 500 or more.
    pub(crate) server_errors: u64,
    pub(crate) last_error: Option<String>,
}

impl Tally {
    pub(crate) fn count<T>(&self, contact: &Result<T, ContactError>, took: Duration) {
        match contact {
            Ok(_) => {
                let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                let latencies = self.latencies.lock();
                latencies.unwrap_or_else(PoisonError::into_inner).push(microseconds);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let is_server_error = u64::from(error.is_server_error());
                self.server_errors.fetch_add(is_server_error, Ordering::Relaxed);
                let text = Some(chain(error));
                *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
        }
    }

    /// Begins anew, and gives what was counted so far.
    pub(crate) fn take(&self) -> Counted {
        let latencies = self.latencies.lock();
        let mut latencies = std::mem::take(&mut *latencies.unwrap_or_else(PoisonError::into_inner));
        latencies.sort_unstable();
        Counted {
            latencies,
            failed: self.failed.swap(0, Ordering::Relaxed),
            server_errors: self.server_errors.swap(0, Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

impl Counted {
    /// How many went well.
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many of a hundred do not exceed, in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        f64::from(self.latencies.get(place).copied().unwrap_or_default()) / 1_000.0
    }

    /// What failed, in words; nothing where nothing did.
    pub(crate) fn failures(&self) -> String {
        match &self.last_error {
            Some(error) => format!("; {} failed, the last one since {error}", self.failed),
            None => String::new(),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkError;

    #[test]
    fn percentiles_are_of_what_went_well() {
        let tally = Tally::default();
        for milliseconds in (1..=100).rev() {
            tally.count(&Ok(()), Duration::from_millis(milliseconds));
        }
        tally.count::<()>(&Err(LinkError::Timeout.into()), Duration::from_secs(60));
        let counted = tally.take();
        assert_eq!((counted.count(), counted.failed, counted.server_errors), (100, 1, 0));
        assert!((counted.percentile(50) - 50.0).abs() < 0.001);
        assert!((counted.percentile(99) - 99.0).abs() < 0.001);
        assert_eq!(tally.take().count(), 0);
    }
}
