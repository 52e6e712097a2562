//! From events to chunks of Sentry's sample format v2: what is kept while a chunk is open, and how it is closed.
//! Sends nothing, reads no clock, names nothing itself.

mod draft;
mod frames;
mod ids;
pub(crate) mod marks;
pub(crate) mod payload;
mod samples;
mod size;
mod tally;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    code::Language,
    counters::Counters,
    feed::{Event, StackId},
    id::{ChunkId, ProfilerId, Tid},
    stacks::{Slot, Stacks},
    thread::State,
    timeline::Timeline,
};
pub use crate::{
    naming::Namer,
    session::{Anchor, ClientSdk, Naming, Platform, SessionInfo},
};
pub(crate) use tally::Tally;
pub use transaction::TRANSACTION_MAX_NS;

/// What a chunk should span.
pub const SPAN_ASKED_NS: u64 = 60_000_000_000;

/// What a chunk may span. Relay refuses more than 66.0 s, computed in floating point, so a little less. Whatever was
/// fed beyond it is given up and counted as dropped, `span_limit`.
pub const SPAN_MAX_US: u64 = 65_900_000;

/// At this estimate a chunk should be closed early.
pub const BYTES_ASKED: usize = 20 << 20;

/// What a payload may have. Relay refuses an item above 50 MiB, also after it has written it anew in its own way; hence
/// some room. What does not fit is cut off the chunk's end and counted as dropped, `size_limit`.
pub const BYTES_MAX: usize = 48 << 20;

/// A closed chunk. Its bytes never change: whoever sends it again sends the same.
#[derive(Clone, PartialEq, Debug)]
pub struct Chunk {
    /// The same for the same profiler id and start, also when it is built again from a journal.
    pub id: ChunkId,
    /// The session.
    pub profiler_id: ProfilerId,
    /// What the item header must say, byte for byte.
    pub platform: Platform,
    /// JSON.
    pub payload: Vec<u8>,
    /// When it opened, nanoseconds since 1970 (whole microseconds).
    pub start_unix_ns: u64,
    /// When it closed; the next chunk starts here.
    pub end_unix_ns: u64,
    /// What the payload says about how far it may be trusted.
    pub counters: Counters,
}

/// Builds the chunks of one session, one after the other.
#[derive(Clone, Debug)]
pub struct ChunkBuilder {
    info: Arc<SessionInfo>,
    stacks: Stacks,
    timeline: Timeline,
    tally: Tally,
    marks: marks::Marks,
    size: size::Estimate,
}

impl ChunkBuilder {
    /// Opens the first chunk at `start_ns` (`CLOCK_MONOTONIC`).
    pub fn new(info: SessionInfo, start_ns: u64) -> Self {
        let timeline = Timeline::new(info.anchor, start_ns, info.filter);
        Self {
            info: Arc::new(info),
            stacks: Stacks::default(),
            timeline,
            tally: Tally::default(),
            marks: marks::Marks::default(),
            size: size::Estimate::default(),
        }
    }

