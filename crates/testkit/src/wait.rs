//! Waiting for a condition, with a deadline instead of a guess at how long it takes.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what should take moments. Generous, since the machine may be busy, and since it
/// is waited for to the end only where a test fails.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until there is an answer; panics with `what` after [`PATIENCE`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
