//! The functions and blocks that a process noted while a chunk was open. Reads no clock, knows no samples.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::{chunk::payload::seconds, feed::Mark, received::Marked, session::Anchor};

/// More in one chunk are left out; a chunk of a minute has that many calls of a function of 3 ms in each of 5 threads.
const MARKS_MAX: usize = 100_000;

/// A span of time, microseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
}

/// Those of the open chunk, by their sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(BTreeMap<u64, Mark>);

/// A mark as the wire has it.
#[derive(Serialize)]
pub(crate) struct WireMark<'b> {
    thread_id: Cow<'b, str>,
    kind: &'b str,
    name: &'b str,
    start: f64,
    end: f64,
}

impl<'b> WireMark<'b> {
    /// One that was received.
    pub(crate) fn of_received(of: &'b Marked) -> Self {
        Self { thread_id: Cow::Borrowed(&of.thread_id), kind: &of.kind, name: &of.name, start: of.start, end: of.end }
    }
}

impl Marks {
    pub(crate) fn apply(&mut self, mark: &Mark) {
        if self.0.len() < MARKS_MAX || self.0.contains_key(&mark.sequence) {
            self.0.insert(mark.sequence, mark.clone());
        }
    }

    /// Forgets those that have ended.
    pub(crate) fn reopen(&mut self) {
        self.0.retain(|_, mark| mark.end_ns.is_none());
    }

    /// When a thread was in any of its own, in order, none touching another.
    pub(crate) fn of_thread(&self, ident: u64, anchor: &Anchor, within: Span) -> Vec<Span> {
        let of = self.0.values().filter(|mark| mark.ident == ident);
        let mut spans: Vec<Span> = of.filter_map(|mark| clipped(mark, anchor, within)).collect();
        spans.sort_by_key(|span| span.from_us);
        spans.dedup_by(|next, before| {
            let touches = next.from_us <= before.until_us;
            if touches {
                before.until_us = before.until_us.max(next.until_us);
            }
            touches
        });
        spans
    }

    /// All of them as far as they are `within` the chunk.
    pub(crate) fn wire(&self, anchor: &Anchor, within: Span) -> Vec<WireMark<'_>> {
        let of = |mark| {
            let span = clipped(mark, anchor, within)?;
            Some(WireMark {
                thread_id: mark.ident.to_string().into(),
                kind: if mark.is_block { "block" } else { "function" },
                name: &mark.name,
                start: seconds(span.from_us),
                end: seconds(span.until_us),
            })
        };
        self.0.values().filter_map(of).collect()
    }
}

fn clipped(mark: &Mark, anchor: &Anchor, within: Span) -> Option<Span> {
    let from_us = anchor.unix_us(mark.start_ns).max(within.from_us);
    let until_us = mark.end_ns.map_or(within.until_us, |end| anchor.unix_us(end)).min(within.until_us);
    (from_us < until_us).then_some(Span { from_us, until_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANCHOR: Anchor = Anchor { unix_ns: 0, monotonic_ns: 0 };

    fn marks(all: &[(u64, u64, Option<u64>)]) -> Marks {
        let mut marks = Marks::default();
        for (sequence, (ident, start, end)) in (1..).zip(all) {
            let end_ns = end.map(|end| end * 1000);
            let mark =
                Mark { sequence, is_block: false, ident: *ident, name: "f".into(), start_ns: start * 1000, end_ns };
            marks.apply(&mark);
        }
        marks
    }

    /// Check that spans of a thread that overlap or touch are one, clipped to the chunk.
    #[test]
    fn spans() {
        let marks = marks(&[
            (1, 10, Some(20)),
            (1, 15, Some(30)),
            (1, 30, Some(40)),
            (2, 0, Some(99)),
            (1, 50, None),
            (1, 5, Some(6)),
        ]);
        let spans = |ident| {
            let found = marks.of_thread(ident, &ANCHOR, Span { from_us: 8, until_us: 60 });
            found.iter().map(|span| format!("{}-{}", span.from_us, span.until_us)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([spans(1), spans(2), spans(3)], ["10-40 50-60", "8-60", ""]);
    }

    /// Check that what goes on is in the next chunk too, and what ended is not.
    #[test]
    fn reopening() {
        let mut marks = marks(&[(1, 10, Some(20)), (1, 30, None)]);
        marks.reopen();
        assert_eq!(
            marks.of_thread(1, &ANCHOR, Span { from_us: 0, until_us: 99 }),
            [Span { from_us: 30, until_us: 99 }]
        );
    }
}
