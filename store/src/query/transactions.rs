//! Transactions, traces, and which of them have a profile.

use std::collections::BTreeMap;

use profile::received::Transaction;
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::{
    Answer, Covers, Heat, HeatCell, Queries, Spans, Trace, TransactionFilter, TransactionRow, TransactionTree,
    Transactions, TransactionsDifference, TransactionsTree,
    answer::DURATIONS,
    forest::Forest,
    grow,
    read::{self, Unkept},
    slices,
};
use crate::{
    chunk_store::{Grain, Part, StoreError},
    item::{ProjectId, Selection, Window},
    tree::{Shape, Tree},
};

/// The clock of a v1 profile and that of its transaction may differ by so much.
pub(super) const SLACK_US: u64 = 60_000_000;

/// Traces whose spans one answer has.
const TRACES_MAX: usize = 1000;

/// Spans that are read for one answer, but for the last trace's: most of a long trace may be outside the window.
const SPANS_READ_MAX: usize = 100_000;

/// What is profiled in a span of time.
struct Profiled {
    /// For each session, spans in order of their starts, and the longest of them.
    spans: FxHashMap<Uuid, (Vec<(u64, u64)>, u64)>,
    profiles: FxHashSet<Uuid>,
}

impl Profiled {
    /// Around these transactions.
    fn around(queries: &Queries, project: ProjectId, transactions: &[Transaction]) -> Result<Self, StoreError> {
        let mut profiled = Self { spans: FxHashMap::default(), profiles: FxHashSet::default() };
        let from_us = transactions.iter().map(|of| of.start_us).min().unwrap_or(0).saturating_sub(SLACK_US);
        let to_us = transactions.iter().map(|of| of.end_us).max().unwrap_or(0).saturating_add(SLACK_US);
        if transactions.is_empty() {
            return Ok(profiled);
        }
        let selection = Selection::new(project, Window { from_us, to_us });
        let mut add = |part: &Part| {
            let (spans, longest) = profiled.spans.entry(part.profiler_id).or_default();
            spans.push((part.start_us, part.end_us));
            *longest = (*longest).max(part.end_us.saturating_sub(part.start_us));
            profiled.profiles.extend(part.chunk_id);
        };
        let live = Unkept::of(queries, &selection)?;
        queries.store.plan(&selection, Grain::Profiles)?.iter().for_each(&mut add);
        live.pieces.iter().for_each(|(piece, _)| add(&piece.part));
        for (spans, _) in profiled.spans.values_mut() {
            spans.sort_unstable();
        }
        Ok(profiled)
    }

    fn has(&self, transaction: &Transaction) -> bool {
        let with_it = transaction.profile_id.is_some_and(|id| self.profiles.contains(&id));
        let overlaps = |(spans, longest): &(Vec<(u64, u64)>, u64)| {
            let first = spans.partition_point(|(start, _)| *start < transaction.start_us.saturating_sub(*longest));
            let near = spans.iter().skip(first).take_while(|(start, _)| *start < transaction.end_us);
            near.into_iter().any(|(_, end)| *end > transaction.start_us)
        };
        with_it || transaction.profiler_id.and_then(|id| self.spans.get(&id)).is_some_and(overlaps)
    }
}

/// Summed by name and operation, those that took most time first.
pub(super) fn by_name(
    queries: &Queries,
    project: ProjectId,
    window: Window,
) -> Result<Vec<TransactionRow>, StoreError> {
    let all = queries.store.transactions(project, window)?;
    let profiled = Profiled::around(queries, project, &all)?;
    let mut groups = BTreeMap::<(String, Option<String>), (TransactionRow, Vec<u64>)>::new();
    for transaction in &all {
        let key = (transaction.name.clone(), transaction.op.clone());
        let (row, durations) =
            groups.entry(key).or_insert_with_key(|(name, op)| (empty(name, op.as_deref()), Vec::new()));
        row.count += 1;
        row.with_profile += u64::from(profiled.has(transaction));
        row.failed += u64::from(has_failed(transaction));
        let duration = duration(transaction);
        if let Some(bucket) = row.spread.get_mut(bucket(duration)) {
            *bucket += 1;
        }
        durations.push(duration);
    }
    let mut rows: Vec<TransactionRow> =
        groups.into_values().map(|(row, durations)| with_quantiles(row, durations)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sum_us));
    Ok(rows)
}

fn duration(transaction: &Transaction) -> u64 {
    transaction.end_us.saturating_sub(transaction.start_us)
}

