//! When to tick: a fixed grid of periods, each tick moved by a random part of a period. Sleeps for nobody.

/// The grid. Times are nanoseconds of `CLOCK_MONOTONIC`.
///
/// `tick(n) = start + n * period + jitter(n)`, with jitter in [0, period / 2): a target that works in periods of its own
/// is not always caught at the same spot, and the mean rate stays exact.
#[derive(Clone, Debug)]
pub struct Clock {
    start: u64,
    period: u64,
    number: u64,
    random: u64,
}

impl Clock {
    /// A grid from `start` on. `seed` may be anything; `period` is at least a microsecond.
    pub fn new(start: u64, period: u64, seed: u64) -> Self {
        Self { start, period: period.max(1000), number: 0, random: seed | 1 }
    }

    /// The time of the next tick, given that it is `now`; grid points that are already over are left out. Second: how
    /// many were left out.
    pub fn next(&mut self, now: u64) -> (u64, u64) {
        let passed = now.saturating_sub(self.start) / self.period;
        let next = self.number.saturating_add(1);
        let missed = passed.saturating_sub(next);
        self.number = next.saturating_add(missed);
        let grid = self.start.saturating_add(self.number.saturating_mul(self.period));
        (grid.saturating_add(self.jitter()), missed)
    }

    /// Leaves out the ticks up to `now`: nobody needed them.
    pub fn skip(&mut self, now: u64) {
        self.number = self.number.max(now.saturating_sub(self.start) / self.period);
    }

    /// Xorshift64 (Marsaglia 2003): quality is enough, speed and size matter.
    fn jitter(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % (self.period / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that ticks follow each other on the grid and never twice at the same offset of the period in a row.
    #[test]
    fn ticks_keep_the_grid() {
        let mut clock = Clock::new(1_000_000, 10_000, 42);
        let mut now = 1_000_000;
        let mut offsets = Vec::new();
        for number in 1..=1000_u64 {
            let (at, missed) = clock.next(now);
            assert_eq!(missed, 0);
            let grid = 1_000_000 + number * 10_000;
            assert!((grid..grid + 5_000).contains(&at), "{at} is off the grid {grid}");
            offsets.push(at - grid);
            now = at + 10;
        }
        offsets.dedup();
        assert!(offsets.len() > 900);
    }

    /// Check that ticks which are left out are not told as missed.
    #[test]
    fn skipped() {
        let mut clock = Clock::new(0, 10_000, 1);
        clock.skip(43_000);
        let (at, missed) = clock.next(43_001);
        assert!((50_000..55_000).contains(&at) && missed == 0, "{at} {missed}");
        clock.skip(44_000);
        assert!((60_000..65_000).contains(&clock.next(44_000).0), "a tick that was given is not given again");
    }

    /// Check that an overrun is told, and that the clock does not run after the lost ticks.
    #[test]
    fn overrun_is_counted() {
        let mut clock = Clock::new(0, 10_000, 1);
        assert_eq!(clock.next(0).1, 0);
        let (at, missed) = clock.next(75_000);
        assert_eq!(missed, 5);
        assert!(at >= 70_000, "{at}");
    }
}
