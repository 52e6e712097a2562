//! What the sessions of a run came to, summed up as they end: a row for each, their sum, and the hottest functions of all.
//! Keeps no recording; prints nothing.

use profile::{
    counters::Counters,
    export::Hottest,
    id::Pid,
    record::Recorded,
    thread::{Filter, Gil},
};

/// More sessions than these have no row of their own: a build forks thousands.
const ROWS_MAX: usize = 1000;

/// What one session came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// The target.
    pub pid: Pid,
    /// What it ran.
    pub exe: Option<String>,
    /// From the session's beginning to its end, microseconds.
    pub span_us: u64,
    /// Ticks.
    pub ticks: u64,
    /// Samples and what went wrong.
    pub counters: Counters,
    /// Samples that were on a CPU; `None` where nothing was recorded.
    pub on_cpu: Option<u64>,
    /// `None` where no interpreter has such a lock, or states were left out.
    pub lock: Option<LockUse>,
    /// Time that threads were held stopped, microseconds.
    pub stopped_us: u64,
    /// The longest single stop, microseconds.
    pub stop_max_us: u64,
    /// The agent's CPU time for it, microseconds.
    pub agent_cpu_us: u64,
}

/// What threads had of the global interpreter lock: microseconds, each sample taken for the time until its thread's next.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LockUse {
    /// Of threads that held it.
    pub held_us: u64,
    /// Of threads that slept until they got it.
    pub awaited_us: u64,
    /// Of processes.
    pub span_us: u64,
}

impl LockUse {
    fn of(recorded: &Recorded) -> Option<Self> {
        let runs = recorded.threads.iter().flat_map(|thread| &thread.runs);
        let mut found = None;
        for run in runs.filter(|run| recorded.info.filter == Filter::All && run.state.gil.is_some()) {
            let span_us = recorded.end_us.saturating_sub(recorded.start_us);
            let lock: &mut Self = found.get_or_insert_with(|| Self { span_us, ..Self::default() });
            let stood_us = run.end_us.saturating_sub(run.start_us);
            match run.state.gil {
                Some(Gil::Held) => lock.held_us = lock.held_us.saturating_add(stood_us),
                Some(Gil::Awaited) => lock.awaited_us = lock.awaited_us.saturating_add(stood_us),
                Some(Gil::Free) | None => {}
            }
        }
        found
    }

    fn merge(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        Some(Self {
            held_us: one.held_us.saturating_add(other.held_us),
            awaited_us: one.awaited_us.saturating_add(other.awaited_us),
            span_us: one.span_us.saturating_add(other.span_us),
        })
    }
}

impl Summary {
    /// Of a recording.
    pub fn of(recorded: &Recorded) -> Self {
        let runs = recorded.threads.iter().flat_map(|thread| &thread.runs);
        Self {
            pid: recorded.info.pid,
            exe: recorded.info.exe.clone(),
            span_us: recorded.end_us.saturating_sub(recorded.start_us),
            ticks: recorded.ticks,
            counters: recorded.counters.clone(),
            lock: LockUse::of(recorded),
            on_cpu: Some(runs.filter(|run| run.state.is_on_cpu()).map(|run| run.ticks).sum()),
            stopped_us: recorded.stopped_us,
            stop_max_us: recorded.stop_max_us,
            agent_cpu_us: recorded.agent_cpu_us,
        }
    }

    /// Takes in another session's. The span is the longer one's, with its ticks: sessions run side by side.
    fn merge(&mut self, other: &Self) {
        if other.span_us > self.span_us {
            (self.span_us, self.ticks) = (other.span_us, other.ticks);
        }
        self.counters.merge(&other.counters);
        self.on_cpu = self.on_cpu.zip(other.on_cpu).map(|(one, other)| one.saturating_add(other));
        self.lock = LockUse::merge(self.lock, other.lock);
        self.stopped_us = self.stopped_us.saturating_add(other.stopped_us);
        self.stop_max_us = self.stop_max_us.max(other.stop_max_us);
        self.agent_cpu_us = self.agent_cpu_us.saturating_add(other.agent_cpu_us);
    }

    /// Ticks per second.
    #[allow(clippy::cast_precision_loss, reason = "a rate is read with three digits")]
    pub fn rate_reached(&self) -> f64 {
        if self.span_us == 0 { 0.0 } else { self.ticks as f64 * 1e6 / self.span_us as f64 }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they ended; see [`Self::busiest`].
    rows: Vec<Summary>,
    /// How many there were.
    pub sessions: usize,
    /// `None`: there was none.
    pub sum: Option<Summary>,
    /// Of all recordings.
    pub hottest: Hottest,
}

impl Report {
    /// Takes in a session's.
    pub fn add(&mut self, row: Summary) {
        self.sessions = self.sessions.saturating_add(1);
        match &mut self.sum {
            Some(sum) => sum.merge(&row),
            None => self.sum = Some(row.clone()),
        }
        if self.rows.len() < ROWS_MAX {
            self.rows.push(row);
        }
    }

    /// The `n` sessions with the most samples on a CPU, then with the most samples; in the order of their pids.
    pub fn busiest(&self, n: usize) -> Vec<&Summary> {
        let mut rows: Vec<&Summary> = self.rows.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.on_cpu, row.counters.samples)));
        rows.truncate(n);
        rows.sort_by_key(|row| row.pid);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: i32, span_us: u64, samples: u64) -> Summary {
        Summary {
            pid: Pid(pid),
            exe: None,
            span_us,
            ticks: span_us / 10_000,
            counters: Counters { samples, ..Counters::default() },
            on_cpu: Some(samples / 2),
            lock: (pid > 1).then_some(LockUse { held_us: 3, awaited_us: 8, span_us: 4 }),
            stopped_us: 5,
            stop_max_us: samples,
            agent_cpu_us: 7,
        }
    }

    /// Check the sum, which rows are shown, and that thousands of sessions keep no row each.
    #[test]
    fn sums_and_rows() {
        let mut report = Report::default();
        for (pid, span_us, samples) in [(3, 1_000_000, 10), (1, 3_000_000, 30), (2, 2_000_000, 20)] {
            report.add(row(pid, span_us, samples));
        }
        let sum = report.sum.clone().unwrap();
        assert_eq!((sum.counters.samples, sum.on_cpu, sum.stopped_us, sum.stop_max_us), (60, Some(30), 15, 30));
        assert_eq!(sum.lock, Some(LockUse { held_us: 6, awaited_us: 16, span_us: 8 }));
        assert!((sum.rate_reached() - 100.0).abs() < 1e-9, "{sum:?}");
        assert_eq!(report.busiest(2).iter().map(|row| row.pid.0).collect::<Vec<_>>(), [1, 2]);
        (0..5000).for_each(|pid| report.add(row(pid, 1, 1)));
        assert_eq!((report.sessions, report.rows.len()), (5003, ROWS_MAX));
    }
}
