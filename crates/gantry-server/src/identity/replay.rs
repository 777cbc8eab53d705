//! Remembers the signatures of the last minutes, so that none counts twice (contract §16.4).
//!
//! Only signatures that hold are remembered, of clients that are let in and, apart from them, of
//! strangers that onboard: they cannot use up the room of the others. What a client's requests change is
//! remembered in the store as well, so that it outlives this process ([`SignedOnce`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use fleet_domain::ids::ClientId;
use http_signature::{Verified, VerifyingKey, Window};
use rcgen::{CertificateParams, KeyPair};

use crate::problem::{Problem, Reason};

/// When a client may come back that has sent more than can be remembered.
const NO_ROOM_RETRY_SECONDS: u64 = 30;
/// 27 requests a second from one client, all the time; 65 MB of memory for all at most.
const CLIENTS: Bounds = Bounds { all: 500_000, one: 10_000, always: 64 };
/// 270 strangers a second, all the time.
const STRANGERS: Bounds = Bounds { all: 100_000, one: 100_000, always: 0 };

/// What was heard inside the window.
#[derive(Debug)]
pub(crate) struct ReplayGuard {
    clients: Mutex<Memory<ClientId>>,
    strangers: Mutex<Memory<()>>,
    window: Window,
    nobodys_key: VerifyingKey,
}

/// A signature that was not heard before in this process.
#[derive(Debug, Clone)]
pub(crate) struct SignedOnce {
    /// Names the signature, however it is encoded.
    pub(crate) name: [u8; 32],
    /// The time after which it holds no more, in seconds since 1970.
    pub(crate) until: i64,
}

/// How many signatures are remembered.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    all: usize,
    one: usize,
    /// So many of each signer, also where there is no room: one who signs much shuts nobody else out.
    always: usize,
}

#[derive(Debug)]
struct Memory<Signer> {
    bounds: Bounds,
    heard: HashMap<Signer, HashSet<[u8; 32]>>,
    /// With the second after which each can be forgotten, the oldest first.
    order: VecDeque<(i64, Signer, [u8; 32])>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    New,
    Again,
    /// Nothing is forgotten early: better late than twice.
    NoRoom,
}

impl ReplayGuard {
    pub(crate) fn new(window: Window) -> Result<Self> {
        let key = KeyPair::generate().context("making a key that nobody has")?;
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .context("making a certificate that nobody has")?;
        let nobodys_key = VerifyingKey::from_certificate_der(certificate.der())
            .context("using a certificate that nobody has")?;
        let (clients, strangers) = (Memory::new(CLIENTS), Memory::new(STRANGERS));
        let (clients, strangers) = (Mutex::new(clients), Mutex::new(strangers));
        Ok(Self { clients, strangers, window, nobodys_key })
    }

    /// When a signature has to have been created.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// A key for requests of clients that do not exist: verifying takes as long and fails the same.
    pub(crate) fn nobodys_key(&self) -> &VerifyingKey {
        &self.nobodys_key
    }

    /// Remembers a signature of a client that is let in, unless it was heard before.
    // margo(SP-39, SP-62)
    pub(crate) fn take(
        &self,
        client: ClientId,
        verified: &Verified,
        now: i64,
    ) -> Result<SignedOnce, Problem> {
        let once = SignedOnce { name: verified.replay_key, until: self.until(now) };
        match lock(&self.clients).hear(client, once.name, now, once.until) {
            Heard::New => Ok(once),
            Heard::Again => Err(replayed()),
            // It sends more than can be remembered.
            Heard::NoRoom => Err(Problem::too_many_requests(NO_ROOM_RETRY_SECONDS)),
        }
    }

    /// Remembers a signature of a client that onboards, unless it was heard before. To onboard twice is
    /// to onboard once, so this process alone remembers it.
    // margo(SP-39)
    pub(crate) fn take_of_stranger(&self, verified: &Verified, now: i64) -> Result<(), Problem> {
        match lock(&self.strangers).hear((), verified.replay_key, now, self.until(now)) {
            Heard::New => Ok(()),
            Heard::Again => Err(replayed()),
            Heard::NoRoom => {
                Err(Problem::unavailable(Reason::Overload, "too many clients onboard at a time"))
            }
        }
    }

    /// When a signature that holds now holds no more, whenever it was created.
    fn until(&self, now: i64) -> i64 {
        let Window { back, forward } = self.window;
        now.saturating_add_unsigned(back).saturating_add_unsigned(forward)
    }
}

/// 401 for a request that was taken before.
pub(crate) fn replayed() -> Problem {
    Problem::invalid_signature(
        Reason::Replay,
        "the same signed request was sent again; sign it anew, with a nonce where the signature would \
         be the same",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Signer: Copy + Eq + Hash> Memory<Signer> {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, heard: HashMap::new(), order: VecDeque::new() }
    }

    fn hear(&mut self, signer: Signer, name: [u8; 32], now: i64, until: i64) -> Heard {
        self.forget(now);
        let count = match self.heard.get(&signer) {
            Some(heard) if heard.contains(&name) => return Heard::Again,
            Some(heard) => heard.len(),
            None => 0,
        };
        let Bounds { all, one, always } = self.bounds;
        if count >= one || (self.order.len() >= all && count >= always) {
            return Heard::NoRoom;
        }
        self.heard.entry(signer).or_default().insert(name);
        self.order.push_back((until, signer, name));
        Heard::New
    }

    fn forget(&mut self, now: i64) {
        while let Some((_, signer, name)) = self.order.pop_front_if(|(end, ..)| *end < now) {
            if let Some(heard) = self.heard.get_mut(&signer) {
                heard.remove(&name);
                if heard.is_empty() {
                    self.heard.remove(&signer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 5, one: 4, always: 1 };

    // margo(SP-39, SP-62)
    #[test]
    fn a_signature_counts_once_inside_its_window() {
        let mut memory = Memory::new(BOUNDS);
        assert_eq!(memory.hear('a', [1; 32], 100, 460), Heard::New);
        assert_eq!(memory.hear('a', [1; 32], 460, 820), Heard::Again);
        assert_eq!(memory.hear('a', [2; 32], 460, 820), Heard::New);
        assert_eq!(memory.hear('a', [1; 32], 461, 821), Heard::New, "forgotten");
        assert_eq!(memory.order.len(), 2);
    }

    #[test]
    fn nothing_stays_of_whom_nobody_has_heard_for_a_while() {
        let mut memory = Memory::new(BOUNDS);
        memory.hear('a', [1; 32], 100, 460);
        assert_eq!(memory.hear('b', [2; 32], 461, 821), Heard::New);
        assert_eq!((memory.heard.len(), memory.order.len()), (1, 1));
    }

    #[test]
    fn who_signs_much_shuts_out_nobody_but_himself() {
        let mut memory = Memory::new(BOUNDS);
        let mut hear = |signer, name| memory.hear(signer, [name; 32], 100, 460);
        for name in 0..4 {
            assert_eq!(hear('a', name), Heard::New);
        }
        assert_eq!(hear('a', 4), Heard::NoRoom);
        assert_eq!(hear('a', 3), Heard::Again, "what was heard is not forgotten early");
        assert_eq!(hear('b', 5), Heard::New);
        // There is no room for more, but each has a little of his own.
        assert_eq!(hear('b', 6), Heard::NoRoom);
        assert_eq!(hear('c', 7), Heard::New);
        assert_eq!(hear('c', 8), Heard::NoRoom);
        assert_eq!(memory.hear('a', [4; 32], 461, 821), Heard::New, "there is room again");
    }
}
