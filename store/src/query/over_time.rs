//! Questions that go through the samples of profiles one by one, in order of time: the timeline, and CPU usage.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::{
    Bucket, Covers, Cpu, CpuShape, Interval, Lane, Queries, Series, ThreadRow, Timeline, TimelineThread,
    forest::{Forest, function},
    read::{Filter, Unkept, each_profile, is_whole},
};
use crate::{
    chunk_store::{Grain, Part, StoreError, Want},
    encoding::{Plain, Stay, intervals},
    item::{Selection, StateClass, StateGroup, Window},
};

/// Intervals of one answer: 40 MB as JSON, ten minutes of ten busy threads. More is no picture.
const INTERVALS_MAX: usize = 1_000_000;
/// Buckets of one answer.
const BUCKETS_MAX: usize = 10_000;
/// Threads of one answer.
const LANES_MAX: usize = 100;
/// Values of the series of one answer.
const VALUES_MAX: usize = 1_000_000;

/// Hands the profiles of a selection to `take`, each with the windows of it that count, until it says that it is enough.
fn each(
    queries: &Queries,
    selection: &Selection,
    want: impl Fn(&Part) -> Want,
    mut take: impl FnMut(&Part, &Plain, &[Window]) -> bool,
) -> Result<Covers, StoreError> {
    let live = Unkept::of(queries, selection)?;
    let mut covers = Covers::default();
    let window = selection.window();
    let parts = queries.store.plan(selection, Grain::Profiles)?;
    for parts in parts.chunk_by(|a, b| want(a) == want(b)) {
        let Some(want) = parts.first().map(&want) else { continue };
        let whole = each_profile(queries, parts, want, &mut covers, |covers, part, plain| {
            covers.count(part);
            take(part, plain, &[window])
        })?;
        if !whole {
            return Ok(covers);
        }
    }
    for (piece, windows) in &live.pieces {
        covers.live += 1;
        if !take(&piece.part, &piece.plain, windows) {
            break;
        }
    }
    Ok(covers)
}

/// Who did what when.
pub(super) fn timeline(
    queries: &Queries,
    selection: &Selection,
    lines: bool,
) -> Result<(Timeline, Covers), StoreError> {
    let mut drawing = Drawing { forest: Forest::new(lines), ..Drawing::new() };
    let want = Want { symbols: true, timeline: true, ..Want::default() };
    let mut cut_at_us = None;
    let covers = each(
        queries,
        selection,
        |_| want,
        |part, plain, windows| {
            if drawing.intervals.len() > INTERVALS_MAX {
                // Later profiles begin here or later: what began before is complete.
                cut_at_us = Some(part.start_us);
                return false;
            }
            drawing.add(part, plain, windows, selection);
            true
        },
    )?;
    Ok((drawing.finish(cut_at_us), covers))
}

struct Drawing {
    forest: Forest,
    threads: Vec<TimelineThread>,
    by_id: FxHashMap<(Uuid, String), u32>,
    /// The last interval of each thread.
    last: FxHashMap<u32, usize>,
    /// Their stacks are nodes of the forest.
    intervals: Vec<Interval>,
}

impl Drawing {
    fn new() -> Self {
        Self {
            forest: Forest::new(false),
            threads: Vec::new(),
            by_id: FxHashMap::default(),
            last: FxHashMap::default(),
            intervals: Vec::new(),
        }
    }

    fn add(&mut self, part: &Part, plain: &Plain, windows: &[Window], selection: &Selection) {
        let nodes = self.forest.map(&plain.symbols, &part.platform);
        let filter = Filter::new(selection, &plain.symbols);
        let classes = Plain::classes(&plain.symbols);
        for (at, samples) in (0_u32..).zip(&plain.timeline.threads) {
            let mut thread = None;
            for stay in intervals(samples, &classes) {
                if !filter.takes(at, stay.class) {
                    continue;
                }
                for window in windows {
                    let (start_us, end_us) = (stay.start_us.max(window.from_us), stay.end_us.min(window.to_us));
                    if start_us < end_us {
                        let thread = *thread.get_or_insert_with(|| self.thread(part, plain, at));
                        let stack = nodes.get(stay.node as usize).copied().unwrap_or(0);
                        self.push(Interval { thread, stack, start_us, end_us, state: stay.class });
                    }
                }
            }
        }
    }

