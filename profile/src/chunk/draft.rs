//! A chunk about to be written: which samples it has, and where it must end so that receivers take it.

use crate::{
    chunk::{
        BYTES_MAX, Chunk, ChunkBuilder, SPAN_MAX_US, SessionInfo, chunk_id,
        frames::{Collector, Tables},
        ids::ThreadIds,
        marks::Span,
        payload::Payload,
        samples::{self, Point},
    },
    counters::Counters,
    naming::Namer,
    thread::State,
    timeline::Line,
    wire,
};

/// Writes the open chunk up to `end_us`, or as much of it as receivers take. `None` if that is nothing.
pub(crate) fn write(builder: &ChunkBuilder, end_us: u64, namer: &mut dyn Namer) -> Option<Chunk> {
    let start_us = builder.timeline.start_us();
    let info = builder.info();
    let until = |until_us, why| Until { span: Span { from_us: start_us, until_us }, why };
    let mut part = until(end_us.min(start_us.saturating_add(SPAN_MAX_US)), "span_limit");
    loop {
        let draft = Draft::new(builder, &info, part, &mut *namer)?;
        let payload = draft.json()?;
        if payload.len() <= BYTES_MAX {
            debug_assert_eq!(wire::check(&payload, Some(info.platform.as_str())), [], "receivers would refuse it");
            return Some(draft.chunk(payload));
        }
        // Once more with a part of the time. Ends: the span shrinks each time, and nothing is left at last.
        let shorter = (part.span.until_us - start_us) / 100 * (BYTES_MAX as u64 * 90 / payload.len() as u64);
        part = until(start_us + shorter, "size_limit");
    }
}

/// What a chunk spans, and why it ends there if something lies beyond.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) span: Span,
    pub(crate) why: &'static str,
}

/// A sample with its place in the tables.
pub(crate) struct Sample {
    pub(crate) at_us: u64,
    pub(crate) stack: u32,
    /// Place in `Draft::threads`.
    pub(crate) thread: usize,
}

/// A thread that is in the chunk.
pub(crate) struct Thread<'b> {
    /// Its id as the wire has it. Made once: a chunk may say it 100,000 times.
    pub(crate) id: String,
    pub(crate) name: Option<&'b str>,
    /// (place in `Draft::states`, how many samples on end)
    pub(crate) states: Vec<(u32, u32)>,
}

/// All that a payload says, in memory.
pub(crate) struct Draft<'b> {
    pub(crate) builder: &'b ChunkBuilder,
    pub(crate) info: &'b SessionInfo,
    pub(crate) end_us: u64,
    pub(crate) counters: Counters,
    pub(crate) samples: Vec<Sample>,
    pub(crate) threads: Vec<Thread<'b>>,
    pub(crate) states: Vec<Option<State>>,
    pub(crate) tables: Tables,
}

impl<'b> Draft<'b> {
    /// Of the samples within a span. `None`: there are none.
    pub(crate) fn new(
        builder: &'b ChunkBuilder,
        info: &'b SessionInfo,
        until: Until,
        namer: &mut dyn Namer,
    ) -> Option<Self> {
        let mut tables = Collector::new(info, &builder.stacks, namer);
        let mut draft = Self {
            builder,
            info,
            end_us: until.span.until_us,
            counters: builder.tally.counters.clone(),
            samples: Vec::new(),
            threads: Vec::new(),
            states: Vec::new(),
            tables: Tables::default(),
        };
        let mut ids = ThreadIds::new(builder.timeline.lines());
        for line in builder.timeline.lines() {
            let (ticks, stacks) = (builder.timeline.ticks(), &builder.stacks);
            let found = if info.marks_only {
                let marked = |ident| builder.marks.of_thread(ident, &info.anchor, until.span);
                samples::of_spans(line, ticks, &line.ident().map(marked).unwrap_or_default(), stacks)
            } else {
                samples::of_line(line, ticks, until.span, stacks)
            };
            Counters::count_many(&mut draft.counters.dropped, until.why, found.beyond);
            Counters::count_many(&mut draft.counters.dropped, "not_enough_samples", found.insufficient);
            if !found.points.is_empty() {
                draft.thread(line, ids.of(line), &found.points, &mut tables);
            }
        }
        draft.tables = tables.tables;
        // Stable, so that samples of one tick stay in the order of the threads.
        draft.samples.sort_by_key(|sample| sample.at_us);
        (!draft.samples.is_empty()).then_some(draft)
    }

    fn thread(&mut self, line: &'b Line, id: String, points: &[Point], tables: &mut Collector<'_>) {
        let mut states: Vec<(u32, u32)> = Vec::new();
        for point in points {
            let stack = tables.stack(point.doing.and_then(|(slot, _)| slot));
            self.samples.push(Sample { at_us: point.at_us, stack, thread: self.threads.len() });
            let state = self.state(point.doing.map(|(_, state)| state));
            match states.last_mut() {
                Some((last, count)) if *last == state => *count += 1,
                _ => states.push((state, 1)),
            }
        }
        self.threads.push(Thread { id, name: line.name.as_deref(), states });
    }

    fn state(&mut self, state: Option<State>) -> u32 {
        let found = self.states.iter().position(|known| *known == state).unwrap_or_else(|| {
            self.states.push(state);
            self.states.len() - 1
        });
        u32::try_from(found).unwrap_or(u32::MAX)
    }

    fn json(&self) -> Option<Vec<u8>> {
        let payload = Payload::of(self);
        // About the estimate, so that the vector is not moved many times while it grows.
        let mut out = Vec::with_capacity(self.builder.bytes_estimate().min(BYTES_MAX));
        serde_json::to_writer(&mut out, &payload).ok()?;
        Some(out)
    }

    fn chunk(self, payload: Vec<u8>) -> Chunk {
        let start_us = self.builder.timeline.start_us();
        Chunk {
            id: chunk_id(self.info.profiler_id, start_us),
            profiler_id: self.info.profiler_id,
            platform: self.info.platform.clone(),
            payload,
            start_unix_ns: start_us.saturating_mul(1000),
            end_unix_ns: self.end_us.saturating_mul(1000),
            counters: self.counters,
        }
    }
}
