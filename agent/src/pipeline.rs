//! The thread between sampling and keeping: takes every output of the sampler in order, closes chunks when they are due
//! and hands them to the outlet.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    error::Error,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use profile::{
    board::{Board, WindowKind},
    chunk::SessionInfo,
    counters::Counters,
    feed::Event,
    id::{Pid, ProfilerId},
    record::Recorded,
};
use sampler::{
    Output, Sink, TargetId,
    sys::{monotonic_ns, thread_cpu_ns},
};
use tracing::warn;
use uuid::Uuid;

use crate::{
    clocks,
    hours::{Hours, Kind},
    naming::Naming,
    outlet::{Outlet, discard},
    report::{Report, Summary},
    session::{ClosedChunk, Course, Keep, Session, Turned},
    shelf::{Made, Shelf},
    ship::Journal,
};

/// With no event for this long, what the journal holds back is written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// While profiles of transactions wait to be built, they are looked at this often, also when no event comes.
const BUILD_EVERY: Duration = Duration::from_millis(5);
/// Building them takes one part in so many of the thread's time: events wait meanwhile, and so do other processes' profiles.
const BUILD_SHARE: u32 = 4;
/// How often what is kept of transactions is looked through.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// What the status line shows.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Ticks so far, of the target that has most.
    pub ticks: u64,
    /// Summed over targets.
    pub counters: Counters,
    /// Summed over targets.
    pub stopped_us: u64,
    /// Summed over targets, see [`SessionProgress::windows_lost`].
    pub windows_lost: u64,
    /// Summed over targets.
    pub agent_cpu_us: u64,
    /// Threads on a CPU or ready to run at their last sample.
    pub running: usize,
    /// Threads that slept at theirs.
    pub sleeping: usize,
    /// Sessions that go on.
    pub processes: usize,
    /// Chunks closed.
    pub chunks: usize,
}

/// A session that begins.
#[derive(Debug)]
pub struct Opening {
    /// What its chunks say.
    pub info: SessionInfo,
    /// Told at the end also when nothing of it was sampled.
    pub given: bool,
    /// When it profiles.
    pub course: Course,
    /// Where its chunks go.
    pub outlet: Outlet,
    /// Where it keeps its journal; `None`: it has none.
    pub journals: Option<PathBuf>,
    /// A chunk in which nothing ran is not sent.
    pub skip_idle: bool,
}

enum Message {
    Open(TargetId, Box<Opening>),
    Output(TargetId, Output),
    /// A moment at which the chunk that is due can be closed.
    Close(TargetId),
    /// The operator starts a run, or ends it.
    Run(TargetId, Option<ProfilerId>, u64),
    /// Nothing is read of it from now on, or it is again.
    Suspend(TargetId, bool, u64),
}

/// A session, and what the pipeline must know to keep what comes of it.
#[derive(Debug)]
struct Open {
    session: Session,
    pid: Pid,
    given: bool,
    outlet: Outlet,
    skip_idle: bool,
    chunks: u64,
}

/// How a session goes, as of its last second.
#[derive(Clone, Debug, Default)]
pub struct SessionProgress {
    /// The profiler id of the chunk that is open.
    pub running: Option<ProfilerId>,
    /// Since the session began.
    pub counters: Counters,
    /// Microseconds that its threads were held stopped.
    pub stopped_us: u64,
    /// Runs, transactions, functions and blocks that its board had no place for.
    pub windows_lost: u64,
    /// The agent's CPU time for it, microseconds.
    pub agent_cpu_us: u64,
    /// Ticks.
    pub ticks: u64,
    /// Live threads.
    pub threads: usize,
    /// Chunks that were closed.
    pub chunks: u64,
}

/// What came of all sessions, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Finished {
    /// As far as recordings were kept whole.
    pub recorded: Vec<Recorded>,
    /// What they came to.
    pub report: Report,
}

/// The running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    messages: Sender<Message>,
    due: Due,
    progress: Arc<Mutex<Progress>>,
    sessions: Arc<Mutex<BTreeMap<TargetId, SessionProgress>>>,
    ended: Ended,
    resting: Ended,
    thread: JoinHandle<Finished>,
}

/// Targets whose session has ended, or needs no samples, since it was last asked.
type Ended = Arc<Mutex<Vec<TargetId>>>;
/// Targets whose chunk is due.
type Due = Arc<Mutex<HashSet<TargetId>>>;

