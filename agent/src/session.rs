//! One target from its first event to its last chunk: feeds the chunk builder and the recording, asks for names ahead,
//! and says when a chunk is due.

use std::collections::{HashMap, HashSet};

use profile::{
    chunk::{BYTES_ASKED, Chunk, ChunkBuilder, SPAN_ASKED_NS, SessionInfo},
    counters::Counters,
    feed::Event,
    id::Tid,
    record::{Recorded, Recording},
    stack::RawFrame,
    thread::ThreadState,
};
use sampler::TargetId;

use crate::naming::Naming;

/// What is kept of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// Build chunks.
    pub chunks: bool,
    /// Keep the whole recording for an export at the end.
    pub recording: bool,
}

/// A target being profiled.
#[derive(Debug)]
pub struct Session {
    id: TargetId,
    builder: Option<ChunkBuilder>,
    recording: Option<Recording>,
    naming: Naming,
    asked: HashSet<RawFrame>,
    last_tick: u64,
    /// The span at which the open chunk is due; the first is shorter by a random part, so that a fleet does not send
    /// in step.
    due_ns: u64,
    /// Counts of the whole session, for the status line.
    pub counters: Counters,
    /// Microseconds that its threads were held stopped.
    pub stopped_us: u64,
    /// The agent's CPU for it, microseconds.
    pub agent_cpu_us: u64,
    /// Ticks so far.
    pub ticks: u64,
    /// Each live thread's last state.
    pub states: HashMap<Tid, ThreadState>,
}

impl Session {
    /// Opens the first chunk and the recording, as far as they are wanted.
    pub fn new(id: TargetId, info: SessionInfo, keep: Keep, naming: Naming) -> Self {
        let start = info.anchor.monotonic_ns;
        let random = u64::from(info.profiler_id.0.as_fields().0);
        Self {
            id,
            builder: keep.chunks.then(|| ChunkBuilder::new(info.clone(), start)),
            recording: keep.recording.then(|| Recording::new(info)),
            naming,
            asked: HashSet::new(),
            last_tick: start,
            due_ns: SPAN_ASKED_NS - SPAN_ASKED_NS / 2 * (random % 1000) / 1000,
            counters: Counters::default(),
            stopped_us: 0,
            agent_cpu_us: 0,
            ticks: 0,
            states: HashMap::new(),
        }
    }

    /// Takes an event. `true`: the chunk is due; ask for the stacks to be forgotten, then call [`Self::close`].
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Tick { at_ns } => {
                self.last_tick = *at_ns;
                self.ticks = self.ticks.saturating_add(1);
            }
            Event::Stack(_, stack) => self.ask(&stack.frames),
            Event::Counters(counters) => self.counters.merge(counters),
            Event::Cost { stopped_us, agent_cpu_us, .. } => {
                self.stopped_us = self.stopped_us.saturating_add(*stopped_us);
                self.agent_cpu_us = self.agent_cpu_us.saturating_add(*agent_cpu_us);
            }
            Event::Sample { tid, state, .. } => drop(self.states.insert(*tid, *state)),
            Event::Ended { tid } => drop(self.states.remove(tid)),
            _ => {}
        }
        if let Some(recording) = &mut self.recording {
            recording.apply(event);
        }
        let Some(builder) = &mut self.builder else { return false };
        builder.apply(event);
        builder.span_ns() >= self.due_ns || builder.bytes_estimate() >= BYTES_ASKED
    }

    /// Closes the open chunk just behind the last tick. The stacks were forgotten before: every stack of the next chunk
    /// is defined again or stands.
    pub fn close(&mut self) -> Option<Chunk> {
        self.close_at(self.last_tick.saturating_add(1000))
    }

    /// The same at a given time, when the session ends.
    pub fn close_at(&mut self, at_ns: u64) -> Option<Chunk> {
        let builder = self.builder.as_mut()?;
        let chunk = builder.close(at_ns.max(self.last_tick.saturating_add(1000)), &mut self.naming.namer(self.id));
        self.due_ns = SPAN_ASKED_NS;
        chunk
    }

    /// Ends the recording.
    pub fn finish(&mut self, at_ns: u64) -> Option<Recorded> {
        let recording = self.recording.take()?;
        Some(recording.finish(at_ns.max(self.last_tick.saturating_add(1000)), &mut self.naming.namer(self.id)))
    }

    fn ask(&mut self, frames: &[RawFrame]) {
        let new: Vec<RawFrame> = frames.iter().copied().filter(|frame| self.asked.insert(*frame)).collect();
        if !new.is_empty() {
            self.naming.prepare(self.id, new);
        }
    }
}