/// Four a decade, the first from 100 µs.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the logarithm of a u64 is below 20")]
pub(super) fn bucket(us: u64) -> usize {
    let quarter = (4.0 * (us.max(1) as f64).log10()).floor() as usize;
    quarter.saturating_sub(8).min(DURATIONS - 1)
}

/// The least duration of each bucket.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to the power of less than 8")]
fn bounds() -> Vec<u64> {
    (0..DURATIONS).map(|at| 10_f64.powf((at + 8) as f64 / 4.0).ceil() as u64).collect()
}

fn empty(name: &str, op: Option<&str>) -> TransactionRow {
    TransactionRow {
        name: name.to_owned(),
        op: op.map(str::to_owned),
        count: 0,
        with_profile: 0,
        failed: 0,
        p50_us: 0,
        p75_us: 0,
        p95_us: 0,
        p99_us: 0,
        sum_us: 0,
        spread: [0; DURATIONS],
    }
}

fn with_quantiles(row: TransactionRow, mut durations: Vec<u64>) -> TransactionRow {
    durations.sort_unstable();
    // Nearest rank: the least duration that so many percent do not exceed.
    let quantile = |percent: usize| {
        let rank = (durations.len() * percent).div_ceil(100);
        durations.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    TransactionRow {
        p50_us: quantile(50),
        p75_us: quantile(75),
        p95_us: quantile(95),
        p99_us: quantile(99),
        sum_us: durations.iter().fold(0, |sum: u64, duration| sum.saturating_add(*duration)),
        ..row
    }
}

/// Those that a filter takes, by start.
fn filtered(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    filter: &TransactionFilter,
) -> Result<Vec<Transaction>, StoreError> {
    let mut all = queries.store.transactions(project, window)?;
    let longest = filter.max_us.unwrap_or(u64::MAX);
    all.retain(|of| {
        filter.name.as_ref().is_none_or(|name| of.name == *name)
            && (filter.min_us..=longest).contains(&duration(of))
            && (!filter.started || of.start_us >= window.from_us)
    });
    if filter.profiled {
        let profiled = Profiled::around(queries, project, &all)?;
        all.retain(|of| profiled.has(of));
    }
    Ok(all)
}

/// As many as are asked for.
pub(super) fn list(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    filter: &TransactionFilter,
    many: usize,
) -> Result<Transactions, StoreError> {
    let mut all = filtered(queries, project, window, filter)?;
    all.reverse();
    if filter.slowest {
        all.sort_by_key(|of| std::cmp::Reverse(duration(of)));
    }
    let more = all.len() > many;
    all.truncate(many);
    let known = |of| (of, true);
    let transactions =
        if filter.profiled { all.into_iter().map(known).collect() } else { with_profiled(queries, project, all)? };
    Ok(Transactions { transactions, more })
}

/// Durations by time.
pub(super) fn heat(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    name: Option<&str>,
    columns: usize,
) -> Result<Heat, StoreError> {
    let filter = TransactionFilter { name: name.map(str::to_owned), ..TransactionFilter::default() };
    let all = filtered(queries, project, window, &filter)?;
    let profiled = Profiled::around(queries, project, &all)?;
    let column_us = window.to_us.saturating_sub(window.from_us).div_ceil(columns.max(1) as u64).max(1);
    let mut heat = Heat { column_us, rows: bounds(), ..Heat::default() };
    let mut cells = BTreeMap::<(usize, usize), HeatCell>::new();
    for of in &all {
        let column = usize::try_from(of.start_us.saturating_sub(window.from_us) / column_us).unwrap_or(usize::MAX);
        let row = bucket(duration(of));
        let cell = cells.entry((column, row)).or_insert(HeatCell { column, row, count: 0, failed: 0, profiled: 0 });
        let has = u64::from(profiled.has(of));
        cell.count += 1;
        cell.failed += u64::from(has_failed(of));
        cell.profiled += has;
        heat.count += 1;
        heat.profiled += has;
    }
    heat.cells = cells.into_values().collect();
    Ok(heat)
}

/// One tree of what many did.
pub(super) fn merged(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    filter: &TransactionFilter,
    shape: Shape,
) -> Result<Answer<TransactionsTree>, StoreError> {
    slices::tree(queries, project, filtered(queries, project, window, filter)?, shape)
}

/// What the slowest of a name do more than those in the middle.
pub(super) fn slowest(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    name: &str,
) -> Result<Answer<TransactionsDifference>, StoreError> {
    let filter = TransactionFilter { name: Some(name.to_owned()), ..TransactionFilter::default() };
    slices::difference(queries, project, filtered(queries, project, window, &filter)?)
}

/// Spans that overlap the window, of the traces whose transactions do; the newest traces if there are too many.
pub(super) fn spans(
    queries: &Queries,
    project: ProjectId,
    window: Window,
    profilers: &[Uuid],
    many: usize,
) -> Result<Spans, StoreError> {
    let mut traces = FxHashSet::default();
    let mut found = Spans::default();
    let mut read = 0_usize;
    let is_asked = |id: Option<Uuid>| profilers.is_empty() || id.is_some_and(|id| profilers.contains(&id));
    for transaction in queries.store.transactions(project, window)?.iter().rev() {
        if !is_asked(transaction.profiler_id) || !traces.insert(transaction.trace_id) {
            continue;
        }
        if traces.len() > TRACES_MAX || read >= SPANS_READ_MAX || found.spans.len() >= many {
            found.more = true;
            break;
        }
        let spans = queries.store.spans(project, transaction.trace_id)?;
        read = read.saturating_add(spans.len());
        found.spans.extend(spans.into_iter().filter(|span| {
            span.start_us < window.to_us
                && span.end_us >= window.from_us
                && is_asked(span.profiler_id.or(transaction.profiler_id))
        }));
    }
    found.more |= found.spans.len() > many;
    found.spans.truncate(many);
    found.spans.sort_by_key(|span| (span.start_us, span.span_id));
    Ok(found)
}

fn has_failed(transaction: &Transaction) -> bool {
    transaction.status.as_deref().is_some_and(|status| status != "ok")
}

fn with_profiled(
    queries: &Queries,
    project: ProjectId,
    all: Vec<Transaction>,
) -> Result<Vec<(Transaction, bool)>, StoreError> {
    let profiled = Profiled::around(queries, project, &all)?;
    Ok(all.into_iter().map(|of| (profiled.has(&of), of)).map(|(has, of)| (of, has)).collect())
}

/// A trace: its spans, and the transactions among which they are.
pub(super) fn trace(queries: &Queries, project: ProjectId, trace_id: Uuid) -> Result<Trace, StoreError> {
    let spans = queries.store.spans(project, trace_id)?;
    let from_us = spans.iter().map(|span| span.start_us).min().unwrap_or(0);
    let to_us = spans.iter().map(|span| span.end_us).max().unwrap_or(0).saturating_add(1);
    let mut all = queries.store.transactions(project, Window { from_us, to_us })?;
    all.retain(|transaction| transaction.trace_id == trace_id);
    Ok(Trace { spans, transactions: with_profiled(queries, project, all)? })
}

/// What a transaction did.
pub(super) fn tree(
    queries: &Queries,
    project: ProjectId,
    event_id: Uuid,
    shape: Shape,
) -> Result<Option<Answer<TransactionTree>>, StoreError> {
    let Some(transaction) = queries.store.transaction(project, event_id)? else { return Ok(None) };
    let answer = |transaction: Transaction, (tree, covers): (Tree, Covers)| {
        let of_its_thread = transaction.thread_id.is_some();
        Some(Answer { of: TransactionTree { transaction, tree, of_its_thread }, covers })
    };
    let window = Window { from_us: transaction.start_us, to_us: transaction.end_us };
    let mut selection = Selection::new(project, window);
    selection.threads = transaction.thread_id.iter().cloned().collect();
    if let Some(found) = with_its_profile(queries, &transaction, &selection, shape)? {
        return Ok(answer(transaction, found));
    }
    let Some(profiler_id) = transaction.profiler_id else { return Ok(answer(transaction, Default::default())) };
    selection.profilers = vec![profiler_id];
    let tree = queries.tree(&selection, shape)?;
    Ok(answer(transaction, (tree.of, tree.covers)))
}

/// Of the v1 profile that came with it, all of which is of the transaction.
fn with_its_profile(
    queries: &Queries,
    transaction: &Transaction,
    selection: &Selection,
    shape: Shape,
) -> Result<Option<(Tree, Covers)>, StoreError> {
    let Some(profile_id) = transaction.profile_id else { return Ok(None) };
    let around = Selection {
        from_us: selection.from_us.saturating_sub(SLACK_US),
        to_us: selection.to_us.saturating_add(SLACK_US),
        ..selection.clone()
    };
    let mut parts = queries.store.plan(&around, Grain::Profiles)?;
    parts.retain(|part| part.chunk_id == Some(profile_id));
    if parts.is_empty() {
        return Ok(None);
    }
    let all = Selection { from_us: 0, to_us: u64::MAX, ..around };
    let (forest, covers): (Forest, Covers) = read::sums_of(queries, &all, parts, || Forest::shaped(shape))?;
    Ok(Some((grow::shaped(&forest, shape), covers)))
}
