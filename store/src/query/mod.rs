//! Questions about what is kept, answered exactly: whatever the number of profiles, none is left out but those that are
//! damaged, and those are named. All calls block.
//!
//! Time goes by the protocol: a sample lasts until the next one of its thread in the same profile; the last has no length.
//! What a window cuts is cut to the microsecond.

mod answer;
mod difference;
mod forest;
mod grow;
mod marks;
mod over_time;
mod quality;
mod read;
mod services;
mod slices;
#[cfg(test)]
mod tests;
mod threads;
mod transactions;

use std::sync::Arc;

use profile::received::{Received, Transaction};
use uuid::Uuid;

pub use self::answer::{
    Answer, Bucket, Covers, Cpu, CpuShape, Difference, DifferenceNode, DifferenceRow, FunctionRow, Heat, HeatCell,
    Interval, Lane, Series, Services, Share, Spans, ThreadRow, Timeline, TimelineThread, Trace, TransactionFilter,
    TransactionRow, TransactionTree, Transactions, TransactionsDifference, TransactionsTree,
};
pub use self::marks::MarkRow;
pub use self::quality::Quality;
use self::{forest::Forest, read::Unkept, threads::Threads};
use crate::{
    chunk_store::{ChunkStore, StoreError},
    item::{ByState, Hours, ProjectId, Selection, Window},
    live::Live,
    tree::{Shape, Tree},
};

/// Asks a store, and what is not kept yet.
#[derive(Clone, Debug)]
pub struct Queries {
    /// What is kept.
    pub store: Arc<dyn ChunkStore>,
    /// What is not kept yet.
    pub live: Option<Arc<dyn Live>>,
}

impl Queries {
    /// Which sessions, environments, releases and platforms have profiles in a window.
    pub fn services(&self, project: ProjectId, window: Window) -> Result<Answer<Services>, StoreError> {
        let selection = Selection::new(project, window);
        let live = Unkept::of(self, &selection)?;
        let mut sessions = self.store.sessions(&selection)?;
        let mut covers = Covers::default();
        for session in &sessions {
            covers.profiles = covers.profiles.saturating_add(session.profiles);
            covers.samples = covers.samples.saturating_add(session.samples);
        }
        for (piece, _) in live.pieces {
            covers.live += 1;
            services::add_piece(&mut sessions, &piece);
        }
        Ok(Answer { of: services::services(sessions), covers })
    }

    /// How far the profiles of a selection (threads and states do not count) may be trusted, as far as agents said it.
    pub fn quality(&self, selection: &Selection) -> Result<Answer<Quality>, StoreError> {
        let live = Unkept::of(self, selection)?;
        let (mut quality, mut covers) = (Quality::default(), Covers::default());
        for kept in self.store.profiles(selection)? {
            covers.profiles += 1;
            covers.samples = covers.samples.saturating_add(kept.samples);
            kept.head.agent.iter().for_each(|says| quality.add(says));
        }
        for (piece, _) in live.pieces {
            covers.live += 1;
            piece.head().agent.iter().for_each(|says| quality.add(says));
        }
        Ok(Answer { of: quality, covers })
    }

    /// Functions and blocks that processes noted, those with most time first.
    pub fn marks(&self, selection: &Selection) -> Result<Answer<Vec<MarkRow>>, StoreError> {
        let (of, covers) = marks::names(self, selection)?;
        Ok(Answer { of, covers })
    }

    /// Where the time went: all that is selected as one call tree.
    pub fn tree(&self, selection: &Selection, shape: Shape) -> Result<Answer<Tree>, StoreError> {
        let (forest, covers) = read::sums(self, selection, || Forest::shaped(shape))?;
        Ok(Answer { of: grow::shaped(&forest, shape), covers })
    }

    /// Time of each function, the largest own time first. In recursion a function counts once. With `lines` each line of a
    /// function is a row.
    pub fn functions(&self, selection: &Selection, lines: bool) -> Result<Answer<Vec<FunctionRow>>, StoreError> {
        let (forest, covers) = read::sums(self, selection, || Forest::new(lines))?;
        Ok(Answer { of: grow::functions(&forest), covers })
    }

    /// Threads with their time by state, those with most samples first.
    pub fn threads(&self, selection: &Selection) -> Result<Answer<Vec<ThreadRow>>, StoreError> {
        let (threads, covers) = read::sums(self, selection, Threads::default)?;
        Ok(Answer { of: threads.rows(), covers })
    }