impl Pipeline {
    /// Starts the thread.
    pub fn start(keep: Keep, naming: Naming, shelf: Arc<Shelf>, hours: Arc<Hours>) -> anyhow::Result<Self> {
        let (messages, received) = channel();
        let mut work = Work::new(keep, naming, shelf, hours);
        let (due, progress, sessions) = (Arc::clone(&work.due), Arc::clone(&work.progress), Arc::clone(&work.told));
        let (ended, resting) = (Arc::clone(&work.ended), Arc::clone(&work.resting));
        let thread = std::thread::Builder::new().name("sp-pipeline".to_owned());
        let thread = thread.spawn(move || work.run(&received)).context("cannot start the pipeline")?;
        Ok(Self { messages, due, progress, sessions, ended, resting, thread })
    }

    /// What the sampler writes to.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(ToPipeline {
            messages: self.messages.clone(),
            due: Arc::clone(&self.due),
            closed: HashSet::new(),
            runs: HashMap::new(),
        })
    }

    /// Makes a target known, before it is added to the sampler.
    pub fn open(&self, id: TargetId, opening: Opening) {
        drop(self.messages.send(Message::Open(id, Box::new(opening))));
    }

    /// The operator starts a run of a session that is told when to profile, at `at_ns`, or ends it: `None`. Stacks defined
    /// before are not named in it.
    pub fn run(&self, id: TargetId, run: Option<ProfilerId>, at_ns: u64) {
        drop(self.messages.send(Message::Run(id, run, at_ns)));
    }

    /// From `at_ns` on nothing is read of a session's target, or it is again: a run ends, and goes on.
    pub fn suspend(&self, id: TargetId, suspended: bool, at_ns: u64) {
        drop(self.messages.send(Message::Suspend(id, suspended, at_ns)));
    }

    /// How each session goes.
    pub fn sessions(&self) -> BTreeMap<TargetId, SessionProgress> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who needs no samples until its board changes, since the last call.
    pub fn resting(&self) -> Vec<TargetId> {
        std::mem::take(&mut self.resting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose session has ended since the last call.
    pub fn ended(&self) -> Vec<TargetId> {
        std::mem::take(&mut self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As of now.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that the sampler gave is done. The sampler must have been dropped.
    pub fn finish(self) -> Finished {
        drop(self.messages);
        self.thread.join().unwrap_or_default()
    }
}

/// Called on the sampler's side, so that what it decides stands between the right two outputs.
struct ToPipeline {
    messages: Sender<Message>,
    due: Due,
    /// Targets whose chunk was closed, but whose stacks are still to be forgotten: before the next sample, that is.
    closed: HashSet<TargetId>,
    /// By whose board which run goes on: the stacks of one are not those of the next.
    runs: HashMap<TargetId, Option<(Uuid, WindowKind)>>,
}

impl ToPipeline {
    fn is_due(&self, target: TargetId) -> bool {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(&target)
    }

    /// A board may end a run and begin another: its stacks are to be defined anew, so that its journal can be read alone.
    fn board(&mut self, target: TargetId, board: &Board) {
        let run = board.leading().map(|window| (window.id, window.kind));
        if self.runs.insert(target, run) != Some(run) {
            self.closed.insert(target);
        }
    }

    fn close(&self, target: TargetId) {
        drop(self.messages.send(Message::Close(target)));
    }
}

impl Sink for ToPipeline {
    /// Of a process in which nobody runs come ticks and, once a second, what they cost, but no samples for which stacks
    /// would be forgotten. Its chunk closes there.
    fn output(&mut self, target: TargetId, output: Output) {
        let is_rest = matches!(output, Output::Event(Event::Cost { .. }));
        match &output {
            Output::Board { board, .. } => self.board(target, board),
            Output::Gone { .. } => drop(self.runs.remove(&target)),
            _ => {}
        }
        drop(self.messages.send(Message::Output(target, output)));
        if is_rest && self.is_due(target) {
            self.close(target);
            self.closed.insert(target);
        }
    }

    fn forgets_stacks(&mut self, target: TargetId) -> bool {
        let is_due = self.is_due(target);
        if is_due {
            self.close(target);
        }
        self.closed.remove(&target) || is_due
    }
}

struct Work {
    keep: Keep,
    naming: Naming,
    shelf: Arc<Shelf>,
    hours: Arc<Hours>,
    due: Due,
    progress: Arc<Mutex<Progress>>,
    told: Arc<Mutex<BTreeMap<TargetId, SessionProgress>>>,
    ended: Ended,
    resting: Ended,
    /// Whose profiles of transactions are to be built, in turn.
    turns: VecDeque<TargetId>,
    /// When the next one may be.
    build_at: Instant,
    tidy_at: Instant,
    /// The sum of the sessions that have ended.
    past: Progress,
    sessions: BTreeMap<TargetId, Open>,
    finished: Finished,
}

impl Work {
    fn new(keep: Keep, naming: Naming, shelf: Arc<Shelf>, hours: Arc<Hours>) -> Self {
        Self {
            keep,
            naming,
            shelf,
            hours,
            due: Due::default(),
            progress: Arc::default(),
            told: Arc::default(),
            ended: Ended::default(),
            resting: Ended::default(),
            turns: VecDeque::new(),
            build_at: Instant::now(),
            tidy_at: Instant::now(),
            past: Progress::default(),
            sessions: BTreeMap::new(),
            finished: Finished::default(),
        }
    }

    fn run(&mut self, messages: &Receiver<Message>) -> Finished {
        loop {
            let wait = if self.turns.is_empty() { FLUSH_EVERY } else { BUILD_EVERY };
            match messages.recv_timeout(wait) {
                Ok(message) => self.work(message),
                Err(RecvTimeoutError::Timeout) => self.sessions.values_mut().for_each(|open| open.session.flush()),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.finished),
            }
            if !self.turns.is_empty() {
                self.build_one(Instant::now());
            }
            self.tidy(Instant::now());
        }
    }

    /// Builds a profile of the process whose turn it is, if it is time for one.
    fn build_one(&mut self, now: Instant) {
        for _ in 0..self.turns.len() {
            if now < self.build_at {
                return;
            }
            let Some(id) = self.turns.pop_front() else { return };
            let Some(open) = self.sessions.get_mut(&id) else { continue };
            if self.shelf.has_room(open.pid) {
                let cpu_ns = thread_cpu_ns();
                if let Some((profile, made)) = open.session.next_profile() {
                    self.shelf.put(open.pid, profile, made);
                }
                let took = Duration::from_nanos(thread_cpu_ns().saturating_sub(cpu_ns));
                self.build_at = now + took * BUILD_SHARE;
            }
            if open.session.ready_count() > 0 {
                self.turns.push_back(id);
            }
        }
    }

    /// Once a second: what is kept for nobody is given up.
    fn tidy(&mut self, now: Instant) {
        if now < self.tidy_at {
            return;
        }
        self.tidy_at = now + TIDY_EVERY;
        let at_ns = monotonic_ns();
        self.sessions.values_mut().for_each(|open| open.session.tidy(at_ns));
        self.shelf.sweep();
    }

    fn work(&mut self, message: Message) {
        match message {
            Message::Open(id, opening) => self.open(id, *opening),
            Message::Output(id, Output::Event(event)) => self.event(id, &event),
            Message::Output(id, Output::ModuleFile(index, file)) => self.naming.module(id, index, file),
            Message::Output(_, Output::Hint(hint)) => self.naming.hint(hint),
            Message::Output(id, Output::Board { at_ns, board }) => {
                self.turn(id, |session| session.noted(board, at_ns));
            }
            Message::Output(id, Output::Gone { at_ns }) => self.gone(id, at_ns),
            Message::Run(id, run, at_ns) => self.turn(id, |session| session.forced(run, at_ns)),
            Message::Suspend(id, is, at_ns) => self.turn(id, |session| session.suspended(is, at_ns)),
            Message::Close(id) => {
                if let Some(closed) = self.sessions.get_mut(&id).and_then(|open| open.session.close(clocks::now())) {
                    self.keep(id, closed);
                }
            }
        }
    }

    fn open(&mut self, id: TargetId, opening: Opening) {
        let Opening { info, given, course, outlet, journals, skip_idle } = opening;
        let wants_journal = self.keep.chunks && !matches!(course, Course::Transactions(_));
        let journal = journals.as_deref().filter(|_| wants_journal).and_then(|folder| {
            let journal = Journal::create(folder, &info, info.anchor.monotonic_ns);
            let told = journal.inspect_err(|error| {
                warn!(error = error as &dyn Error, "No journal: a crash would lose the open chunk.");
            });
            told.ok()
        });
        let pid = info.pid;
        let mut session = Session::new(id, info, self.keep, self.naming.clone(), journal);
        if !matches!(course, Course::Always) {
            let (told, journal) = session.told(course);
            session = told;
            discard(journal);
        }
        self.sessions.insert(id, Open { session, pid, given, outlet, skip_idle, chunks: 0 });
    }

    /// Tells a session something, and keeps what comes of it.
    fn turn(&mut self, id: TargetId, tell: impl FnOnce(&mut Session) -> Turned) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let turned = tell(&mut open.session);
        self.take(id, turned);
        self.show_session(id);
    }

    fn take(&mut self, id: TargetId, turned: Turned) {
        let Some(open) = self.sessions.get(&id) else { return };
        for (profile, why) in turned.dropped {
            self.shelf.put(open.pid, profile, Made::Dropped(why));
        }
        if open.session.ready_count() > 0 && !self.turns.contains(&id) {
            self.turns.push_back(id);
        }
        turned.closed.into_iter().for_each(|closed| self.keep(id, closed));
    }

    fn event(&mut self, id: TargetId, event: &Event) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        // Once a second, which costs a microsecond.
        let clocks_stepped = matches!(event, Event::Cost { .. }) && open.session.compare_clocks(&clocks::now());
        if open.session.apply(event) || clocks_stepped {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        match event {
            Event::Tick { at_ns } => self.rest_overdue(id, *at_ns),
            Event::Cost { .. } => {
                self.show_live(id);
                self.show_session(id);
                self.show();
            }
            _ => {}
        }
    }

    fn rest_overdue(&mut self, id: TargetId, at_ns: u64) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        if open.session.overdue(at_ns) {
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// Once a second: what came since, for those who look at the page.
    fn show_live(&mut self, id: TargetId) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let Outlet::Keep(local) = &open.outlet else { return };
        if !local.live().is_watched() {
            return open.session.unwatch();
        }
        if let Some(piece) = open.session.piece() {
            local.show(&piece);
        }
    }

    fn gone(&mut self, id: TargetId, at_ns: u64) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let closed = open.session.end(at_ns);
        let is_told = open.session.sampled || open.given;
        if is_told {
            closed.into_iter().for_each(|closed| self.keep(id, closed));
        } else {
            discard(closed.and_then(|closed| closed.journal));
        }
        let Some(Open { mut session, pid, .. }) = self.sessions.remove(&id) else { return };
        if is_told {
            self.sum_up(&mut session, at_ns);
        }
        add(&mut self.past, &session);
        self.naming.gone(id);
        self.shelf.forget(pid);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.show();
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn sum_up(&mut self, session: &mut Session, at_ns: u64) {
        let report = &mut self.finished.report;
        let Some(recorded) = session.finish(at_ns) else {
            return session.summary(at_ns).into_iter().for_each(|row| report.add(row));
        };
        report.add(Summary::of(&recorded));
        if self.keep.whole {
            self.finished.recorded.push(recorded);
        } else {
            report.hottest.add(&recorded);
        }
    }

    fn keep(&mut self, id: TargetId, closed: ClosedChunk) {
        let Some(open) = self.sessions.get_mut(&id) else { return };
        let ClosedChunk { profiler_id, chunk, journal, platform, is_idle } = closed;
        match chunk {
            Some(chunk) => {
                let span_us = chunk.end_unix_ns.saturating_sub(chunk.start_unix_ns) / 1000;
                let ships = matches!(open.outlet, Outlet::Ship(_));
                if ships && is_idle && open.skip_idle {
                    self.hours.count(span_us, Kind::Skipped);
                    discard(journal);
                } else {
                    self.hours.count(span_us, if is_idle { Kind::Idle } else { Kind::Busy });
                    open.outlet.take(chunk, journal);
                }
                open.chunks += 1;
                self.lock().chunks += 1;
            }
            None if self.keep.chunks => open.outlet.nothing(platform.as_str(), journal),
            None => {}
        }
        if let Some(Outlet::Keep(local)) = self.sessions.get(&id).map(|open| &open.outlet) {
            local.live().forget(profiler_id);
        }
    }

    fn show_session(&self, id: TargetId) {
        let Some(Open { session, chunks, .. }) = self.sessions.get(&id) else { return };
        let progress = SessionProgress {
            running: session.is_running().then_some(session.profiler_id),
            counters: session.counters.clone(),
            stopped_us: session.stopped_us,
            windows_lost: session.windows_lost,
            agent_cpu_us: session.agent_cpu_us,
            ticks: session.ticks,
            threads: session.states.len(),
            chunks: *chunks,
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, progress);
    }

    fn show(&self) {
        let mut progress = self.lock();
        *progress = Progress { chunks: progress.chunks, processes: self.sessions.len(), ..self.past.clone() };
        for Open { session, .. } in self.sessions.values() {
            add(&mut progress, session);
            let running = session.states.values().filter(|state| !state.is_blocked()).count();
            progress.running += running;
            progress.sleeping += session.states.len() - running;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session adds to the sums.
fn add(progress: &mut Progress, session: &Session) {
    progress.ticks = progress.ticks.max(session.ticks);
    progress.counters.merge(&session.counters);
    progress.stopped_us += session.stopped_us;
    // As large as a hostile board says.
    progress.windows_lost = progress.windows_lost.saturating_add(session.windows_lost);
    progress.agent_cpu_us += session.agent_cpu_us;
}

#[cfg(test)]
mod tests {
    use profile::{board::Window, chunk::Anchor};

    use super::*;
    use crate::{naming::Patience, schedule::Transactions};

    /// A pipeline's work with a session of transactions, and a small shelf.
    fn work() -> Work {
        let (naming, _thread) = Naming::start(symbolizer::Settings::default(), Patience::Background, None).unwrap();
        let keep = Keep { chunks: true, ..Keep::default() };
        let mut work = Work::new(keep, naming, Arc::new(Shelf::new(16 << 20)), Arc::new(Hours::default()));
        let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 0 };
        let info = SessionInfo::new(ProfilerId(Uuid::nil()), anchor, 101.0, Pid(1));
        let course = Course::Transactions(Transactions::default());
        let outlet = Outlet::Nowhere;
        work.open(TargetId(1), Opening { info, given: false, course, outlet, journals: None, skip_idle: false });
        work
    }

    /// A board with transactions that began at seconds.
    fn board(starts: std::ops::Range<u64>, end: Option<u64>) -> Output {
        let window = |start: u64| Window {
            sequence: start,
            kind: WindowKind::Transaction,
            thread: 0,
            start_ns: start * 1_000_000_000,
            end_ns: end.map(|end| end * 1_000_000_000),
            id: Uuid::from_u128(start.into()),
            name: None,
        };
        let windows = starts.map(|start| (start, window(start))).collect();
        Output::Board { at_ns: end.unwrap_or(4) * 1_000_000_000, board: Board { windows, lost: 0 } }
    }

    /// `close` where the chunk is closed, `forget` where stacks are forgotten, in order, for a script of what the sampler
    /// does while a chunk is due: `t` begins a tick at which somebody was read, `c` says what a second cost.
    fn play(script: &str) -> String {
        let (messages, received) = channel();
        let due = Due::default();
        let mut sink = ToPipeline { messages, due: Arc::clone(&due), closed: HashSet::new(), runs: HashMap::new() };
        let target = TargetId(1);
        due.lock().unwrap().insert(target);
        let mut seen = Vec::new();
        for step in script.chars() {
            let forgets = step == 't' && sink.forgets_stacks(target);
            let cost = Event::Cost { stopped_us: 0, stop_max_us: 0, agent_cpu_us: 0 };
            let event = if step == 't' { Event::Tick { at_ns: 1 } } else { cost };
            sink.output(target, Output::Event(event));
            seen.extend(received.try_iter().filter(|message| matches!(message, Message::Close(_))).map(|_| "close"));
            seen.extend(forgets.then_some("forget"));
        }
        seen.join(" ")
    }

    /// Check that a chunk that is due closes once, at the next tick or where nobody was read for a second; and that
    /// stacks are forgotten once, before the next sample.
    #[test]
    fn chunk_closes_once() {
        assert_eq!(play("tct"), "close forget");
        assert_eq!(play("cct"), "close forget");
        assert_eq!(play("cctct"), "close forget");
        assert_eq!(play("ccc"), "close");
    }

    /// Check that of many transactions that end together one profile is built at a time, with time for events between them; and
    /// none while half of what may wait for its process does.
    #[test]
    fn builds_one_at_a_time() {
        let mut work = work();
        let id = TargetId(1);
        let all = 5..9_u64;
        work.work(Message::Output(id, board(all.clone(), None)));
        for second in 4..12 {
            work.work(Message::Output(id, Output::Event(Event::Tick { at_ns: second * 1_000_000_000 })));
        }
        work.work(Message::Output(id, board(all, Some(11))));
        assert_eq!(work.shelf.figures().dropped.len(), 0);
        let waiting = |work: &Work| work.sessions[&id].session.ready_count();
        assert_eq!((waiting(&work), work.turns.len()), (4, 1));
        let began = Instant::now() + Duration::from_secs(1);
        work.build_one(began);
        assert_eq!(waiting(&work), 3);
        assert!(work.build_at > began);
        work.build_one(began);
        assert_eq!(waiting(&work), 3, "not yet");
        let next = work.build_at;
        work.build_one(next);
        assert_eq!(waiting(&work), 2);
        work.shelf.put(Pid(1), Uuid::nil(), Made::Profile(vec![0; 1 << 20]));
        let next = work.build_at;
        work.build_one(next);
        assert_eq!((waiting(&work), work.turns.len()), (2, 1), "its shelf is full");
        work.shelf.clear();
        for _ in 0..2 {
            let next = work.build_at;
            work.build_one(next);
        }
        assert_eq!((waiting(&work), work.turns.len()), (0, 0));
    }
}
