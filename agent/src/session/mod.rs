//! One target from its first event to its last chunk: feeds the chunk builder and the recording, asks for names ahead,
//! and says when a chunk is due.

mod course;
mod profiles;
mod runs;
#[cfg(test)]
mod tests;
mod transactions;

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    time::Duration,
};

use profile::{
    board::Board,
    chunk::{Anchor, BYTES_ASKED, Chunk, ChunkBuilder, Platform, SPAN_ASKED_NS, SessionInfo},
    counters::Counters,
    feed::Event,
    id::{Pid, ProfilerId, Tid},
    record::{Recorded, Recording},
    stack::NativeFrame,
    thread::State,
};
use sampler::TargetId;
use tracing::warn;
use uuid::Uuid;

pub use self::{
    course::{Course, Told},
    profiles::Profiles,
};
use self::{
    profiles::{Next, Noted},
    runs::{Run, Step},
};
use crate::{
    clocks,
    naming::Naming,
    report::Summary,
    shelf::{Built, Dropped, Made},
    ship::{Journal, journal::Closed},
};

/// Names of more frames than these are not held from chunk to chunk; who needs one again asks again.
const ASKED_MAX: usize = 100_000;
/// At so many runs of threads (40 bytes each) the profiles of transactions that go on after their 30 s are built at once; at twice
/// as many, those that are not built yet are given up.
const RUNS_KEPT_MAX: usize = 500_000;

/// What is kept of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// Build chunks.
    pub chunks: bool,
    /// Record everything, for an export or the list of the hottest functions at the end.
    pub recording: bool,
    /// Keep the recordings themselves.
    pub whole: bool,
}

/// A chunk, if there was anything to tell, and what it was built from.
#[derive(Debug)]
pub struct ClosedChunk {
    /// The session's, as it was for this chunk.
    pub profiler_id: ProfilerId,
    /// `None`: nothing that a receiver would take.
    pub chunk: Option<Chunk>,
    /// To be deleted when the chunk is durable.
    pub journal: Option<Closed>,
    /// For the count of what was not sent.
    pub platform: Platform,
    /// Nothing ran while it was open.
    pub is_idle: bool,
}

/// What came of telling a session something.
#[derive(Debug, Default)]
pub struct Turned {
    /// Of runs that ended.
    pub closed: Vec<ClosedChunk>,
    /// Of transactions, by their profiles' ids: those that will have none.
    pub dropped: Vec<(Uuid, Dropped)>,
    /// Those whose profile was built before their end, which was now.
    pub ended: Vec<Uuid>,
}

/// A target being profiled.
#[derive(Debug)]
pub struct Session {
    id: TargetId,
    pid: Pid,
    exe: Option<String>,
    platform: Platform,
    journal: Option<Journal>,
    builder: Option<ChunkBuilder>,
    /// The open chunk once more, while somebody looks on: closed piece by piece.
    live: Option<ChunkBuilder>,
    recording: Option<Recording>,
    naming: Naming,
    course: Course,
    asked: HashSet<NativeFrame>,
    /// The clocks of the open chunk.
    anchor: Anchor,
    /// What its chunks say; another when the wall clock went back.
    pub profiler_id: ProfilerId,
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
    /// Runs, transactions, functions and blocks that its board had no place for.
    pub windows_lost: u64,
    /// The agent's CPU for it, microseconds.
    pub agent_cpu_us: u64,
    /// Ticks so far.
    pub ticks: u64,
    /// It has a sample.
    pub sampled: bool,
    /// Each live thread's last state.
    pub states: HashMap<Tid, State>,
    /// A thread was on a CPU or ready to run since the last chunk was closed.
    awake: bool,
}

impl Session {
    /// Opens the first chunk and the recording, as far as they are wanted.
    pub fn new(id: TargetId, info: SessionInfo, keep: Keep, naming: Naming, journal: Option<Journal>) -> Self {
        let start = info.anchor.monotonic_ns;
        let random = u64::from(info.profiler_id.0.as_fields().0);
        Self {
            id,
            pid: info.pid,
            exe: info.exe.clone(),
            platform: info.platform.clone(),
            journal,
            anchor: info.anchor,
            profiler_id: info.profiler_id,
            builder: keep.chunks.then(|| ChunkBuilder::new(info.clone(), start)),
            live: None,
            recording: keep.recording.then(|| Recording::new(info)),
            naming,
            course: Course::Always,
            asked: HashSet::new(),
            start_ns: start,
            last_tick: start,
            told: Counters::default(),
            stop_max_us: 0,
            due_ns: SPAN_ASKED_NS - SPAN_ASKED_NS / 2 * (random % 1000) / 1000,
            is_due: false,
            counters: Counters::default(),
            stopped_us: 0,
            windows_lost: 0,
            agent_cpu_us: 0,
            ticks: 0,
            sampled: false,
            states: HashMap::new(),
            awake: false,
        }
    }

