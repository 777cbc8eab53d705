//! When a client that was refused comes again: as `gantry-device` does by default.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The pause after so many failures in a row. It is drawn anew each time, and no shorter than the server
/// has asked for.
pub(crate) fn pause(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(31));
    let longest = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest.mul_f64(chance()).max(SHORTEST_PAUSE).max(retry_after.unwrap_or_default())
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_no_shorter_than_the_server_asks_for() {
        for _ in 0..100 {
            assert!((1..=2).contains(&pause(1, None).as_secs()));
            assert!((1..=16).contains(&pause(4, None).as_secs()));
            assert!(pause(u32::MAX, None) <= LONGEST_PAUSE);
        }
        assert_eq!(pause(1, Some(Duration::from_secs(30))).as_secs(), 30);
    }
}