    fn thread(&mut self, part: &Part, plain: &Plain, at: u32) -> u32 {
        let (texts, thread) = (&plain.symbols.texts, plain.symbols.threads.get(at as usize));
        let id = thread.and_then(|thread| texts.get(thread.id)).unwrap_or_default().to_owned();
        let name = thread.and_then(|thread| texts.get(thread.name)).map(str::to_owned);
        let index = *self.by_id.entry((part.profiler_id, id.clone())).or_insert_with(|| {
            self.threads.push(TimelineThread { profiler_id: part.profiler_id, id, name: None });
            u32::try_from(self.threads.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(known) = self.threads.get_mut(index as usize).filter(|_| name.is_some()) {
            known.name = name;
        }
        index
    }

    /// What goes on without a change is one interval.
    fn push(&mut self, next: Interval) {
        let last = self.last.get(&next.thread).and_then(|at| self.intervals.get_mut(*at));
        match last {
            Some(last) if last.end_us == next.start_us && last.stack == next.stack && last.state == next.state => {
                last.end_us = next.end_us;
            }
            _ => {
                self.last.insert(next.thread, self.intervals.len());
                self.intervals.push(next);
            }
        }
    }

    fn finish(mut self, mut cut_at_us: Option<u64>) -> Timeline {
        self.intervals.sort_by_key(|interval| (interval.start_us, interval.thread));
        if let Some(first_left_out) = self.intervals.get(INTERVALS_MAX) {
            cut_at_us = Some(cut_at_us.map_or(first_left_out.start_us, |cut| cut.min(first_left_out.start_us)));
        }
        if let Some(cut) = cut_at_us {
            self.intervals.retain(|interval| interval.start_us < cut);
        }
        let stacks = self.stacks();
        let symbols = self.forest.symbols();
        let functions = symbols.frames.iter().map(|frame| function(frame, symbols)).collect();
        Timeline { functions, stacks, threads: self.threads, intervals: self.intervals, cut_at_us }
    }

    /// Makes stacks, root first, of the nodes that intervals have.
    fn stacks(&mut self) -> Vec<Vec<u32>> {
        let mut stacks = Vec::new();
        let mut known = FxHashMap::<u32, u32>::default();
        let nodes = self.forest.nodes();
        for interval in &mut self.intervals {
            interval.stack = *known.entry(interval.stack).or_insert_with_key(|node| {
                let mut stack = Vec::new();
                let mut at = *node;
                while let Some(node) = (at as usize).checked_sub(1).and_then(|at| nodes.get(at)) {
                    stack.push(node.frame);
                    at = node.parent;
                }
                stack.reverse();
                stacks.push(stack);
                u32::try_from(stacks.len() - 1).unwrap_or(u32::MAX)
            });
        }
        stacks
    }
}

/// CPU usage over time.
pub(super) fn cpu(queries: &Queries, selection: &Selection, shape: CpuShape) -> Result<(Cpu, Covers), StoreError> {
    let window = selection.window();
    let mut usage = Usage::new(window, shape.buckets.clamp(1, BUCKETS_MAX));
    if shape.threads {
        usage.lanes = Some(Lanes::of(queries.threads(selection)?.of, usage.grid.count));
    }
    let first = usage.clone_grid();
    let is_in_one = |part: &Part| is_whole(part, window) && first.index(part.start_us) == first.index(part.end_us);
    let want = |part: &Part| {
        let sums = is_in_one(part);
        Want { symbols: true, aggregate: sums, timeline: !sums, measurements: shape.series }
    };
    let covers = each(queries, selection, want, |part, plain, windows| {
        if shape.series {
            usage.series(part, plain, windows);
        }
        let filter = Filter::new(selection, &plain.symbols);
        if plain.timeline.threads.is_empty() {
            for row in plain.aggregate.rows.iter().filter(|row| filter.takes(row.thread, row.class)) {
                usage.enter(part, plain, row.thread);
                usage.add(part.start_us, row.class, row.us);
            }
            return true;
        }
        let classes = Plain::classes(&plain.symbols);
        for (at, samples) in (0_u32..).zip(&plain.timeline.threads) {
            usage.enter(part, plain, at);
            for stay in intervals(samples, &classes).filter(|stay| filter.takes(at, stay.class)) {
                windows.iter().for_each(|window| usage.spread(&stay, *window));
            }
        }
        true
    })?;
    Ok((usage.finish(), covers))
}

/// Where buckets begin and end.
#[derive(Clone, Copy)]
struct Grid {
    from_us: u64,
    bucket_us: u64,
    count: usize,
}

impl Grid {
    fn index(&self, at_us: u64) -> usize {
        let index = at_us.saturating_sub(self.from_us) / self.bucket_us;
        usize::try_from(index).unwrap_or(usize::MAX).min(self.count.saturating_sub(1))
    }
}

/// The threads that did most, each with its time by bucket.
struct Lanes {
    lanes: Vec<Lane>,
    by_id: FxHashMap<(Uuid, String), usize>,
    /// Whose time comes; `None`: of one that is left out.
    now: Option<usize>,
}

impl Lanes {
    fn of(mut threads: Vec<ThreadRow>, buckets: usize) -> Self {
        let busy = |row: &ThreadRow| -> u64 {
            let counts = |class: StateClass| matches!(class.group(), StateGroup::OnCpu | StateGroup::Unknown);
            let all: u64 = row.states_us.iter().filter(|(class, _)| counts(**class)).map(|(_, us)| us).sum();
            // Without states nobody knows who ran, but a thread without a stack did not.
            if row.states_us.keys().all(|class| *class == StateClass::Unknown) {
                all.saturating_sub(row.idle_us)
            } else {
                all
            }
        };
        threads.sort_by_cached_key(|row| std::cmp::Reverse(busy(row)));
        threads.truncate(LANES_MAX);
        let lane = |ThreadRow { profiler_id, id, name, .. }| {
            let none = vec![0; buckets];
            Lane { profiler_id, id, name, on_cpu_us: none.clone(), unknown_us: none.clone(), other_us: none }
        };
        let lanes: Vec<Lane> = threads.into_iter().map(lane).collect();
        let by_id = lanes.iter().enumerate().map(|(at, lane)| ((lane.profiler_id, lane.id.clone()), at)).collect();
        Self { lanes, by_id, now: None }
    }

    fn add(&mut self, bucket: usize, class: StateClass, us: u64) {
        let Some(lane) = self.now.and_then(|now| self.lanes.get_mut(now)) else { return };
        let column = match class.group() {
            StateGroup::OnCpu => &mut lane.on_cpu_us,
            StateGroup::Unknown => &mut lane.unknown_us,
            StateGroup::Runnable | StateGroup::Lock | StateGroup::Sleeping => &mut lane.other_us,
        };
        if let Some(sum) = column.get_mut(bucket) {
            *sum = sum.saturating_add(us);
        }
    }
}

struct Usage {
    grid: Grid,
    lanes: Option<Lanes>,
    buckets: Vec<Bucket>,
    series: BTreeMap<(Uuid, String), Series>,
    values: usize,
}

impl Usage {
    fn new(window: Window, buckets: usize) -> Self {
        let length = window.to_us.saturating_sub(window.from_us).max(1);
        let bucket_us = length.div_ceil(buckets as u64).max(1);
        let count = usize::try_from(length.div_ceil(bucket_us)).unwrap_or(buckets);
        let start = |at: u64| Bucket { start_us: window.from_us.saturating_add(at * bucket_us), ..Bucket::default() };
        Self {
            grid: Grid { from_us: window.from_us, bucket_us, count },
            lanes: None,
            buckets: (0..count as u64).map(start).collect(),
            series: BTreeMap::new(),
            values: 0,
        }
    }

    fn clone_grid(&self) -> Grid {
        self.grid
    }

    /// What is added from now on is of this thread.
    fn enter(&mut self, part: &Part, plain: &Plain, thread: u32) {
        let Some(lanes) = &mut self.lanes else { return };
        let id = plain.symbols.threads.get(thread as usize).and_then(|thread| plain.symbols.texts.get(thread.id));
        lanes.now = id.and_then(|id| lanes.by_id.get(&(part.profiler_id, id.to_owned())).copied());
    }

    fn add(&mut self, at_us: u64, class: StateClass, us: u64) {
        let at = self.grid.index(at_us);
        if let Some(lanes) = &mut self.lanes {
            lanes.add(at, class, us);
        }
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let sum = match class.group() {
            StateGroup::OnCpu => &mut bucket.on_cpu_us,
            StateGroup::Runnable => &mut bucket.runnable_us,
            StateGroup::Lock | StateGroup::Sleeping => &mut bucket.sleeping_us,
            StateGroup::Unknown => &mut bucket.unknown_us,
        };
        *sum = sum.saturating_add(us);
    }

    /// Over the buckets that it is in: at most all of them.
    fn spread(&mut self, stay: &Stay, window: Window) {
        let (mut at, end) = (stay.start_us.max(window.from_us), stay.end_us.min(window.to_us));
        while at < end {
            let next = (self.grid.index(at) as u64 + 1) * self.grid.bucket_us + self.grid.from_us;
            // The last bucket takes what division left over.
            let to = if next > at { next.min(end) } else { end };
            self.add(at, stay.class, to - at);
            at = to;
        }
    }

    fn series(&mut self, part: &Part, plain: &Plain, windows: &[Window]) {
        for (name, measurement) in &plain.measurements {
            let series = self.series.entry((part.profiler_id, name.clone())).or_insert_with(|| Series {
                profiler_id: part.profiler_id,
                name: name.clone(),
                unit: measurement.unit.clone(),
                values: Vec::new(),
            });
            let is_in = |at: u64| windows.iter().any(|window| window.from_us <= at && at < window.to_us);
            let left = VALUES_MAX.saturating_sub(self.values);
            let before = series.values.len();
            series.values.extend(measurement.values.iter().filter(|(at, _)| is_in(*at)).take(left));
            self.values += series.values.len() - before;
        }
    }

    fn finish(self) -> Cpu {
        let mut series: Vec<Series> = self.series.into_values().filter(|series| !series.values.is_empty()).collect();
        for series in &mut series {
            series.values.sort_by_key(|(at, _)| *at);
        }
        let threads = self.lanes.map(|lanes| lanes.lanes);
        Cpu { bucket_us: self.grid.bucket_us, buckets: self.buckets, series, threads }
    }
}