    /// The same, profiling only when told. Gives the journal of the chunk that was open, to be deleted.
    pub fn told(mut self, course: Course) -> (Self, Option<Closed>) {
        self.course = course;
        let journal = self.journal.as_mut().and_then(Journal::suspend);
        (self, journal)
    }

    /// Whether a chunk is open.
    pub fn is_running(&self) -> bool {
        self.course.is_running()
    }

    /// The process's board is another, as was seen at `at_ns`.
    pub fn noted(&mut self, board: Board, at_ns: u64) -> Turned {
        self.windows_lost = self.windows_lost.max(board.lost);
        match &mut self.course {
            Course::Always => Turned::default(),
            Course::Told(told) => {
                let steps = told.runs.noted(board, at_ns);
                self.take_steps(steps)
            }
            Course::Transactions(profiles) => {
                let was_needed = profiles.kept_from_ns().is_some();
                let Noted { dropped, ended } = profiles.noted(&board, at_ns);
                if let (false, Some(start_ns)) = (was_needed, profiles.kept_from_ns()) {
                    self.begin_chunk(Run { id: self.profiler_id, start_ns, marks_only: false });
                }
                Turned { dropped, ended, ..Turned::default() }
            }
        }
    }

    /// The operator starts a run, or ends it: `None`.
    pub fn forced(&mut self, id: Option<ProfilerId>, at_ns: u64) -> Turned {
        let Course::Told(told) = &mut self.course else { return Turned::default() };
        let steps = told.runs.forced(id, at_ns);
        self.take_steps(steps)
    }

    /// From `at_ns` on nothing is read, or it is again.
    pub fn suspended(&mut self, suspended: bool, at_ns: u64) -> Turned {
        let Course::Told(told) = &mut self.course else { return Turned::default() };
        let steps = told.runs.suspended(suspended, at_ns);
        self.take_steps(steps)
    }

    fn take_steps(&mut self, steps: Vec<Step>) -> Turned {
        let mut turned = Turned::default();
        for step in steps {
            match step {
                Step::End { at_ns } => turned.closed.extend(self.end_run(at_ns)),
                Step::Begin(run) => {
                    if let Course::Told(told) = &mut self.course {
                        told.next = Some(run);
                    }
                }
                Step::Mark(mark) => self.record(&Event::Mark(mark)),
            }
        }
        turned
    }

