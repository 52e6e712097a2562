//! The two ends of a sequence that may be too long to keep. Allocates once.

use super::walk::touched;

/// Keeps the first and the last items of those that are pushed.
#[derive(Debug)]
pub(super) struct Ends<T> {
    first: Vec<T>,
    /// Once full, a ring.
    last: Vec<T>,
    half: usize,
    total: usize,
}

impl<T: Copy + Default> Ends<T> {
    /// For at most `max` items, half of them from each end.
    pub(super) fn new(max: usize) -> Self {
        let half = max / 2;
        Self { first: touched(half), last: touched(half), half, total: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.last.clear();
        self.total = 0;
    }

    /// How many were pushed.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// The first that was pushed.
    pub(super) fn first(&self) -> Option<&T> {
        self.first.first()
    }

    pub(super) fn push(&mut self, item: T) {
        if self.first.len() < self.half {
            self.first.push(item);
        } else if self.last.len() < self.half {
            self.last.push(item);
        } else {
            let oldest = self.oldest();
            if let Some(slot) = self.last.get_mut(oldest) {
                *slot = item;
            }
        }
        self.total = self.total.saturating_add(1);
    }

    /// Hands over what was kept, and says where items are missing, and how many.
    pub(super) fn finish(&mut self, into: &mut Vec<T>) -> Option<(usize, usize)> {
        let oldest = self.oldest();
        if self.last.len() == self.half {
            self.last.rotate_left(oldest);
        }
        into.clear();
        into.extend_from_slice(&self.first);
        into.extend_from_slice(&self.last);
        let omitted = self.total.saturating_sub(into.len());
        (omitted > 0).then_some((self.first.len(), omitted))
    }

    /// Where in the ring the oldest of its items is.
    fn oldest(&self) -> usize {
        self.total.saturating_sub(self.first.len()).checked_rem(self.last.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that both ends are kept, in order, for every length.
    #[test]
    fn both_ends() {
        let keep = |count: usize| {
            let mut ends = Ends::new(6);
            (0..count).for_each(|item| ends.push(item));
            let mut kept = Vec::new();
            let omitted = ends.finish(&mut kept);
            (kept, omitted)
        };
        assert_eq!(keep(0), (vec![], None));
        assert_eq!(keep(2), (vec![0, 1], None));
        assert_eq!(keep(5), (vec![0, 1, 2, 3, 4], None));
        assert_eq!(keep(6), (vec![0, 1, 2, 3, 4, 5], None));
        assert_eq!(keep(7), (vec![0, 1, 2, 4, 5, 6], Some((3, 1))));
        assert_eq!(keep(11), (vec![0, 1, 2, 8, 9, 10], Some((3, 5))));
    }
}
