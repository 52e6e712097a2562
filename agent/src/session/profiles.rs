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
/// Profiles that wait to be built, at most: as many transactions wait in a client.
const READY_MAX: usize = 256;

/// Transactions that go on, and those that have ended and whose profiles are to be built.
#[derive(Debug, Default)]
pub struct Profiles {
    transactions: Transactions,
    /// The oldest first.
    ready: VecDeque<Ready>,
}

/// A transaction that has ended, and whose profile is to be built.
#[derive(Debug)]
struct Ready {
    of: Transaction,
    since: Instant,
}

/// What is to be done with the profile that waited longest.
#[derive(Debug)]
pub(super) enum Next {
    /// It is to be built, with names that come within that time.
    Build(Transaction, Duration),
    /// Its process does not wait for it any more.
    Late(Uuid),
}

impl Profiles {
    /// The board is another, as was seen at `at_ns`: the profiles that there will not be.
    pub(super) fn noted(&mut self, board: &Board, at_ns: u64) -> Vec<(Uuid, Dropped)> {
        let ended = self.transactions.noted(board, at_ns);
        let mut dropped: Vec<_> = ended.lost.into_iter().map(|id| (id, Dropped::TooLong)).collect();
        for of in ended.kept {
            self.ready.push_back(Ready { of, since: Instant::now() });
            let over = if self.ready.len() > READY_MAX { self.ready.pop_front() } else { None };
            dropped.extend(over.map(|ready| (ready.of.id, Dropped::Late)));
        }
        dropped
    }

    /// How many are to be built.
    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Takes the profile that waited longest.
    pub(super) fn next(&mut self) -> Option<Next> {
        let Ready { of, since } = self.ready.pop_front()?;
        let waited = since.elapsed();
        // Of many that ended together only the first waits.
        let wait = NAMES_WAIT.saturating_sub(waited);
        Some(if waited >= CLIENT_WAITS { Next::Late(of.id) } else { Next::Build(of, wait) })
    }

    /// A tick at `at_ns`. Whether from now on no transaction needs samples, as all have lasted for as long as a profile may.
    pub(super) fn overdue(&mut self, at_ns: u64) -> bool {
        self.transactions.overdue(at_ns) && self.transactions.is_idle()
    }

    /// Since when samples are needed or kept.
    pub(super) fn kept_from_ns(&self) -> Option<u64> {
        self.ready.iter().map(|ready| ready.of.start_ns).chain(self.transactions.first_start_ns()).min()
    }

    /// Forgets those that last longer than a profile may: what is kept for them has become too much.
    pub(super) fn lose_cut(&mut self) {
        self.transactions.lose_cut();
    }

    /// As if those that are to be built had been for so long.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.ready.iter_mut().for_each(|ready| ready.since -= by);
    }
}
