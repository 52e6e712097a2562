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

/// For so many ticks after a run a thread of no regular habit is due.
const HOT_TICKS: u64 = 16;
/// For so many its run is remembered.
const KNOWN_TICKS: u64 = 256;

/// What is known of a process's run counts.
#[derive(Debug)]
pub struct Ledger {
    known: i128,
    low: i128,
    high: i128,
    tick: u64,
    /// Threads that ran, until they have been away much longer than before.
    habits: BTreeMap<Tid, Habit>,
}

/// When a thread runs, in ticks.
#[derive(Clone, Copy, Debug)]
struct Habit {
    /// It had run at this tick.
    ran: u64,
    /// Between that one and the one before, and between that and the one before it.
    gaps: (Option<u64>, Option<u64>),
}

impl Habit {
    /// Shortest and longest gap of a thread that comes regularly, as ticks show it: they are jittered.
    fn beat(self) -> Option<(u64, u64)> {
        let (Some(last), Some(before)) = self.gaps else { return None };
        let (short, long) = (last.min(before), last.max(before));
        (long - short <= 2 + long / 32).then_some((short, long))
    }

    /// Whether it may have run again by this tick.
    fn is_due(self, tick: u64) -> bool {
        let away = tick.saturating_sub(self.ran);
        match self.beat() {
            Some((short, _)) => away >= short.saturating_sub(1 + short / 32),
            None => away <= HOT_TICKS,
        }
    }

    /// Whether it has been away so long that nobody knows when it will come back.
    fn is_over(self, tick: u64) -> bool {
        let patience = self.beat().map_or(KNOWN_TICKS, |(_, long)| long.saturating_mul(2).saturating_add(HOT_TICKS));
        tick.saturating_sub(self.ran) > patience
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self { known: 0, low: i128::MIN, high: i128::MAX, tick: 0, habits: BTreeMap::new() }
    }
}

impl Ledger {
    /// A tick begins, whether anybody is asked or not.
    pub fn begin_tick(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        self.habits.retain(|_, habit| !habit.is_over(self.tick));
    }

    /// A thread's count was read: `before` is what was known of it (0 for a new thread).
    pub fn read(&mut self, tid: Tid, before: u64, now: u64) {
        if before != now {
            self.known += i128::from(now) - i128::from(before);
            self.ran(tid);
        }
    }

    /// A thread has run, or is running: at the next ticks it is asked first when it is due.
    pub fn ran(&mut self, tid: Tid) {
        let ran = self.tick;
        let again = |habit: &mut Habit| {
            let gap = ran.saturating_sub(habit.ran);
            if gap > 0 {
                *habit = Habit { ran, gaps: (Some(gap), habit.gaps.0) };
            }
        };
        self.habits.entry(tid).and_modify(again).or_insert(Habit { ran, gaps: (None, None) });
    }

    /// A thread has ended; its count was `known`. Where the kernel keeps it now is unknown, and so is K.
    pub fn ended(&mut self, tid: Tid, known: u64) {
        self.known -= i128::from(known);
        self.habits.remove(&tid);
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

    /// The threads that may have run again, going by their habits: they are asked first.
    pub fn due(&self) -> Vec<Tid> {
        let due = |(tid, habit): (&Tid, &Habit)| habit.is_due(self.tick).then_some(*tid);
        self.habits.iter().filter_map(due).collect()
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
        assert_eq!(ledger.due(), [Tid(1), Tid(2)]);
        ledger.ended(Tid(1), 10);
        assert!(!ledger.is_exact());
        assert_eq!(ledger.due(), [Tid(2)]);
    }

    /// Check when a thread is due: always while it runs, by the beat of a regular one, for some time after an irregular
    /// one's run, and never again when it has stayed away.
    #[test]
    fn due_by_habit() {
        let mut ledger = Ledger::default();
        let runs = |tid: i32, tick: u64| match tid {
            1 => true,
            2 => tick.is_multiple_of(10),
            3 => [10, 30, 37].contains(&tick),
            _ => tick == 10,
        };
        let mut due = BTreeMap::<Tid, Vec<u64>>::new();
        for tick in 1..=60 {
            ledger.begin_tick();
            ledger.due().into_iter().for_each(|tid| due.entry(tid).or_default().push(tick));
            (1..=4).filter(|tid| runs(*tid, tick)).for_each(|tid| ledger.ran(Tid(tid)));
        }
        let ticks = |tid: i32| due.get(&Tid(tid)).cloned().unwrap_or_default();
        assert_eq!(ticks(1), (2..=60).collect::<Vec<_>>());
        assert_eq!(ticks(2).split_off(20), [39, 40, 49, 50, 59, 60], "{:?}", ticks(2));
        assert_eq!(ticks(3), [(11..=26).collect::<Vec<_>>(), (31..=53).collect()].concat());
        assert_eq!(ticks(4), (11..=26).collect::<Vec<_>>());
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
