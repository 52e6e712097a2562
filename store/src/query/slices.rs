//! What profiles say of transactions: of each the time of its thread between its start and its end.

use profile::received::Transaction;
use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::{
    Answer, Covers, Queries, TransactionsDifference, TransactionsTree, difference,
    forest::Forest,
    grow,
    read::{Sink, Unkept, each_profile},
    transactions::SLACK_US,
};
use crate::{
    chunk_store::{Grain, Part, StoreError, Want},
    encoding::{Plain, aggregate::Row},
    item::{ByState, ProjectId, Selection, Window},
    tree::Shape,
};

/// Slices of one answer: of more transactions, as many are taken evenly out of all of them.
const SLICES_MAX: usize = 1000;
/// Samples that are looked at for one answer, each for each transaction that it may be of: some seconds of work. What is not looked
/// at then is not in the answer, and not counted in it.
const SAMPLES_MAX: u64 = 30_000_000;
/// The slowest ones: of a hundred so many.
const SLOWEST_PERCENT: usize = 5;

/// Hands what is known of each of `transactions`, by its index, to `take`; a transaction over two profiles comes twice.
pub(super) fn each(
    queries: &Queries,
    project: ProjectId,
    transactions: &[Transaction],
    mut take: impl FnMut(usize, &Part, &Plain, &[Row]),
) -> Result<Covers, StoreError> {
    let mut covers = Covers::default();
    let (Some(from_us), Some(to_us)) =
        (transactions.iter().map(|of| of.start_us).min(), transactions.iter().map(|of| of.end_us).max())
    else {
        return Ok(covers);
    };
    let window = Window { from_us: from_us.saturating_sub(SLACK_US), to_us: to_us.saturating_add(SLACK_US) };
    let selection = Selection::new(project, window);
    let live = Unkept::of(queries, &selection)?;
    let mut parts = queries.store.plan(&selection, Grain::Profiles)?;
    let own: FxHashSet<Uuid> = transactions.iter().filter_map(|of| of.profile_id).collect();
    let profilers: FxHashSet<Uuid> = transactions.iter().filter_map(|of| of.profiler_id).collect();
    parts.retain(|part| {
        part.chunk_id.is_some_and(|id| own.contains(&id))
            || profilers.contains(&part.profiler_id) && transactions.iter().any(|of| is_in(of, part))
    });
    let want = Want { symbols: true, timeline: true, ..Want::default() };
    let mut samples = 0_u64;
    let whole = each_profile(queries, &parts, want, &mut covers, |covers, part, plain| {
        if samples >= SAMPLES_MAX {
            return false;
        }
        covers.count(part);
        samples = samples.saturating_add(of_part(part, plain, transactions, None, &mut take));
        true
    })?;
    if !whole {
        return Ok(covers);
    }
    for (piece, windows) in &live.pieces {
        covers.live += 1;
        for window in windows {
            of_part(&piece.part, &piece.plain, transactions, Some(*window), &mut take);
        }
    }
    Ok(covers)
}

fn is_in(transaction: &Transaction, part: &Part) -> bool {
    transaction.profiler_id == Some(part.profiler_id)
        && transaction.start_us < part.end_us
        && transaction.end_us > part.start_us
}

/// `within`: only that much of the part counts. How many samples that took.
fn of_part(
    part: &Part,
    plain: &Plain,
    transactions: &[Transaction],
    within: Option<Window>,
    take: &mut impl FnMut(usize, &Part, &Plain, &[Row]),
) -> u64 {
    let (threads, mut samples) = (plain.threads(), 0_u64);
    for (at, transaction) in transactions.iter().enumerate() {
        let with_it = transaction.profile_id.is_some() && transaction.profile_id == part.chunk_id;
        if !with_it && !is_in(transaction, part) {
            continue;
        }
        // Of a profile that came with its transaction, all is of it: their clocks may differ.
        let (from_us, to_us) = if with_it { (0, u64::MAX) } else { (transaction.start_us, transaction.end_us) };
        let within = within.unwrap_or(Window { from_us: 0, to_us: u64::MAX });
        let window = Window { from_us: from_us.max(within.from_us), to_us: to_us.min(within.to_us) };
        let Some(thread) = transaction.thread_id.as_deref().and_then(|id| threads.get(id)) else { continue };
        let rows = plain.sums_of(*thread, window);
        samples =
            samples.saturating_add(plain.timeline.threads.get(*thread as usize).map_or(0, |of| of.at_us.len() as u64));
        if !rows.is_empty() {
            take(at, part, plain, &rows);
        }
    }
    samples
}

/// The time of each of `transactions` by state, and its samples; `None`: no profile says anything of it.
pub(super) fn states(
    queries: &Queries,
    project: ProjectId,
    transactions: &[Transaction],
) -> Result<Vec<Option<(ByState, u64)>>, StoreError> {
    let mut states = vec![None; transactions.len()];
    each(queries, project, transactions, |at, _, _, rows| {
        let Some(known) = states.get_mut(at) else { return };
        let (sum, samples) = known.get_or_insert((ByState::default(), 0_u64));
        for row in rows {
            sum.add(row.class.group(), row.us);
            *samples = samples.saturating_add(row.samples);
        }
    })?;
    Ok(states)
}

/// One tree of what all of `transactions` did.
pub(super) fn tree(
    queries: &Queries,
    project: ProjectId,
    transactions: Vec<Transaction>,
    shape: Shape,
) -> Result<Answer<TransactionsTree>, StoreError> {
    let transactions = evenly(transactions);
    let mut forest = Forest::shaped(shape);
    let mut seen = FxHashSet::default();
    let covers = each(queries, project, &transactions, |at, part, plain, rows| {
        seen.insert(at);
        forest.take(part, &plain.symbols, rows);
    })?;
    let of = TransactionsTree { transactions: seen.len(), tree: grow::shaped(&forest, shape) };
    Ok(Answer { of, covers })
}

/// What the slowest do more than the middle half.
pub(super) fn difference(
    queries: &Queries,
    project: ProjectId,
    mut transactions: Vec<Transaction>,
) -> Result<Answer<TransactionsDifference>, StoreError> {
    transactions.sort_by_key(|of| of.end_us.saturating_sub(of.start_us));
    let many = transactions.len();
    let slowest = transactions.split_off(many - (many * SLOWEST_PERCENT).div_ceil(100));
    let middle = transactions.get(many / 4..(many * 3 / 4).min(transactions.len())).unwrap_or_default().to_vec();
    let of = |transactions: Vec<Transaction>| {
        let transactions = evenly(transactions);
        let (mut forest, mut seen) = (Forest::new(false), FxHashSet::default());
        let covers = each(queries, project, &transactions, |at, part, plain, rows| {
            seen.insert(at);
            forest.take(part, &plain.symbols, rows);
        })?;
        Ok::<_, StoreError>((forest, seen.len(), covers))
    };
    let ((a, base_transactions, mut covers), (b, transactions, of_b)) = (of(middle)?, of(slowest)?);
    covers.add(of_b);
    let of =
        TransactionsDifference { base_transactions, transactions, difference: difference::difference(&a, &b, false) };
    Ok(Answer { of, covers })
}

/// As many as are answered for, evenly out of all.
fn evenly(transactions: Vec<Transaction>) -> Vec<Transaction> {
    let many = transactions.len();
    if many <= SLICES_MAX {
        return transactions;
    }
    let takes = |at: usize| at * SLICES_MAX / many != (at + 1) * SLICES_MAX / many;
    transactions.into_iter().enumerate().filter(|(at, _)| takes(*at)).map(|(_, of)| of).collect()
}
