//! One target from its first event to its last chunk: feeds the chunk builder and the recording, asks for names ahead,
//! and says when a chunk is due.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
};

use profile::{
    chunk::{BYTES_ASKED, Chunk, ChunkBuilder, Platform, SPAN_ASKED_NS, SessionInfo},
    counters::Counters,
    feed::Event,
    id::Tid,
    record::{Recorded, Recording},
    stack::RawFrame,
    thread::ThreadState,
};
use sampler::TargetId;
use tracing::warn;

use crate::{
    naming::Naming,
    ship::{Journal, journal::Closed},
};

/// Names of more frames than these are not held from chunk to chunk; who needs one again asks again.
const ASKED_MAX: usize = 100_000;

/// What is kept of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// Build chunks.
    pub chunks: bool,
    /// Keep the whole recording for an export at the end.
    pub recording: bool,
}

/// A chunk, if there was anything to tell, and what it was built from.
#[derive(Debug)]
pub struct ClosedChunk {
    /// `None`: nothing that a receiver would take.
    pub chunk: Option<Chunk>,
    /// To be deleted when the chunk is durable.
    pub journal: Option<Closed>,
    /// For the count of what was not sent.
    pub platform: Platform,
}

/// A target being profiled.
#[derive(Debug)]
pub struct Session {
    id: TargetId,
    platform: Platform,
    journal: Option<Journal>,
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
    pub fn new(id: TargetId, info: SessionInfo, keep: Keep, naming: Naming, journal: Option<Journal>) -> Self {
        let start = info.anchor.monotonic_ns;
        let random = u64::from(info.profiler_id.0.as_fields().0);
        Self {
            id,
            platform: info.platform.clone(),
            journal,
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
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.append(event)) {
            warn!(error = &error as &dyn Error, "The journal cannot be written; a crash would lose the open chunk.");
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
    pub fn close(&mut self) -> ClosedChunk {
        let at_ns = self.last_tick.saturating_add(1000);
        let chunk = self.close_builder(at_ns);
        let (journal, begun) = self.journal.as_mut().map_or((None, Ok(())), |journal| journal.rotate(at_ns));
        if let Err(error) = begun {
            warn!(error = &error as &dyn Error, "The next journal cannot be begun; a crash would lose the open chunk.");
        }
        if self.asked.len() > ASKED_MAX {
            self.asked.clear();
            self.naming.forget(self.id);
        }
        ClosedChunk { chunk, journal, platform: self.platform.clone() }
    }

    /// Closes the last chunk, when the session ends.
    pub fn end(&mut self, at_ns: u64) -> ClosedChunk {
        let chunk = self.close_builder(at_ns.max(self.last_tick.saturating_add(1000)));
        ClosedChunk { chunk, journal: self.journal.take().and_then(Journal::close), platform: self.platform.clone() }
    }

    fn close_builder(&mut self, at_ns: u64) -> Option<Chunk> {
        self.due_ns = SPAN_ASKED_NS;
        self.builder.as_mut()?.close(at_ns, &mut self.naming.namer(self.id))
    }

    /// Hands what the journal holds back to the kernel.
    pub fn flush(&mut self) {
        if let Some(Err(error)) = self.journal.as_mut().map(Journal::flush) {
            warn!(error = &error as &dyn Error, "The journal cannot be written; a crash would lose the open chunk.");
        }
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