    /// Who did what when, for a flame chart. With `lines` lines of a function are told apart.
    pub fn timeline(&self, selection: &Selection, lines: bool) -> Result<Answer<Timeline>, StoreError> {
        let (of, covers) = over_time::timeline(self, selection, lines)?;
        Ok(Answer { of, covers })
    }

    /// CPU usage over time, and measurements as sent.
    pub fn cpu(&self, selection: &Selection, shape: CpuShape) -> Result<Answer<Cpu>, StoreError> {
        let (of, covers) = over_time::cpu(self, selection, shape)?;
        Ok(Answer { of, covers })
    }

    /// What became more or less of the time from `a` to `b`, and whether that is more than noise. `covers` adds both up.
    pub fn difference(&self, a: &Selection, b: &Selection, lines: bool) -> Result<Answer<Difference>, StoreError> {
        let (before, mut covers) = read::sums(self, a, || Forest::new(lines))?;
        let (after, of_after) = read::sums(self, b, || Forest::new(lines))?;
        covers.add(of_after);
        Ok(Answer { of: difference::difference(&before, &after, lines), covers })
    }

    /// Profiled time by project, day and platform; of all projects if none is given.
    pub fn hours(&self, project: Option<ProjectId>, window: Window) -> Result<Vec<Hours>, StoreError> {
        self.store.hours(project, window)
    }

    /// Transactions that overlap a window, summed by name.
    pub fn transactions(&self, project: ProjectId, window: Window) -> Result<Vec<TransactionRow>, StoreError> {
        transactions::by_name(self, project, window)
    }

    /// Transactions that overlap a window, and which have a profile.
    pub fn transaction_list(
        &self,
        project: ProjectId,
        window: Window,
        filter: &TransactionFilter,
        many: usize,
    ) -> Result<Transactions, StoreError> {
        transactions::list(self, project, window, filter, many)
    }

    /// Of each of a project's transactions the time of its thread by state, and its samples; `None`: no profile says
    /// anything of it.
    pub fn transaction_states(
        &self,
        project: ProjectId,
        transactions: &[Transaction],
    ) -> Result<Vec<Option<(ByState, u64)>>, StoreError> {
        slices::states(self, project, transactions)
    }

    /// Durations of transactions by time, in so many columns (at least 1).
    pub fn transaction_heat(
        &self,
        project: ProjectId,
        window: Window,
        name: Option<&str>,
        columns: usize,
    ) -> Result<Heat, StoreError> {
        transactions::heat(self, project, window, name, columns)
    }

    /// One call tree of what many transactions did.
    pub fn transactions_tree(
        &self,
        project: ProjectId,
        window: Window,
        filter: &TransactionFilter,
        shape: Shape,
    ) -> Result<Answer<TransactionsTree>, StoreError> {
        transactions::merged(self, project, window, filter, shape)
    }

    /// What the slowest 5 % of a name's transactions do more than the middle half.
    pub fn transactions_difference(
        &self,
        project: ProjectId,
        window: Window,
        name: &str,
    ) -> Result<Answer<TransactionsDifference>, StoreError> {
        transactions::slowest(self, project, window, name)
    }

    /// Spans that overlap a window, of the transactions (of these sessions, if any are given) that do.
    pub fn spans(
        &self,
        project: ProjectId,
        window: Window,
        profilers: &[Uuid],
        many: usize,
    ) -> Result<Spans, StoreError> {
        transactions::spans(self, project, window, profilers, many)
    }

    /// A trace's spans and transactions.
    pub fn trace(&self, project: ProjectId, trace_id: Uuid) -> Result<Trace, StoreError> {
        transactions::trace(self, project, trace_id)
    }

    /// What a transaction did: its thread and span of time out of the chunks of its session, or the profile that came
    /// with it. `None`: no such transaction.
    pub fn transaction_tree(
        &self,
        project: ProjectId,
        event_id: Uuid,
        shape: Shape,
    ) -> Result<Option<Answer<TransactionTree>>, StoreError> {
        transactions::tree(self, project, event_id, shape)
    }

    /// Hands the profiles of a selection to `take`, whole (threads and states do not count), by start, until it says
    /// `false`.
    pub fn received(
        &self,
        selection: &Selection,
        take: &mut dyn FnMut(ProjectId, Received) -> bool,
    ) -> Result<Covers, StoreError> {
        services::received(self, selection, take)
    }
}
