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
    id::{Pid, Tid},
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

/// What a session came to, as its chunks tell it.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// The target.
    pub pid: Pid,
    /// From the first chunk's opening to the last one's end, microseconds.
    pub span_us: u64,
    /// Ticks.
    pub ticks: u64,
    /// The sum over the chunks.
    pub counters: Counters,
    /// Time that threads were held stopped, microseconds.
    pub stopped_us: u64,
    /// The longest single stop, microseconds.
    pub stop_max_us: u64,
    /// The agent's CPU time for it, microseconds.
    pub agent_cpu_us: u64,
}

/// A target being profiled.
#[derive(Debug)]
pub struct Session {
    id: TargetId,
    pid: Pid,
    platform: Platform,
    journal: Option<Journal>,
    builder: Option<ChunkBuilder>,
    recording: Option<Recording>,
    naming: Naming,
    asked: HashSet<RawFrame>,
    /// `CLOCK_MONOTONIC`, as all times here.
    start_ns: u64,
    last_tick: u64,
    /// The sum of what the closed chunks say.
    told: Counters,
    stop_max_us: u64,
    /// The span at which the open chunk is due; the first is shorter by a random part, so that a fleet does not send
    /// in step.
    due_ns: u64,
    /// It was told that the open chunk is due.
    is_due: bool,
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
            pid: info.pid,
            platform: info.platform.clone(),
            journal,
            builder: keep.chunks.then(|| ChunkBuilder::new(info.clone(), start)),
            recording: keep.recording.then(|| Recording::new(info)),
            naming,
            asked: HashSet::new(),
            start_ns: start,
            last_tick: start,
            told: Counters::default(),
            stop_max_us: 0,
            due_ns: SPAN_ASKED_NS - SPAN_ASKED_NS / 2 * (random % 1000) / 1000,
            is_due: false,
            counters: Counters::default(),
            stopped_us: 0,
            agent_cpu_us: 0,
            ticks: 0,
            states: HashMap::new(),
        }
    }

    /// Takes an event. `true`, once: the chunk is due; call [`Self::close`] where no sample comes before the stacks are forgotten.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Tick { at_ns } => {
                self.last_tick = *at_ns;
                self.ticks = self.ticks.saturating_add(1);
            }
            Event::Stack(_, stack) => self.ask(&stack.frames),
            Event::Counters(counters) => self.counters.merge(counters),
            Event::Cost { stopped_us, stop_max_us, agent_cpu_us } => {
                self.stop_max_us = self.stop_max_us.max(*stop_max_us);
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
        let is_due = builder.span_ns() >= self.due_ns || builder.bytes_estimate() >= BYTES_ASKED;
        // Told twice, it would be closed twice: the second time after a tick.
        is_due && !std::mem::replace(&mut self.is_due, is_due)
    }

    /// Closes the open chunk just behind the last tick. The stacks are forgotten before the next sample: every stack of the
    /// next chunk is defined again or stands.
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
        self.is_due = false;
        let chunk = self.builder.as_mut()?.close(at_ns, &mut self.naming.namer(self.id))?;
        self.told.merge(&chunk.counters);
        Some(chunk)
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

    /// What it came to, after [`Self::end`]; `None` if no chunks were built.
    pub fn summary(&self, at_ns: u64) -> Option<Summary> {
        let mut counters = self.told.clone();
        counters.merge(self.builder.as_ref()?.untold());
        Some(Summary {
            pid: self.pid,
            span_us: at_ns.max(self.last_tick).saturating_sub(self.start_ns) / 1000,
            ticks: self.ticks,
            counters,
            stopped_us: self.stopped_us,
            stop_max_us: self.stop_max_us,
            agent_cpu_us: self.agent_cpu_us,
        })
    }

    fn ask(&mut self, frames: &[RawFrame]) {
        let new: Vec<RawFrame> = frames.iter().copied().filter(|frame| self.asked.insert(*frame)).collect();
        if !new.is_empty() {
            self.naming.prepare(self.id, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use profile::{chunk::Anchor, id::ProfilerId};

    use super::*;
    use crate::naming::Patience;

    /// Check that a chunk is due once, however late it is closed, and the next one a minute after that.
    #[test]
    fn due_once() {
        let (naming, _thread) = Naming::start(symbolizer::Settings::default(), Patience::Background, None).unwrap();
        let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 0 };
        let info = SessionInfo::new(ProfilerId(uuid::Uuid::nil()), anchor, 101.0, Pid(1));
        let mut session = Session::new(TargetId(0), info, Keep { chunks: true, recording: false }, naming, None);
        let mut due_at = |seconds: u64| session.apply(&Event::Tick { at_ns: seconds * 1_000_000_000 });
        assert_eq!([59, 60, 61, 62].map(&mut due_at), [false, true, false, false]);
        session.close();
        let mut due_at = |seconds: u64| session.apply(&Event::Tick { at_ns: seconds * 1_000_000_000 });
        assert_eq!([63, 121, 123, 124].map(&mut due_at), [false, false, true, false]);
    }
}
