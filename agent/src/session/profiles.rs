//! The transactions of a session whose profiles are asked for: since when their samples are needed, and which profile is to be
//! built next. Builds none.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use profile::board::Board;
use uuid::Uuid;

use super::transactions::{Transaction, Transactions};
use crate::shelf::{CLIENT_WAITS, Dropped};

/// How long after a transaction's end its profile may wait for names: its process waits for it for 2 s.
const NAMES_WAIT: Duration = Duration::from_millis(800);
/// Profiles that wait to be built, at most: as many transactions wait in a client. And so many of those that go on.
const READY_MAX: usize = 256;

/// Transactions that go on, and those whose profiles are to be built.
#[derive(Debug, Default)]
pub struct Profiles {
    transactions: Transactions,
    /// Of those that have ended, the oldest first, and since when.
    ready: VecDeque<(Transaction, Instant)>,
    /// Of those that go on for long, the oldest first.
    long: VecDeque<Transaction>,
}

/// What a board told.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The profiles that there will not be.
    pub dropped: Vec<(Uuid, Dropped)>,
    /// Those that were built while their transaction went on: now it has ended.
    pub ended: Vec<Uuid>,
}

/// What is to be done with a profile.
#[derive(Debug)]
pub(super) enum Next {
    /// It is to be built, with names that come within that time.
    Build(Transaction, Duration),
    /// And its transaction goes on: nobody waits for it.
    BuildAhead(Transaction),
    /// Its process does not wait for it any more.
    Late(Uuid),
}

impl Profiles {
    /// The board is another, as was seen at `at_ns`.
    pub(super) fn noted(&mut self, board: &Board, at_ns: u64) -> Noted {
        let mut noted = Noted::default();
        let ended = self.transactions.noted(board, at_ns);
        let mut ready = ended.kept;
        for id in ended.long {
            match self.long.iter().position(|of| of.id == id).and_then(|at| self.long.remove(at)) {
                Some(of) => ready.push(of),
                None => noted.ended.push(id),
            }
        }
        for of in ready {
            self.ready.push_back((of, Instant::now()));
            let over = if self.ready.len() > READY_MAX { self.ready.pop_front() } else { None };
            noted.dropped.extend(over.map(|(of, _)| (of.id, Dropped::Late)));
        }
        noted
    }

    /// How many are to be built.
    pub(super) fn ready_count(&self) -> usize {
        self.ready.len() + self.long.len()
    }

    /// Takes the profile that waited longest; those that nobody waits for come last.
    pub(super) fn next(&mut self) -> Option<Next> {
        let Some((of, since)) = self.ready.pop_front() else { return self.long.pop_front().map(Next::BuildAhead) };
        let waited = since.elapsed();
        // Of many that ended together only the first waits.
        let wait = NAMES_WAIT.saturating_sub(waited);
        Some(if waited >= CLIENT_WAITS { Next::Late(of.id) } else { Next::Build(of, wait) })
    }

    /// A tick at `at_ns`. Whether from now on no transaction needs samples, as all have lasted for as long as a profile may.
    pub(super) fn overdue(&mut self, at_ns: u64) -> bool {
        self.transactions.overdue(at_ns) && self.transactions.is_idle()
    }

    /// Of those that go on for much longer the profile is built now; `all`: of all that need no more samples. Gives those for
    /// which there is no place.
    pub(super) fn build_long(&mut self, at_ns: u64, all: bool) -> Vec<Uuid> {
        self.long.extend(self.transactions.long(at_ns, all));
        self.long.drain(READY_MAX.min(self.long.len())..).map(|of| of.id).collect()
    }

    /// Gives up the profiles that nobody waits for yet: what is kept for them has become too much.
    pub(super) fn lose_long(&mut self) -> Vec<Uuid> {
        self.long.drain(..).map(|of| of.id).collect()
    }

    /// Since when samples are needed or kept.
    pub(super) fn kept_from_ns(&self) -> Option<u64> {
        let waiting = self.ready.iter().map(|(of, _)| of).chain(&self.long);
        waiting.map(|of| of.start_ns).chain(self.transactions.first_start_ns()).min()
    }

    /// As if those that are to be built had been for so long.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.ready.iter_mut().for_each(|(_, since)| *since -= by);
    }
}
