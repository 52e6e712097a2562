//! What one batch of names may cost: time and bytes read.

use std::time::{Duration, Instant};

/// The time and the bytes that a batch of names may use. It is looked at between two names: a single one may overrun
/// it by the cost of reading one symbol table or of one unit of DWARF.
#[derive(Clone, Debug)]
pub struct Budget {
    deadline: Option<Instant>,
    bytes: u64,
}

impl Budget {
    /// Up to `time` from now, and up to `bytes` read from files.
    pub fn new(time: Duration, bytes: u64) -> Self {
        Self { deadline: Instant::now().checked_add(time), bytes }
    }

    /// No bounds: for tests, and for a command that a person waits for.
    pub fn unlimited() -> Self {
        Self { deadline: None, bytes: u64::MAX }
    }

    /// Whether nothing new may be read or computed.
    pub fn is_exhausted(&self) -> bool {
        self.bytes == 0 || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Takes off what was read.
    pub(crate) fn charge(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that either bound ends it.
    #[test]
    fn ends_by_time_or_bytes() {
        let mut budget = Budget::new(Duration::from_hours(1), 10);
        budget.charge(9);
        assert!(!budget.is_exhausted());
        budget.charge(9);
        assert!(budget.is_exhausted());
        assert!(Budget::new(Duration::ZERO, 10).is_exhausted());
        assert!(!Budget::unlimited().is_exhausted());
    }
}
