//! Proves that most threads did not run without asking each: the sum of all run counts is one question, so when it equals
//! the sum of what is known of each, nothing that is known is out of date. Reads nothing itself.
//!
//! Let C be what the kernel sums up for the process at some moment, S the sum of the counts that we know, and K what C
//! holds beside the live threads' counts (those of threads that have ended; fixed while the set of threads is). Counts
//! only grow, so S + K <= C always, and S + K = C means that every known count is current.
//!
//! K is found by inclusion: a sweep over all threads between two questions C1 and C2 gives C1 - S <= K <= C2 - S. Each
//! further sweep narrows it; a process whose threads switch hundreds of times a second is pinned within a few ticks, one
//! whose threads switch during every sweep never is, and is swept.

use std::collections::BTreeMap;

use profile::id::Tid;

/// How many ticks a thread that ran is asked first.
const HOT_TICKS: u8 = 16;

/// What is known of a process's run counts.
#[derive(Debug)]
pub struct Ledger {
    known: i128,
    low: i128,
    high: i128,
    /// Threads that ran lately, and for how many ticks they stay in this list.
    hot: BTreeMap<Tid, u8>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { known: 0, low: i128::MIN, high: i128::MAX, hot: BTreeMap::new() }
    }
}

impl Ledger {
    /// A thread's count was read: `before` is what was known of it (0 for a new thread).
    pub fn read(&mut self, tid: Tid, before: u64, now: u64) {
        if before != now {
            self.known += i128::from(now) - i128::from(before);
            self.hot.insert(tid, HOT_TICKS);
        }
    }

    /// A thread was running: it is asked first at the next ticks.
    pub fn stays_hot(&mut self, tid: Tid) {
        self.hot.insert(tid, HOT_TICKS);
    }

    /// A thread has ended; its count was `known`. Where the kernel keeps it now is unknown, and so is K.
    pub fn ended(&mut self, tid: Tid, known: u64) {
        self.known -= i128::from(known);
        self.hot.remove(&tid);
        self.low = i128::MIN;
        self.high = i128::MAX;
    }

    /// All threads were read between the questions that gave `before` and `after`.
    pub fn swept(&mut self, before: u64, after: u64) {
        self.low = self.low.max(i128::from(before) - self.known);
        self.high = self.high.min(i128::from(after) - self.known);
        if self.low > self.high {
            // The set of threads changed meanwhile: start again.
            self.low = i128::MIN;
            self.high = i128::MAX;
        }
    }

    /// Whether a sum proves that every known count is current.
    pub fn is_current(&self, sum: u64) -> bool {
        self.low == self.high && self.known + self.low == i128::from(sum)
    }

    /// Whether K is known, so that asking is worth it.
    pub fn is_exact(&self) -> bool {
        self.low == self.high
    }

    /// How many threads ran lately.
    pub fn hot_count(&self) -> usize {
        self.hot.len()
    }

    /// The threads that ran lately: they are asked first. Call once a tick; those that stay quiet leave the list.
    pub fn hot(&mut self) -> Vec<Tid> {
        self.hot.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        self.hot.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check that K is pinned by a quiet sweep, and that one unseen run is seen.
    #[test]
    fn one_run_is_seen() {
        let mut ledger = Ledger::default();
        ledger.read(Tid(1), 0, 10);
        ledger.read(Tid(2), 0, 5);
        assert!(!ledger.is_current(115));
        ledger.swept(114, 116);
        assert!(!ledger.is_exact());
        ledger.swept(115, 115);
        assert!(ledger.is_current(115) && !ledger.is_current(116));
        ledger.read(Tid(2), 5, 6);
        assert!(ledger.is_current(116) && !ledger.is_current(115));
        assert_eq!(ledger.hot(), [Tid(1), Tid(2)]);
        ledger.ended(Tid(1), 10);
        assert!(!ledger.is_exact());
    }

    proptest! {
        /// Check the claim itself against a model: whenever the ledger says current, every known count is.
        #[test]
        fn current_is_true(
            counts in proptest::collection::vec(1_u64..50, 1..6),
            dead in 0_u64..100,
            steps in proptest::collection::vec((any::<bool>(), 0_usize..6, 0_u8..3), 0..200),
        ) {
            let mut real = counts.clone();
            let mut known = vec![0_u64; counts.len()];
            let mut ledger = Ledger::default();
            let tid = |place: usize| Tid(i32::try_from(place).unwrap());
            let sum = |real: &[u64]| real.iter().sum::<u64>() + dead;
            for (sweeps, thread, runs) in steps {
                let thread = thread % real.len();
                if sweeps {
                    let before = sum(&real);
                    for place in 0..real.len() {
                        if place == thread {
                            real[thread] += u64::from(runs);
                        }
                        ledger.read(tid(place), known[place], real[place]);
                        known[place] = real[place];
                    }
                    let after = sum(&real);
                    ledger.swept(before, after);
                } else {
                    real[thread] += u64::from(runs);
                    if runs == 1 {
                        ledger.read(tid(thread), known[thread], real[thread]);
                        known[thread] = real[thread];
                    }
                }
                if ledger.is_current(sum(&real)) {
                    prop_assert_eq!(&known, &real);
                }
            }
        }
    }
}
