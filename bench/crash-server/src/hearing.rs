//! How answers are taken: of a server that may be struck at any moment, and of one that is up again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::http::Answer;
use testkit::wait::{self, PATIENCE};

const INTERVAL: Duration = Duration::from_micros(200);
/// What was asked for may have been done or not.
const BUSY: u16 = 503;

/// Whether the server was struck, and what it had granted. It is set before the server is struck, so that nothing
/// fails without a reason.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    is_set: AtomicBool,
    granted: AtomicU64,
}

impl Struck {
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Waits until so much is granted; who waits too long sees how it goes on.
    pub(crate) fn await_granted(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.granted.load(Ordering::Relaxed) < count && Instant::now() < deadline {
            thread::sleep(INTERVAL);
        }
    }

    /// An answer that says what has become of the request. Once the server is struck none may come; before that
    /// it has to, or the server says that it is too busy.
    pub(crate) fn hear(&self, what: &str, answer: Result<Answer, ureq::Error>) -> Option<Answer> {
        match answer {
            Ok(answer) if answer.status < 500 => Some(answer),
            _ if self.is_set() => None,
            Ok(answer) if answer.status == BUSY => None,
            Ok(answer) => panic!("{what}: {} without a reason: {}", answer.status, answer.text()),
            Err(error) => panic!("{what}: no answer without a reason: {error}"),
        }
    }

    /// As [`Struck::hear`], of a request that the server has to grant.
    pub(crate) fn granted(
        &self,
        what: &str,
        answer: Result<Answer, ureq::Error>,
    ) -> Option<Answer> {
        let answer = self.hear(what, answer)?;
        assert!(answer.status < 300, "{what}: {} {}", answer.status, answer.text());
        self.granted.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// The answer of a server that is up again. Kept connections may still be those of the former one.
pub(crate) fn patiently(
    what: &str,
    mut ask: impl FnMut() -> Result<Answer, ureq::Error>,
) -> Answer {
    wait::until(what, || ask().ok().filter(|it| it.status < 500))
}
