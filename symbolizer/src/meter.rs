//! What the debug information of one file may hold, read and take.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

/// What a part of the debug information holds in memory, roughly: the pages, and what was made of them. Once over its
/// limit, every read fails.
#[derive(Debug)]
pub(crate) struct Meter {
    held: AtomicUsize,
    most: usize,
    read: AtomicU64,
    deadline: Option<Instant>,
}

impl Meter {
    /// Up to `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most, read: AtomicU64::new(0), deadline: None }
    }

    /// Also until `deadline`. Not for what is kept: addr2line remembers an error for a whole unit.
    pub(crate) fn until(most: usize, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::new(most) }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// What it may hold.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// What it may hold still.
    pub(crate) fn room(&self) -> usize {
        self.most.saturating_sub(self.held())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.held() > self.most
    }

    /// Bytes read from the file so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Counts memory. Not one atomic step: only one thread works with a meter, and it must cost nothing.
    pub(crate) fn hold(&self, bytes: usize) -> gimli::Result<()> {
        let held = self.held().saturating_add(bytes);
        self.held.store(held, Relaxed);
        if held > self.most { Err(gimli::Error::Io) } else { Ok(()) }
    }

    /// Counts bytes read.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.store(self.bytes_read().saturating_add(bytes as u64), Relaxed);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
