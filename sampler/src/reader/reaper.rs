//! Takes the ends of traced threads while the sampling thread is blocked in a seize: stops nobody, reads nothing.
//!
//! A thread that execs ends all others of its process and waits, holding `cred_guard_mutex`, until their tracer has taken their
//! ends (`fs/exec.c: de_thread`); a seize of that process waits for the same mutex (`kernel/ptrace.c: ptrace_attach`). Whoever
//! seizes would wait for itself. Any thread of the tracer's process may take an end, so this one does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use nix::errno::Errno;
use profile::id::Tid;

use crate::sys::{self, monotonic_ns};

/// As many are in flight or pending at once where it matters; the rest are taken when these are gone.
const WATCHED_MAX: usize = 64;
/// How often it looks: below what the watchdog waits. Each look wakes a CPU, 25 us in a virtual machine.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A seize takes microseconds.
const BLOCKED_NS: u64 = 5_000_000;

/// The sampling thread's side. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Reaper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// When the seize under way began; 0: none is.
    since: AtomicU64,
    /// Traced threads; 0: none.
    watched: [AtomicI32; WATCHED_MAX],
}

impl Reaper {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self, Errno> {
        let shared = Arc::new(Shared { since: AtomicU64::new(0), watched: [const { AtomicI32::new(0) }; WATCHED_MAX] });
        let theirs = Arc::downgrade(&shared);
        let look = move || {
            while let Some(shared) = theirs.upgrade() {
                shared.look();
                drop(shared);
                std::thread::sleep(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("sp-reap".to_owned()).spawn(look);
        thread.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
        Ok(Self(shared))
    }

    /// A seize begins, while these are traced.
    pub(super) fn watch(&self, traced: impl Iterator<Item = Tid>) {
        let mut places = self.0.watched.iter();
        for (place, tid) in places.by_ref().zip(traced) {
            place.store(tid.0, SeqCst);
        }
        // The rest of an earlier list.
        places.take_while(|place| place.swap(0, SeqCst) != 0).for_each(drop);
        self.0.since.store(monotonic_ns(), SeqCst);
    }

    /// The seize is over.
    pub(super) fn rest(&self) {
        self.0.since.store(0, SeqCst);
    }
}

impl Shared {
    fn look(&self) {
        let since = self.since.load(SeqCst);
        if since == 0 || monotonic_ns().saturating_sub(since) < BLOCKED_NS {
            return;
        }
        let traced = self.watched.iter().map(|place| place.load(SeqCst)).take_while(|tid| *tid != 0);
        traced.for_each(|tid| sys::take_end(Tid(tid)));
    }
}
