//! How many bytes of requests are in memory at a time, over all connections. Who would go beyond is refused at once: waiting
//! would let half-read requests wait for each other.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that may be there.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: AtomicUsize,
}

/// Bytes that one request has of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

/// Nothing is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0) })
    }

    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        Lease { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Lease {
    /// Takes `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.budget.max);
        self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| Exhausted)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives `bytes` back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that no more is given out than there is, and that all of it comes back.
    #[test]
    fn bounded() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (budget.lease(), budget.lease());
        assert_eq!((a.grow(6), b.grow(6), b.grow(4)), (Ok(()), Err(Exhausted), Ok(())));
        a.shrink(100);
        assert_eq!((b.grow(usize::MAX), b.grow(6)), (Err(Exhausted), Ok(())));
        drop((a, b));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
