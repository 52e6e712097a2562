//! The thread between sampling and keeping: takes every output of the sampler in order, closes chunks when they are due
//! and hands them to the outlet.

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use profile::{
    chunk::{Chunk, Platform, SessionInfo},
    counters::Counters,
    feed::Event,
    record::Recorded,
};
use sampler::{Output, Sink, TargetId};
use tracing::warn;

use crate::{
    clocks,
    naming::Naming,
    outlet::{Outlet, discard},
    report::{Report, Summary},
    session::{ClosedChunk, Keep, Session},
    ship::{Journal, journal::Closed},
};

/// With no event for this long, what the journal holds back is written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// What the status line shows.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Ticks so far, of the target that has most.
    pub ticks: u64,
    /// Summed over targets.
    pub counters: Counters,
    /// Summed over targets.
    pub stopped_us: u64,
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

enum Message {
    /// Told at the end also when nothing of it was sampled, if `given`.
    Open {
        id: TargetId,
        info: Box<SessionInfo>,
        given: bool,
    },
    Output(TargetId, Output),
    /// A moment at which the chunk that is due can be closed.
    Close(TargetId),
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
    ended: Ended,
    thread: JoinHandle<Finished>,
}

/// Targets whose session has ended since it was last asked.
type Ended = Arc<Mutex<Vec<TargetId>>>;
/// Targets whose chunk is due.
type Due = Arc<Mutex<HashSet<TargetId>>>;

impl Pipeline {
    /// Starts the thread.
    pub fn start(keep: Keep, naming: Naming, outlet: Outlet, journals: Option<PathBuf>) -> anyhow::Result<Self> {
        let (messages, received) = channel();
        let (due, ended) = (Due::default(), Ended::default());
        let progress = Arc::new(Mutex::new(Progress::default()));
        let thread = std::thread::Builder::new().name("sp-pipeline".to_owned());
        let mut work = Work {
            keep,
            naming,
            outlet,
            journals,
            due: Arc::clone(&due),
            progress: Arc::clone(&progress),
            ended: Arc::clone(&ended),
            past: Progress::default(),
            sessions: BTreeMap::new(),
            finished: Finished::default(),
        };
        let thread = thread.spawn(move || work.run(&received)).context("cannot start the pipeline")?;
        Ok(Self { messages, due, progress, ended, thread })
    }

    /// What the sampler writes to.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(ToPipeline { messages: self.messages.clone(), due: Arc::clone(&self.due), closed: HashSet::new() })
    }

    /// Makes a target known, before it is added to the sampler. A session without a single sample is told at the end
    /// only if its target was `given`.
    pub fn open(&self, id: TargetId, info: SessionInfo, given: bool) {
        drop(self.messages.send(Message::Open { id, info: Box::new(info), given }));
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
}

impl ToPipeline {
    fn is_due(&self, target: TargetId) -> bool {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(&target)
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
    outlet: Outlet,
    /// Where every session keeps its journal; `None`: none does.
    journals: Option<PathBuf>,
    due: Due,
    progress: Arc<Mutex<Progress>>,
    ended: Ended,
    /// The sum of the sessions that have ended.
    past: Progress,
    /// Each with whether its target was given.
    sessions: BTreeMap<TargetId, (Session, bool)>,
    finished: Finished,
}

impl Work {
    fn run(&mut self, messages: &Receiver<Message>) -> Finished {
        loop {
            match messages.recv_timeout(FLUSH_EVERY) {
                Ok(message) => self.work(message),
                Err(RecvTimeoutError::Timeout) => self.sessions.values_mut().for_each(|(session, _)| session.flush()),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.finished),
            }
        }
    }

    fn work(&mut self, message: Message) {
        match message {
            Message::Open { id, info, given } => {
                let journal = self.journals.as_deref().filter(|_| self.keep.chunks).and_then(|folder| {
                    let journal = Journal::create(folder, &info, info.anchor.monotonic_ns);
                    let told = journal.inspect_err(|error| {
                        warn!(error = error as &dyn Error, "No journal: a crash would lose the open chunk.");
                    });
                    told.ok()
                });
                let session = Session::new(id, *info, self.keep, self.naming.clone(), journal);
                self.sessions.insert(id, (session, given));
            }
            Message::Output(id, Output::Event(event)) => self.event(id, &event),
            Message::Output(id, Output::ModuleFile(index, file)) => self.naming.module(id, index, file),
            Message::Output(_, Output::Hint(hint)) => self.naming.hint(hint),
            Message::Output(id, Output::Gone { at_ns }) => self.gone(id, at_ns),
            Message::Close(id) => {
                if let Some((session, _)) = self.sessions.get_mut(&id) {
                    let closed = session.close(clocks::now());
                    self.keep(closed);
                }
            }
        }
    }

    fn event(&mut self, id: TargetId, event: &Event) {
        let Some((session, _)) = self.sessions.get_mut(&id) else { return };
        // Once a second, which costs a microsecond.
        let clocks_stepped = matches!(event, Event::Cost { .. }) && session.compare_clocks(&clocks::now());
        if session.apply(event) || clocks_stepped {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        if matches!(event, Event::Cost { .. }) {
            self.show_live(id);
            self.show();
        }
    }

    /// Once a second: what came since, for those who look at the page.
    fn show_live(&mut self, id: TargetId) {
        let Outlet::Keep(local) = &self.outlet else { return };
        let Some((session, _)) = self.sessions.get_mut(&id) else { return };
        if !local.live().is_watched() {
            return session.unwatch();
        }
        if let Some(piece) = session.piece() {
            local.show(&piece);
        }
    }

    fn gone(&mut self, id: TargetId, at_ns: u64) {
        let Some((mut session, given)) = self.sessions.remove(&id) else { return };
        let closed = session.end(at_ns);
        if session.sampled || given {
            self.sum_up(&mut session, at_ns);
            self.keep(closed);
        } else {
            discard(closed.journal);
        }
        add(&mut self.past, &session);
        self.naming.gone(id);
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

    fn keep(&mut self, closed: ClosedChunk) {
        self.keep_chunk(closed.chunk, closed.journal, &closed.platform);
        if let Outlet::Keep(local) = &self.outlet {
            local.live().forget(closed.profiler_id);
        }
    }

    fn keep_chunk(&mut self, chunk: Option<Chunk>, journal: Option<Closed>, platform: &Platform) {
        match chunk {
            Some(chunk) => {
                self.outlet.take(chunk, journal);
                self.lock().chunks += 1;
            }
            None if self.keep.chunks => self.outlet.nothing(platform.as_str(), journal),
            None => {}
        }
    }

    fn show(&self) {
        let mut progress = self.lock();
        *progress = Progress { chunks: progress.chunks, processes: self.sessions.len(), ..self.past.clone() };
        for (session, _) in self.sessions.values() {
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
    progress.agent_cpu_us += session.agent_cpu_us;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `close` where the chunk is closed, `forget` where stacks are forgotten, in order, for a script of what the sampler
    /// does while a chunk is due: `t` begins a tick at which somebody was read, `c` says what a second cost.
    fn play(script: &str) -> String {
        let (messages, received) = channel();
        let due = Due::default();
        let mut sink = ToPipeline { messages, due: Arc::clone(&due), closed: HashSet::new() };
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
}