    /// Takes the next event. The work is that of the event alone, however many threads there are.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Module(index, module) => self.stacks.define_module(*index, module),
            Event::Code(index, code) => self.stacks.define_code(*index, code),
            Event::Stack(id, stack) => self.stacks.define(*id, stack),
            Event::Thread { tid, name } => {
                self.size.thread();
                self.timeline.named(*tid, name);
            }
            Event::Ident { tid, ident } => self.timeline.identified(*tid, *ident),
            Event::Tick { at_ns } => self.timeline.tick(*at_ns),
            Event::Sample { tid, stack, state } => self.sample(*tid, *stack, *state),
            Event::Unread { tid } => self.timeline.unread(*tid),
            Event::Ended { tid } => {
                self.size.sample();
                self.timeline.ended(*tid);
            }
            Event::Usage { .. } | Event::Counters(_) | Event::Cost { .. } => {
                self.tally.apply(event, &self.info.anchor);
            }
            Event::Mark(mark) => self.marks.apply(mark),
            Event::Begun => self.timeline.begin(),
        }
    }

    /// About how many bytes the payload would have if it were closed now.
    pub fn bytes_estimate(&self) -> usize {
        self.size.bytes()
    }

    /// From the chunk's opening to the last tick.
    pub fn span_ns(&self) -> u64 {
        self.timeline.last_us().saturating_sub(self.timeline.start_us()).saturating_mul(1000)
    }

    /// The counters that no chunk tells yet.
    pub fn untold(&self) -> &Counters {
        &self.tally.counters
    }

    /// How many readings of the target's use of the machine the open chunk has.
    pub fn readings(&self) -> usize {
        self.tally.usage.len()
    }

    /// Closes the chunk at `at_ns`, between two ticks: a receiver sees exact durations up to there. Opens the next with
    /// the same live stacks. `None` if there is nothing that a receiver would take; the counters then go with the next
    /// one.
    pub fn close(&mut self, at_ns: u64, namer: &mut dyn Namer) -> Option<Chunk> {
        let end_us = self.timeline.end_us(at_ns);
        let chunk = draft::write(self, end_us, namer);
        if chunk.is_some() {
            self.tally = Tally::default();
        }
        self.reopen(end_us);
        chunk
    }

    /// Goes by other clocks behind a [`Self::close`] at `at_ns`. Where the wall clock went back, under another profiler id:
    /// to a receiver the chunks of one must not overlap.
    pub fn re_anchor(&mut self, profiler_id: ProfilerId, anchor: Anchor, at_ns: u64) {
        let info = Arc::make_mut(&mut self.info);
        (info.profiler_id, info.anchor) = (profiler_id, anchor);
        self.timeline.re_anchor(anchor, at_ns);
        // Of a chunk that was not worth sending, by the clocks before.
        self.tally.usage.clear();
    }

    /// Opens a chunk at `at_ns`, where nothing is known of the time before: a thread that has not run since stands from the
    /// first tick on. What came since the last chunk was closed is forgotten. Gives what its chunks say of the session.
    /// `marks_only`: see [`SessionInfo`].
    pub fn begin(&mut self, profiler_id: ProfilerId, anchor: Anchor, at_ns: u64, marks_only: bool) -> SessionInfo {
        let info = Arc::make_mut(&mut self.info);
        (info.profiler_id, info.anchor, info.marks_only) = (profiler_id, anchor, marks_only);
        let info = info.clone();
        self.reopen(anchor.unix_us(at_ns));
        self.timeline.re_anchor(anchor, at_ns);
        self.timeline.begin();
        self.tally = Tally::default();
        info
    }

    /// What the open chunk says of the session. A program may start a runtime late, or exec into one: what the chunk holds
    /// tells its platform, so that it is one for all of its frames.
    fn info(&self) -> Arc<SessionInfo> {
        let now = self.timeline.now();
        // Each distinct one once: there may be as many runs as samples.
        let mut seen = size::Seen::default();
        let mut stacks =
            self.timeline.lines().iter().flat_map(|line| line.stacks(now)).filter(|slot| seen.is_new(slot.0));
        let is_python =
            |slot: Slot| self.stacks.get(slot).is_some_and(|stack| self.stacks.runs(stack, Language::Python));
        if self.info.platform_is_chosen || !stacks.any(is_python) {
            return Arc::clone(&self.info);
        }
        Arc::new(SessionInfo { platform: Platform::PYTHON, ..SessionInfo::clone(&self.info) })
    }

    fn sample(&mut self, tid: Tid, stack: StackId, state: State) {
        let Some(slot) = self.stacks.slot(stack) else {
            // A feed that breaks its own rule. What is known about the thread is then nothing.
            Counters::count(&mut self.tally.counters.lost, "stack_undefined");
            return self.timeline.unread(tid);
        };
        if self.timeline.sample(tid, slot, state) {
            self.size.run(slot, &self.stacks, state.is_blocked());
        } else if !state.is_blocked() {
            self.size.sample();
        }
    }

    fn reopen(&mut self, at_us: u64) {
        self.timeline.reopen(at_us);
        self.marks.reopen();
        self.size = size::Estimate::default();
        if self.stacks.is_mostly_garbage() {
            self.stacks.collect_garbage(self.timeline.standing());
        }
        for slot in self.timeline.standing() {
            self.size.thread();
            self.size.run(*slot, &self.stacks, true);
        }
    }
}

/// The id of the chunk of a session that opens at `start_us`. Chunks of one session never open at the same time, and a
/// receiver looks a chunk up by both ids; so what matters is that a chunk built again from a journal gets the same.
fn chunk_id(profiler: ProfilerId, start_us: u64) -> ChunkId {
    let (high, low) = profiler.0.as_u64_pair();
    let mixed = Uuid::from_u64_pair(high ^ mix(start_us), low ^ mix(!start_us));
    // Version 8: a UUID whose bits mean what its maker says.
    ChunkId(uuid::Builder::from_bytes(mixed.into_bytes()).with_version(uuid::Version::Custom).into_uuid())
}

/// The finaliser of splitmix64: spreads close numbers over all bits, and maps no two to one.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
