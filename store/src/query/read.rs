//! Reads the parts of a question and hands sums to a sink: from the aggregate where the window holds a part whole, from
//! the timeline where it cuts it. Knows nothing of what is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::{Covers, Queries, marks};
use crate::{
    chunk_store::{Damage, Grain, Part, Sections, StoreError, Want},
    encoding::{Plain, Symbols, aggregate::Row},
    item::{Selection, StateClass, Window},
    live::Piece,
};

/// Parts of one fetch: enough that a database is asked seldom, few enough that they are small in memory.
const FETCH: usize = 16;
/// A thread is worth its start, and the merge at the end, from so many parts on.
const PARTS_A_THREAD: usize = 8;
/// More threads would take the machine from those who are profiled.
const THREADS_MAX: usize = 4;

/// Reads parts that are profiles, `want` of each, and hands them to `take` until it says `false`; names those that are damaged.
/// Whether it went to the end.
pub(super) fn each_profile(
    queries: &Queries,
    parts: &[Part],
    want: Want,
    covers: &mut Covers,
    mut take: impl FnMut(&mut Covers, &Part, &Plain) -> bool,
) -> Result<bool, StoreError> {
    for parts in parts.chunks(FETCH) {
        for (part, sections) in parts.iter().zip(queries.store.fetch(parts, want)?) {
            let decode = |sections| Plain::decode(&sections).map_err(|broken| Damage::of(part, broken.to_string()));
            match sections.and_then(decode) {
                Ok(plain) if !take(covers, part, &plain) => return Ok(false),
                Ok(_) => {}
                Err(damage) => covers.damaged.push(damage),
            }
        }
    }
    Ok(true)
}

/// Takes sums.
pub(super) trait Sink: Send {
    /// Those of a part. Rows are of the threads and states that are asked for.
    fn take(&mut self, part: &Part, symbols: &Symbols, rows: &[Row]);
    /// Those that another has taken.
    fn join(&mut self, other: Self);
}

/// Everything that is selected into one sink.
pub(super) fn sums<S: Sink>(
    queries: &Queries,
    selection: &Selection,
    new: impl Fn() -> S + Sync,
) -> Result<(S, Covers), StoreError> {
    if !selection.marks.is_empty() {
        return marks::sums(queries, selection, new);
    }
    // Before the plan: what is kept in between is then seen twice and left out here, rather than missed in both.
    let live = Unkept::of(queries, selection)?;
    let parts = queries.store.plan(selection, Grain::Blocks)?;
    let (mut sink, mut covers) = sums_of(queries, selection, parts, new)?;
    live.sums(selection, &mut sink, &mut covers);
    Ok((sink, covers))
}

/// The parts, as far as they are selected, into one sink.
pub(super) fn sums_of<S: Sink>(
    queries: &Queries,
    selection: &Selection,
    mut parts: Vec<Part>,
    new: impl Fn() -> S + Sync,
) -> Result<(S, Covers), StoreError> {
    let window = selection.window();
    parts.sort_by_key(|part| !is_whole(part, window));
    let jobs: Vec<&[Part]> =
        parts.chunk_by(|a, b| is_whole(a, window) == is_whole(b, window)).flat_map(|same| same.chunks(FETCH)).collect();
    let jobs = Mutex::new(jobs.into_iter());
    let work = || {
        let mut worker = Worker { queries, selection, sink: new(), covers: Covers::default() };
        loop {
            // The lock is not held while the job is done.
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = job else { return Ok(worker) };
            worker.job(job)?;
        }
    };
    let threads = (parts.len() / PARTS_A_THREAD).clamp(1, THREADS_MAX.min(cores()));
    let mut workers = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let first: Result<Worker<'_, S>, StoreError> = work();
        let joined = others.into_iter().map(|other| other.join().unwrap_or(Err(StoreError::Closed)));
        std::iter::once(first).chain(joined).collect::<Result<Vec<_>, _>>()
    })?
    .into_iter();
    let Some(Worker { mut sink, mut covers, .. }) = workers.next() else { return Err(StoreError::Closed) };
    for other in workers {
        sink.join(other.sink);
        covers.add(other.covers);
    }
    covers.damaged.sort_by_key(|damage| damage.start_us);
    Ok((sink, covers))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether a window holds all of a part. Its last sample has no length, but it must not be the window's end: a sample
/// counts where it begins.
pub(super) fn is_whole(part: &Part, window: Window) -> bool {
    window.from_us <= part.start_us && part.end_us < window.to_us
}

struct Worker<'q, S> {
    queries: &'q Queries,
    selection: &'q Selection,
    sink: S,
    covers: Covers,
}

