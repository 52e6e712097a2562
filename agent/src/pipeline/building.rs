//! Whose profile of a transaction is built next, and when: building takes up to some tens of milliseconds, in which events wait.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use sampler::{TargetId, sys::thread_cpu_ns};

use super::work::Open;
use crate::shelf::Shelf;

/// While profiles of transactions wait to be built, they are looked at this often, also when no event comes.
const BUILD_EVERY: Duration = Duration::from_millis(5);
/// Building them takes one part in so many of the thread's time: events wait meanwhile, and so do other processes' profiles.
const BUILD_SHARE: u32 = 4;

/// Whose profiles of transactions are to be built, in turn.
#[derive(Debug)]
pub(super) struct Turns {
    all: VecDeque<TargetId>,
    /// When the next one may be.
    pub at: Instant,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: VecDeque::new(), at: Instant::now() }
    }
}

impl Turns {
    /// A process has profiles to be built.
    pub(super) fn add(&mut self, id: TargetId) {
        if !self.all.contains(&id) {
            self.all.push_back(id);
        }
    }

    /// How many processes have.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How soon to look again; `None`: nobody waits.
    pub(super) fn look_again(&self) -> Option<Duration> {
        (!self.all.is_empty()).then_some(BUILD_EVERY)
    }

    /// Builds a profile of the process whose turn it is, if it is time for one.
    pub(super) fn build_one(&mut self, sessions: &mut BTreeMap<TargetId, Open>, shelf: &Shelf) {
        if !self.all.is_empty() {
            self.build_one_at(Instant::now(), sessions, shelf);
        }
    }

    pub(super) fn build_one_at(&mut self, now: Instant, sessions: &mut BTreeMap<TargetId, Open>, shelf: &Shelf) {
        for _ in 0..self.all.len() {
            if now < self.at {
                return;
            }
            let Some(id) = self.all.pop_front() else { return };
            let Some(open) = sessions.get_mut(&id) else { continue };
            if shelf.has_room(open.pid) {
                let cpu_ns = thread_cpu_ns();
                if let Some(built) = open.session.next_profile() {
                    shelf.put(open.pid, built);
                }
                let took = Duration::from_nanos(thread_cpu_ns().saturating_sub(cpu_ns));
                self.at = now + took * BUILD_SHARE;
            }
            if open.session.ready_count() > 0 {
                self.all.push_back(id);
            }
        }
    }
}
