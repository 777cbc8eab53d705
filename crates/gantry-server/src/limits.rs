//! How often callers may ask. They are told apart by who they have proved to be, never by address: a whole
//! plant may stand behind one. Whoever has proved nothing yet shares one measure with all others.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use fleet_domain::ids::ClientId;

use crate::problem::{Problem, Reason};

/// So many signatures of strangers are verified a minute, and so many at once: a small part of what a
/// processor can do, and more than a fleet that comes back after an outage needs.
const STRANGERS: Rate = Rate { per_minute: 30_000, burst: 1_000 };

/// A measure for each caller that is verified.
#[derive(Debug)]
pub(crate) struct RequestLimits {
    of_client: Rate,
    /// Grows to one entry for each client that is let in, and no further.
    clients: Mutex<HashMap<ClientId, Bucket>>,
    strangers: Mutex<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_minute: u32,
    burst: u32,
}

/// Each request takes one out; time fills it up again.
#[derive(Debug)]
struct Bucket {
    left: f64,
    /// When it was looked at last, in seconds since 1970.
    at: i64,
}

impl RequestLimits {
    /// Each client may ask so often a minute in the long run, and half of that at once: a client that
    /// comes back after a long time has much to tell.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let per_minute = per_minute.get();
        Self {
            of_client: Rate { per_minute, burst: (per_minute / 2).max(1) },
            clients: Mutex::default(),
            strangers: Mutex::new(STRANGERS.full(0)),
        }
    }

    /// Counts a request of a client that is let in.
    pub(crate) fn count_client(&self, client: ClientId, now: i64) -> Result<(), Problem> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = clients.entry(client).or_insert_with(|| self.of_client.full(now));
        bucket.take(self.of_client, now).map_err(Problem::too_many_requests)
    }

    /// Counts a request whose sender has proved nothing, before its signature is verified.
    pub(crate) fn count_stranger(&self, now: i64) -> Result<(), Problem> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let detail = "too many clients ask to be let in at this moment";
        let taken = strangers.take(STRANGERS, now);
        taken.map_err(|_| Problem::unavailable(Reason::Overload, detail))
    }
}

impl Rate {
    fn full(self, now: i64) -> Bucket {
        Bucket { left: f64::from(self.burst), at: now }
    }

    fn per_second(self) -> f64 {
        f64::from(self.per_minute) / 60.0
    }
}

impl Bucket {
    /// Takes one out, or says after how many seconds there is one.
    fn take(&mut self, rate: Rate, now: i64) -> Result<(), u64> {
        // A clock that jumps fills a bucket at most, and never empties it.
        let passed = u32::try_from(now.abs_diff(self.at)).unwrap_or(u32::MAX);
        self.left = (self.left + f64::from(passed) * rate.per_second()).min(f64::from(rate.burst));
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - self.left) / rate.per_second()).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 1 to 60: a rate is one a minute at the least"
        )]
        Err(seconds.max(1.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn id(number: u128) -> ClientId {
        ClientId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_client_that_asks_too_often_waits_and_the_others_do_not() {
        let limits = RequestLimits::new(NonZeroU32::new(12).expect("12 is not 0"));
        for _ in 0..6 {
            limits.count_client(id(1), NOW).expect("half a minute's at once");
        }
        limits.count_client(id(1), NOW).expect_err("too often");
        limits.count_client(id(2), NOW).expect("another client");
        limits.count_client(id(1), NOW + 4).expect_err("one comes every 5 seconds");
        limits.count_client(id(1), NOW + 5).expect("and here it is");
        limits.count_client(id(1), NOW + 5).expect_err("and no other");
        for _ in 0..6 {
            limits.count_client(id(1), NOW + 100_000).expect("as much as at first");
        }
        limits.count_client(id(1), NOW + 100_000).expect_err("and no more");
    }

    #[test]
    fn who_waits_is_told_how_long() {
        let rate = Rate { per_minute: 12, burst: 1 };
        let mut bucket = rate.full(NOW);
        assert_eq!(bucket.take(rate, NOW), Ok(()));
        assert_eq!(bucket.take(rate, NOW), Err(5));
        assert_eq!(bucket.take(rate, NOW + 3), Err(2));
        assert_eq!(bucket.take(rate, NOW + 5), Ok(()));
    }

    #[test]
    fn a_flood_of_strangers_is_let_through_by_the_second() {
        let limits = RequestLimits::new(NonZeroU32::MIN);
        let through = |now: i64| (0..5_000).filter(|_| limits.count_stranger(now).is_ok()).count();
        assert_eq!(through(NOW), 1_000);
        assert_eq!(through(NOW), 0);
        assert_eq!(through(NOW + 1), 500, "the flood does not keep others out for ever");
    }
}