    /// Begins the run that waits for the tick at `at_ns`.
    fn begin_run(&mut self, at_ns: u64) {
        let Course::Told(told) = &mut self.course else { return };
        let Some(run) = told.next.take_if(|run| run.start_ns <= at_ns) else { return };
        told.is_running = true;
        if let Some(info) = self.begin_chunk(run)
            && let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.resume(info, run.start_ns))
        {
            warn!(error = &error as &dyn Error, "The next journal cannot be begun; a crash would lose the open chunk.");
        }
    }

    /// Opens a chunk, where none was open; `None`: chunks are not wanted.
    fn begin_chunk(&mut self, run: Run) -> Option<SessionInfo> {
        let builder = self.builder.as_mut()?;
        // What was counted while none was open.
        self.told.merge(builder.untold());
        (self.profiler_id, self.anchor) = (run.id, clocks::now());
        (self.due_ns, self.is_due, self.awake) = (SPAN_ASKED_NS, false, false);
        Some(builder.begin(run.id, self.anchor, run.start_ns, run.marks_only))
    }

    /// Ends the run that goes on. `None`: no tick of it came, so there is nothing of it.
    fn end_run(&mut self, at_ns: u64) -> Option<ClosedChunk> {
        let Course::Told(told) = &mut self.course else { return None };
        told.next = None;
        if !std::mem::take(&mut told.is_running) {
            return None;
        }
        let (profiler_id, is_idle) = (self.profiler_id, !self.awake);
        let chunk = self.close_builder(at_ns.max(self.last_tick.saturating_add(1)));
        let journal = self.journal.as_mut().and_then(Journal::suspend);
        Some(ClosedChunk { profiler_id, chunk, journal, platform: self.platform.clone(), is_idle })
    }

    fn profiles(&mut self) -> Option<&mut Profiles> {
        if let Course::Transactions(profiles) = &mut self.course { Some(profiles) } else { None }
    }

    /// How many profiles of transactions are to be built.
    pub fn ready_count(&self) -> usize {
        self.course.ready_count()
    }

    /// Builds the next profile of a transaction, which takes up to some tens of milliseconds, unless its process does not wait
    /// for it any more.
    pub fn next_profile(&mut self) -> Option<Built> {
        let (of, wait, goes_on) = match self.profiles()?.next()? {
            Next::Build(of, wait) => (of, wait, false),
            Next::BuildAhead(of) => (of, Duration::ZERO, true),
            Next::Late(id) => return Some(Built { id, made: Made::Dropped(Dropped::Late), goes_on: false }),
        };
        let mut namer = self.naming.namer_within(self.id, wait);
        let profile = self.builder.as_ref()?.transaction(of.start_ns, of.end_ns, of.cut, &mut namer);
        Some(Built { id: of.id, made: profile.map_or(Made::TooLittle, Made::Profile), goes_on })
    }

    /// A tick at `at_ns`. Whether from now on no transaction needs samples, as all have lasted for as long as a profile may.
    pub fn overdue(&mut self, at_ns: u64) -> bool {
        self.profiles().is_some_and(|profiles| profiles.overdue(at_ns))
    }

    /// Once a second: forgets what is kept for no transaction any more.
    pub fn tidy(&mut self, at_ns: u64) -> Turned {
        self.overdue(at_ns);
        let Course::Transactions(profiles) = &mut self.course else { return Turned::default() };
        let runs = self.builder.as_ref().map_or(0, ChunkBuilder::runs);
        let mut lost = profiles.build_long(at_ns, runs > RUNS_KEPT_MAX);
        if runs > RUNS_KEPT_MAX {
            if runs / 2 > RUNS_KEPT_MAX {
                lost.extend(profiles.lose_long());
            }
            self.forget_old();
        }
        let is_kept = self.course.kept_from_ns().is_some();
        if let Some(builder) = self.builder.as_mut().filter(|builder| !is_kept && builder.span_ns() > 0) {
            builder.forget_before(at_ns);
        }
        let dropped = lost.into_iter().map(|id| (id, Dropped::TooLong)).collect();
        Turned { dropped, ..Turned::default() }
    }

    /// Takes an event. `true`, once: the chunk is due; call [`Self::close`] where no sample comes before the stacks are forgotten.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Tick { at_ns } => {
                self.begin_run(*at_ns);
                self.last_tick = *at_ns;
                self.ticks = self.ticks.saturating_add(1);
            }
            Event::Stack(_, stack) => self.ask(stack.native().copied()),
            Event::Counters(counters) => self.counters.merge(counters),
            Event::Cost { stopped_us, stop_max_us, agent_cpu_us } => {
                self.stop_max_us = self.stop_max_us.max(*stop_max_us);
                self.stopped_us = self.stopped_us.saturating_add(*stopped_us);
                self.agent_cpu_us = self.agent_cpu_us.saturating_add(*agent_cpu_us);
            }
            Event::Sample { tid, state, .. } => {
                self.sampled = true;
                self.awake |= !state.is_blocked();
                self.states.insert(*tid, *state);
            }
            Event::Ended { tid } => drop(self.states.remove(tid)),
            _ => {}
        }
        self.record(event);
        let Some(builder) = self.builder.as_ref().filter(|_| self.is_running()) else { return self.is_long() };
        let is_due = builder.span_ns() >= self.due_ns || builder.bytes_estimate() >= BYTES_ASKED;
        // Told twice, it would be closed twice: the second time after a tick.
        is_due && !std::mem::replace(&mut self.is_due, is_due)
    }

    /// Whether transactions went on for so long, one beside the other, that what was before them is to be forgotten.
    fn is_long(&mut self) -> bool {
        let span = self.builder.as_ref().map_or(0, ChunkBuilder::span_ns);
        let is_due = span >= self.due_ns && self.course.kept_from_ns().is_some();
        is_due && !std::mem::replace(&mut self.is_due, is_due)
    }

    fn record(&mut self, event: &Event) {
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.append(event)) {
            warn!(error = &error as &dyn Error, "The journal cannot be written; a crash would lose the open chunk.");
        }
        // Readings of a time that no chunk tells would be kept until the next one begins, which may be never.
        if self.is_running() || !matches!(event, Event::Usage { .. }) {
            for builder in [&mut self.builder, &mut self.live].into_iter().flatten() {
                builder.apply(event);
            }
        }
        if let Some(recording) = &mut self.recording {
            recording.apply(event);
        }
    }

    /// Compares the open chunk's clocks with those of `now`. `true`, once: they have come apart, so the chunk is due.
    pub fn compare_clocks(&mut self, now: &Anchor) -> bool {
        let due = self.builder.is_some() && self.is_running() && clocks::have_stepped(&self.anchor, now);
        due && !std::mem::replace(&mut self.is_due, due)
    }

    /// Closes the open chunk just behind the last tick; the next goes by the clocks of `now` if they have come apart. The stacks are forgotten before the next sample: every stack of the
    /// next chunk is defined again or stands.
    /// `None`: none is open any more.
    pub fn close(&mut self, now: Anchor) -> Option<ClosedChunk> {
        let at_ns = self.last_tick.saturating_add(1000);
        if !self.is_running() {
            self.forget_old();
            return None;
        }
        let (profiler_id, is_idle) = (self.profiler_id, !self.awake);
        let chunk = self.close_builder(at_ns);
        if clocks::have_stepped(&self.anchor, &now) {
            self.re_anchor(now, at_ns);
        }
        let (journal, begun) = self.journal.as_mut().map_or((None, Ok(())), |journal| journal.rotate(at_ns));
        if let Err(error) = begun {
            warn!(error = &error as &dyn Error, "The next journal cannot be begun; a crash would lose the open chunk.");
        }
        if self.asked.len() > ASKED_MAX {
            self.asked.clear();
            self.naming.forget(self.id);
        }
        Some(ClosedChunk { profiler_id, chunk, journal, platform: self.platform.clone(), is_idle })
    }

    /// Of transactions that go on beside each other without end, what was before them is not needed any more.
    fn forget_old(&mut self) {
        self.is_due = false;
        let first = self.course.kept_from_ns();
        if let (Some(builder), Some(first)) = (&mut self.builder, first) {
            builder.forget_before(first);
            self.due_ns = builder.span_ns().saturating_add(SPAN_ASKED_NS / 2);
        }
    }

    /// What came since the last piece of the open chunk, or since it was opened, by the names that are known by now. `None`:
    /// nothing that a receiver would take.
    pub fn piece(&mut self) -> Option<Chunk> {
        if !self.is_running() {
            self.live = None;
            return None;
        }
        let live = match &mut self.live {
            Some(live) => live,
            None => self.live.insert(self.builder.clone()?),
        };
        live.close(self.last_tick.saturating_add(1000), &mut self.naming.known(self.id))
    }

    /// Nobody looks on any more.
    pub fn unwatch(&mut self) {
        self.live = None;
    }

    /// Closes the last chunk, when the session ends.
    /// `None`: none was open.
    pub fn end(&mut self, at_ns: u64) -> Option<ClosedChunk> {
        let (was_running, is_idle) = (self.is_running(), !self.awake);
        let chunk = if was_running { self.close_builder(at_ns.max(self.last_tick.saturating_add(1000))) } else { None };
        let journal = self.journal.take().and_then(Journal::close);
        let profiler_id = self.profiler_id;
        was_running.then(|| ClosedChunk { profiler_id, chunk, journal, platform: self.platform.clone(), is_idle })
    }

    fn close_builder(&mut self, at_ns: u64) -> Option<Chunk> {
        self.due_ns = SPAN_ASKED_NS;
        (self.is_due, self.awake) = (false, false);
        self.live = None;
        let chunk = self.builder.as_mut()?.close(at_ns, &mut self.naming.namer(self.id))?;
        self.told.merge(&chunk.counters);
        Some(chunk)
    }

    fn re_anchor(&mut self, now: Anchor, at_ns: u64) {
        if self.anchor.step_ns(&now) < 0 {
            self.profiler_id = ProfilerId(Uuid::new_v4());
        }
        self.anchor = now;
        if let Some(builder) = &mut self.builder {
            builder.re_anchor(self.profiler_id, now, at_ns);
        }
        if let Some(journal) = &mut self.journal {
            journal.re_anchor(self.profiler_id, now);
        }
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
            exe: self.exe.clone(),
            span_us: at_ns.max(self.last_tick).saturating_sub(self.start_ns) / 1000,
            ticks: self.ticks,
            counters,
            on_cpu: None,
            lock: None,
            stopped_us: self.stopped_us,
            stop_max_us: self.stop_max_us,
            agent_cpu_us: self.agent_cpu_us,
        })
    }

    fn ask(&mut self, frames: impl Iterator<Item = NativeFrame>) {
        let new: Vec<NativeFrame> = frames.filter(|frame| self.asked.insert(*frame)).collect();
        if !new.is_empty() {
            self.naming.prepare(self.id, new);
        }
    }
}