impl<S: Sink> Worker<'_, S> {
    fn job(&mut self, parts: &[Part]) -> Result<(), StoreError> {
        let whole = parts.first().is_some_and(|part| is_whole(part, self.selection.window()));
        let want = Want { symbols: true, aggregate: whole, timeline: !whole, measurements: false };
        let fetched = self.queries.store.fetch(parts, want)?;
        for (part, sections) in parts.iter().zip(fetched) {
            let Err(damage) = sections.and_then(|sections| self.take(part, &sections)) else { continue };
            // A block is a copy: what it stands for is still there.
            let inside = if part.chunk_id.is_none() { self.queries.store.inside(part)? } else { Vec::new() };
            if inside.is_empty() {
                self.covers.damaged.push(damage);
            } else {
                inside.chunks(FETCH).try_for_each(|parts| self.job(parts))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, part: &Part, sections: &Sections) -> Result<(), Damage> {
        let plain = Plain::decode(sections).map_err(|broken| Damage::of(part, broken.to_string()))?;
        take(&mut self.sink, part, &plain, is_whole(part, self.selection.window()), self.selection);
        self.covers.count(part);
        Ok(())
    }
}

fn take<S: Sink>(sink: &mut S, part: &Part, plain: &Plain, whole: bool, selection: &Selection) {
    let rows = if whole { &plain.aggregate } else { &plain.sums_within(selection.window()) };
    let filter = Filter::new(selection, &plain.symbols);
    if filter.takes_all {
        sink.take(part, &plain.symbols, &rows.rows);
    } else {
        let rows: Vec<Row> = rows.rows.iter().filter(|row| filter.takes(row.thread, row.class)).copied().collect();
        sink.take(part, &plain.symbols, &rows);
    }
}

/// Which threads and states of a profile are asked for.
pub(super) struct Filter {
    takes_all: bool,
    threads: Vec<bool>,
    states: crate::item::States,
}

impl Filter {
    pub(super) fn new(selection: &Selection, symbols: &Symbols) -> Self {
        let is_asked = |id: Option<&str>| {
            selection.threads.is_empty() || selection.threads.iter().any(|asked| Some(asked.as_str()) == id)
        };
        Self {
            takes_all: selection.threads.is_empty() && selection.states == crate::item::States::All,
            threads: symbols.threads.iter().map(|thread| is_asked(symbols.texts.get(thread.id))).collect(),
            states: selection.states,
        }
    }

    pub(super) fn takes(&self, thread: u32, class: StateClass) -> bool {
        self.takes_all || (class.is_among(self.states) && self.threads.get(thread as usize).copied().unwrap_or(false))
    }
}

impl Covers {
    pub(super) fn count(&mut self, part: &Part) {
        self.profiles = self.profiles.saturating_add(part.profiles);
        self.samples = self.samples.saturating_add(part.samples);
    }

    /// Adds what another rests on.
    pub fn add(&mut self, other: Self) {
        self.profiles = self.profiles.saturating_add(other.profiles);
        self.samples = self.samples.saturating_add(other.samples);
        self.live = self.live.saturating_add(other.live);
        self.damaged.extend(other.damaged);
    }
}

/// Pieces of a selection, and the spans of each in which nothing is kept.
pub(super) struct Unkept {
    pub(super) pieces: Vec<(Arc<Piece>, Vec<Window>)>,
}

impl Unkept {
    pub(super) fn of(queries: &Queries, selection: &Selection) -> Result<Self, StoreError> {
        let Some(live) = &queries.live else { return Ok(Self { pieces: Vec::new() }) };
        let window = selection.window();
        let mut pieces = live.pieces(selection.project);
        pieces.retain(|piece| {
            let head = &piece.head;
            head.start_us < window.to_us
                && head.end_us >= window.from_us
                && selection.takes(head.profiler_id, head.environment.as_deref(), head.release.as_deref())
        });
        let from_us = pieces.iter().map(|piece| piece.head.start_us).min().unwrap_or(0);
        let to_us = pieces.iter().map(|piece| piece.head.end_us).max().unwrap_or(0).saturating_add(1);
        if pieces.is_empty() {
            return Ok(Self { pieces: Vec::new() });
        }
        let mut around = Selection::new(selection.project, Window { from_us, to_us });
        around.profilers = pieces.iter().map(|piece| piece.head.profiler_id).collect();
        around.profilers.dedup();
        let mut kept = FxHashMap::<Uuid, Vec<(u64, u64)>>::default();
        for part in queries.store.plan(&around, Grain::Profiles)? {
            kept.entry(part.profiler_id).or_default().push((part.start_us, part.end_us));
        }
        let spans = |piece: Arc<Piece>| {
            let kept = kept.get(&piece.head.profiler_id).map_or(&[][..], Vec::as_slice);
            let spans = gaps(piece.head.start_us.max(window.from_us), piece.head.end_us.min(window.to_us), kept);
            (!spans.is_empty()).then_some((piece, spans))
        };
        Ok(Self { pieces: pieces.into_iter().filter_map(spans).collect() })
    }

    fn sums<S: Sink>(&self, selection: &Selection, sink: &mut S, covers: &mut Covers) {
        for (piece, spans) in &self.pieces {
            for span in spans {
                let selection = Selection { from_us: span.from_us, to_us: span.to_us, ..selection.clone() };
                take(sink, &piece.part, &piece.plain, false, &selection);
            }
            covers.live = covers.live.saturating_add(1);
        }
    }
}

/// What of a span is in none of `kept`, which are in order of their starts.
fn gaps(from_us: u64, to_us: u64, kept: &[(u64, u64)]) -> Vec<Window> {
    let mut gaps = Vec::new();
    let mut at = from_us;
    for (start, end) in kept {
        if *start > at {
            gaps.push(Window { from_us: at, to_us: (*start).min(to_us) });
        }
        at = at.max(*end);
        if at >= to_us {
            break;
        }
    }
    gaps.push(Window { from_us: at, to_us });
    gaps.retain(|gap| gap.from_us < gap.to_us);
    gaps
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// Check what is left of ten to twenty beside what is kept.
    #[test]
    fn between() {
        let cases: [&[(u64, u64)]; 7] = [
            &[],
            &[(0, 30)],
            &[(0, 12)],
            &[(12, 15), (14, 18)],
            &[(15, 30)],
            &[(10, 20)],
            &[(0, 5), (11, 12), (25, 30)],
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|kept| {
                let gaps = gaps(10, 20, kept).into_iter().map(|gap| format!("{}-{}", gap.from_us, gap.to_us));
                gaps.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_snapshot!(lines.join("\n"), @r"
        10-20

        12-20
        10-12 18-20
        10-15

        10-11 12-20
        ");
    }
}
