//! Functions and blocks that processes noted: which there are, and what is known of the time in them.

use std::collections::{BTreeMap, BTreeSet};

use profile::received::{Head, Marked};
use rustc_hash::FxHashMap;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Covers, Queries,
    read::{Filter, Sink, Unkept, each_profile},
};
use crate::{
    chunk_store::{Grain, Part, StoreError, Want},
    encoding::{Plain, aggregate::Row},
    item::{Selection, Window},
};

/// A function or block of one name.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MarkRow {
    /// `function` or `block`.
    pub kind: String,
    /// As processes name it.
    pub name: String,
    /// How often, in how many chunks: one over two of them counts twice.
    pub count: u64,
    /// Time in it, microseconds, of all threads; one within another of its name counts once.
    pub total_us: u64,
}

/// When a thread was in a mark.
type Windows = Vec<(String, Window)>;

/// All names, those with most time first.
pub(super) fn names(queries: &Queries, selection: &Selection) -> Result<(Vec<MarkRow>, Covers), StoreError> {
    let live = Unkept::of(queries, selection)?;
    let (mut rows, mut covers) = (BTreeMap::<(String, String), MarkRow>::new(), Covers::default());
    for kept in queries.store.profiles(selection)? {
        covers.profiles += 1;
        covers.samples = covers.samples.saturating_add(kept.samples);
        count(&mut rows, &kept.head, selection.window());
    }
    for (piece, spans) in &live.pieces {
        covers.live += 1;
        spans.iter().for_each(|span| count(&mut rows, &piece.head, *span));
    }
    let mut rows: Vec<MarkRow> = rows.into_values().collect();
    rows.sort_by(|a, b| b.total_us.cmp(&a.total_us).then_with(|| a.name.cmp(&b.name)));
    Ok((rows, covers))
}

fn count(rows: &mut BTreeMap<(String, String), MarkRow>, head: &Head, within: Window) {
    let marks = head.agent.as_ref().map_or(&[][..], |agent| &agent.marks);
    let named: BTreeSet<(&str, &str)> = marks.iter().map(|mark| (mark.kind.as_str(), mark.name.as_str())).collect();
    for (kind, name) in named {
        let is_of = |mark: &Marked| mark.kind == kind && mark.name == name;
        let (many, windows) = windows(marks, within, is_of);
        if many == 0 {
            continue;
        }
        let key = (kind.to_owned(), name.to_owned());
        let (kind, name) = key.clone();
        let row = rows.entry(key).or_insert(MarkRow { kind, name, count: 0, total_us: 0 });
        row.count = row.count.saturating_add(many);
        let us: u64 = windows.iter().map(|(_, window)| window.to_us - window.from_us).sum();
        row.total_us = row.total_us.saturating_add(us);
    }
}

/// How many marks are wanted, and when their threads were in any: one within another once.
fn windows(marks: &[Marked], within: Window, wanted: impl Fn(&Marked) -> bool) -> (u64, Windows) {
    let clipped = |mark: &Marked| {
        let (from_us, to_us) = (micros(mark.start).max(within.from_us), micros(mark.end).min(within.to_us));
        (from_us < to_us).then(|| (mark.thread_id.clone(), Window { from_us, to_us }))
    };
    let mut all: Windows = marks.iter().filter(|mark| wanted(mark)).filter_map(clipped).collect();
    let many = all.len() as u64;
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.from_us.cmp(&b.1.from_us)));
    all.dedup_by(|next, before| {
        let touches = next.0 == before.0 && next.1.from_us <= before.1.to_us;
        if touches {
            before.1.to_us = before.1.to_us.max(next.1.to_us);
        }
        touches
    });
    (many, all)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// What is known of the time in the marks that are asked for, into one sink.
pub(super) fn sums<S: Sink>(
    queries: &Queries,
    selection: &Selection,
    new: impl Fn() -> S,
) -> Result<(S, Covers), StoreError> {
    let live = Unkept::of(queries, selection)?;
    let (mut sink, mut covers) = (new(), Covers::default());
    let of_head = |head: &Head, within: Window| {
        let marks = head.agent.as_ref().map_or(&[][..], |agent| &agent.marks);
        windows(marks, within, |mark| selection.marks.contains(&mark.name)).1
    };
    let kept = queries.store.profiles(selection)?;
    let marked: FxHashMap<Uuid, Windows> =
        kept.iter().map(|kept| (kept.head.chunk_id, of_head(&kept.head, selection.window()))).collect();
    let windows_of = |part: &Part| part.chunk_id.and_then(|id| marked.get(&id)).filter(|windows| !windows.is_empty());
    let mut parts = queries.store.plan(selection, Grain::Profiles)?;
    parts.retain(|part| windows_of(part).is_some());
    let want = Want { symbols: true, timeline: true, ..Want::default() };
    each_profile(queries, &parts, want, &mut covers, |covers, part, plain| {
        covers.count(part);
        windows_of(part).into_iter().for_each(|windows| take(&mut sink, part, plain, windows, selection));
        true
    })?;
    for (piece, spans) in &live.pieces {
        covers.live += 1;
        for span in spans {
            take(&mut sink, &piece.part, &piece.plain, &of_head(&piece.head, *span), selection);
        }
    }
    Ok((sink, covers))
}

fn take<S: Sink>(sink: &mut S, part: &Part, plain: &Plain, windows: &Windows, selection: &Selection) {
    let (threads, filter) = (plain.threads(), Filter::new(selection, &plain.symbols));
    for (id, window) in windows {
        let Some(thread) = threads.get(id.as_str()) else { continue };
        let rows = plain.sums_of(*thread, *window);
        let rows: Vec<Row> = rows.into_iter().filter(|row| filter.takes(row.thread, row.class)).collect();
        if !rows.is_empty() {
            sink.take(part, &plain.symbols, &rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(thread: &str, start: f64, end: f64) -> Marked {
        Marked { thread_id: thread.to_owned(), kind: "block".to_owned(), name: "b".to_owned(), start, end }
    }

    /// Check that marks of a thread that overlap are one time, cut by the window, and count as they are.
    #[test]
    fn overlapping() {
        let marks =
            [mark("1", 1.0, 4.0), mark("1", 2.0, 3.0), mark("2", 2.0, 3.0), mark("1", 5.0, 9.0), mark("1", 20.0, 30.0)];
        let (many, found) = windows(&marks, Window { from_us: 1_500_000, to_us: 6_000_000 }, |_| true);
        let shown: Vec<String> =
            found.iter().map(|(thread, window)| format!("{thread} {}-{}", window.from_us, window.to_us)).collect();
        assert_eq!((many, shown.join(", ")), (4, "1 1500000-4000000, 1 5000000-6000000, 2 2000000-3000000".to_owned()));
    }
}
