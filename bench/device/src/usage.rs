//! Memory of the client while something goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::memory;

/// How often memory is looked at: polls take some of these moments, and most are idle.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// PSS in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What it usually is: the middle of all samples.
    pub(crate) idle: u64,
    pub(crate) most: u64,
}

impl Memory {
    /// Looks at a process again and again while something is done.
    pub(crate) fn watch(process: u32, work: impl FnOnce()) -> Self {
        let done = AtomicBool::new(false);
        let mut samples = thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut samples = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    samples.push(memory::pss(process));
                    thread::sleep(SAMPLE_INTERVAL);
                }
                samples
            });
            work();
            done.store(true, Ordering::Relaxed);
            sampler.join().expect("the memory of the client can be read")
        });
        samples.sort_unstable();
        let most = *samples.last().expect("the work takes longer than a sample");
        Self { idle: samples[samples.len() / 2], most }
    }
}
