//! What the pipeline's thread tells the others: how the sessions go, which have ended, whose chunk is due.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use profile::{counters::Counters, id::ProfilerId};
use sampler::TargetId;

use crate::session::Session;

/// Written by the pipeline's thread, read by all.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Targets whose chunk is due.
    pub due: Lock<HashSet<TargetId>>,
    /// The sums.
    pub progress: Lock<Progress>,
    /// How each session goes.
    pub sessions: Lock<BTreeMap<TargetId, SessionProgress>>,
    /// Targets whose session has ended, since it was last asked.
    pub ended: Lock<Vec<TargetId>>,
    /// Targets that need no samples until their board changes, since it was last asked.
    pub resting: Lock<Vec<TargetId>>,
}

/// What is held for a moment, and stands whole at all times.
#[derive(Debug, Default)]
pub(super) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(super) fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the status line shows.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Ticks so far, of the target that has most.
    pub ticks: u64,
    /// Summed over targets.
    pub counters: Counters,
    /// Summed over targets.
    pub stopped_us: u64,
    /// Summed over targets, see [`SessionProgress::windows_lost`].
    pub windows_lost: u64,
    /// Summed over targets.
    pub agent_cpu_us: u64,
    /// Threads on a CPU or ready to run at their last sample.
    pub running: usize,
    /// Threads that slept at theirs.
    pub sleeping: usize,
    /// Sessions that go on.
    pub processes: usize,
    /// Chunks closed.
    pub chunks: usize,
}

/// How a session goes, as of its last second.
#[derive(Clone, Debug, Default)]
pub struct SessionProgress {
    /// The profiler id of the chunk that is open.
    pub running: Option<ProfilerId>,
    /// Since the session began.
    pub counters: Counters,
    /// Microseconds that its threads were held stopped.
    pub stopped_us: u64,
    /// Runs, transactions, functions and blocks that its board had no place for.
    pub windows_lost: u64,
    /// The agent's CPU time for it, microseconds.
    pub agent_cpu_us: u64,
    /// Ticks.
    pub ticks: u64,
    /// Live threads.
    pub threads: usize,
    /// Chunks that were closed.
    pub chunks: u64,
}

impl Progress {
    /// Adds what a session came to.
    pub(super) fn add(&mut self, session: &Session) {
        self.ticks = self.ticks.max(session.ticks);
        self.counters.merge(&session.counters);
        self.stopped_us += session.stopped_us;
        // As large as a hostile board says.
        self.windows_lost = self.windows_lost.saturating_add(session.windows_lost);
        self.agent_cpu_us += session.agent_cpu_us;
    }

    /// Adds what the threads of a session that goes on do.
    pub(super) fn add_threads(&mut self, session: &Session) {
        let running = session.states.values().filter(|state| !state.is_blocked()).count();
        self.running += running;
        self.sleeping += session.states.len() - running;
    }
}

impl SessionProgress {
    /// Of a session of which so many chunks were closed.
    pub(super) fn of(session: &Session, chunks: u64) -> Self {
        Self {
            running: session.is_running().then_some(session.profiler_id),
            counters: session.counters.clone(),
            stopped_us: session.stopped_us,
            windows_lost: session.windows_lost,
            agent_cpu_us: session.agent_cpu_us,
            ticks: session.ticks,
            threads: session.states.len(),
            chunks,
        }
    }
}
