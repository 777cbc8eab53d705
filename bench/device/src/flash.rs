//! Writes to the state directory: each one wears the flash that devices keep it on.

use std::ffi::CStr;
use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use testkit::wait;

/// Counts changes of a folder and of all folders in it: files made, written, renamed, removed, or with
/// another owner or mode. The kernel counts equal changes as one when they follow on each other before
/// they are taken note of.
pub(crate) struct WriteCounter {
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    changes: AtomicUsize,
    /// Changes of the file [`PROBE`].
    own: AtomicUsize,
}

const PROBE: &CStr = c"gantry-bench-probe";

impl WriteCounter {
    /// Starts counting, and makes sure of it with a write of its own, which does not count.
    pub(crate) fn watch(folder: &Path) -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC).expect("the kernel has inotify");
        watch_below(&events, folder);
        let seen = Arc::new(Seen::default());
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || count_events(events, &seen)
        });
        let probe = folder.join(PROBE.to_string_lossy().as_ref());
        fs::write(&probe, "seen?").expect("the state directory can be written");
        fs::remove_file(probe).expect("the probe can be removed");
        // Made, written, removed.
        wait::until("the counter to see a write", || {
            (seen.own.load(Ordering::Relaxed) == 3).then_some(())
        });
        Self { seen }
    }

    /// How many changes there were.
    pub(crate) fn count(&self) -> usize {
        self.seen.changes.load(Ordering::Relaxed)
    }
}

fn watch_below(events: impl AsFd + Copy, folder: &Path) {
    let changes = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::ATTRIB;
    inotify::add_watch(events, folder, changes).expect("a folder can be watched");
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            watch_below(events, &path);
        }
    }
}

/// Counts until the program ends.
fn count_events(events: OwnedFd, seen: &Seen) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) => {
                let own = event.file_name() == Some(PROBE);
                let counted = if own { &seen.own } else { &seen.changes };
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Err(Errno::INTR) => {}
            Err(error) => panic!("cannot read what changes: {error}"),
        }
    }
}
