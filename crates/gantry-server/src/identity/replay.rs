//! Remembers the signatures of the last minutes, so that none counts twice (contract §16.4).

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use http_signature::VerifyingKey;
use rcgen::{CertificateParams, KeyPair};

use crate::problem::Problem;

/// More signed requests than a server of this size hears in a window. 40 MB of memory at most.
const MOST_REMEMBERED: usize = 500_000;

/// What was heard inside the window.
#[derive(Debug)]
pub(crate) struct ReplayGuard {
    remembered: Mutex<Remembered>,
    nobodys_key: VerifyingKey,
}

#[derive(Debug, Default)]
struct Remembered {
    keys: HashSet<[u8; 32]>,
    /// With the second after which each can be forgotten, the oldest first.
    order: VecDeque<(u64, [u8; 32])>,
}

impl ReplayGuard {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate().context("making a key that nobody has")?;
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .context("making a certificate that nobody has")?;
        let nobodys_key = VerifyingKey::from_certificate_der(certificate.der())
            .context("using a certificate that nobody has")?;
        Ok(Self { remembered: Mutex::default(), nobodys_key })
    }

    /// A key for requests of clients that do not exist: verifying takes as long and fails the same.
    pub(crate) fn nobodys_key(&self) -> &VerifyingKey {
        &self.nobodys_key
    }

    /// Whether a signature was not heard before; remembers it until `until` (seconds since 1970).
    /// When there is no more room nothing is let through: better late than twice.
    pub(crate) fn is_new(&self, key: [u8; 32], now: u64, until: u64) -> Result<bool, Problem> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, old)) = remembered.order.pop_front_if(|(end, _)| *end < now) {
            remembered.keys.remove(&old);
        }
        if remembered.keys.contains(&key) {
            return Ok(false);
        }
        if remembered.keys.len() >= MOST_REMEMBERED {
            return Err(Problem::unavailable(
                "the server hears more requests than it can remember",
            ));
        }
        remembered.keys.insert(key);
        remembered.order.push_back((until, key));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_once_inside_its_window() {
        let guard = ReplayGuard::new().expect("keys can be made");
        assert!(guard.is_new([1; 32], 100, 460).expect("there is room"));
        assert!(!guard.is_new([1; 32], 460, 820).expect("there is room"));
        assert!(guard.is_new([2; 32], 460, 820).expect("there is room"));
        assert!(guard.is_new([1; 32], 461, 821).expect("there is room"), "forgotten");
        assert_eq!(guard.remembered.lock().expect("nobody panicked").keys.len(), 2);
    }
}
