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
use profile::{chunk::SessionInfo, counters::Counters, feed::Event, record::Recorded};
use sampler::{Output, Sink, TargetId};
use tracing::warn;

use crate::{
    naming::Naming,
    outlet::Outlet,
    session::{ClosedChunk, Keep, Session},
    ship::Journal,
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
    /// Targets that have ended.
    pub gone: usize,
    /// Chunks closed.
    pub chunks: usize,
}

enum Message {
    Open(TargetId, Box<SessionInfo>),
    Output(TargetId, Output),
    Forgotten(TargetId),
}

/// The running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    messages: Sender<Message>,
    forget: Forget,
    progress: Arc<Mutex<Progress>>,
    thread: JoinHandle<Vec<Recorded>>,
}

/// Targets whose stacks are to be forgotten.
type Forget = Arc<Mutex<HashSet<TargetId>>>;

impl Pipeline {
    /// Starts the thread.
    pub fn start(keep: Keep, naming: Naming, outlet: Outlet, journals: Option<PathBuf>) -> anyhow::Result<Self> {
        let (messages, received) = channel();
        let forget = Forget::default();
        let progress = Arc::new(Mutex::new(Progress::default()));
        let thread = std::thread::Builder::new().name("sp-pipeline".to_owned());
        let mut work = Work {
            keep,
            naming,
            outlet,
            journals,
            forget: Arc::clone(&forget),
            progress: Arc::clone(&progress),
            sessions: BTreeMap::new(),
            recorded: Vec::new(),
        };
        let thread = thread.spawn(move || work.run(&received)).context("cannot start the pipeline")?;
        Ok(Self { messages, forget, progress, thread })
    }

    /// What the sampler writes to.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(ToPipeline { messages: self.messages.clone(), forget: Arc::clone(&self.forget) })
    }

    /// Makes a target known, before it is added to the sampler.
    pub fn open(&self, id: TargetId, info: SessionInfo) {
        drop(self.messages.send(Message::Open(id, Box::new(info))));
    }

    /// As of now.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that the sampler gave is done. The sampler must have been dropped. Recordings in the order
    /// in which their targets ended.
    pub fn finish(self) -> Vec<Recorded> {
        drop(self.messages);
        self.thread.join().unwrap_or_default()
    }
}

struct ToPipeline {
    messages: Sender<Message>,
    forget: Forget,
}

impl Sink for ToPipeline {
    fn output(&mut self, target: TargetId, output: Output) {
        drop(self.messages.send(Message::Output(target, output)));
    }

    fn forgets_stacks(&mut self, target: TargetId) -> bool {
        let forgets = self.forget.lock().unwrap_or_else(PoisonError::into_inner).remove(&target);
        if forgets {
            drop(self.messages.send(Message::Forgotten(target)));
        }
        forgets
    }
}

struct Work {
    keep: Keep,
    naming: Naming,
    outlet: Outlet,
    /// Where every session keeps its journal; `None`: none does.
    journals: Option<PathBuf>,
    forget: Forget,
    progress: Arc<Mutex<Progress>>,
    sessions: BTreeMap<TargetId, Session>,
    recorded: Vec<Recorded>,
}

impl Work {
    fn run(&mut self, messages: &Receiver<Message>) -> Vec<Recorded> {
        loop {
            match messages.recv_timeout(FLUSH_EVERY) {
                Ok(message) => self.work(message),
                Err(RecvTimeoutError::Timeout) => self.sessions.values_mut().for_each(Session::flush),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.recorded),
            }
        }
    }

    fn work(&mut self, message: Message) {
        match message {
            Message::Open(id, info) => {
                let journal = self.journals.as_deref().filter(|_| self.keep.chunks).and_then(|folder| {
                    let journal = Journal::create(folder, &info, info.anchor.monotonic_ns);
                    let told = journal.inspect_err(|error| {
                        warn!(error = error as &dyn Error, "No journal: a crash would lose the open chunk.");
                    });
                    told.ok()
                });
                self.sessions.insert(id, Session::new(id, *info, self.keep, self.naming.clone(), journal));
            }
            Message::Output(id, Output::Event(event)) => self.event(id, &event),
            Message::Output(id, Output::ModuleFile(index, file)) => self.naming.module(id, index, file),
            Message::Output(id, Output::Gone { at_ns }) => self.gone(id, at_ns),
            Message::Forgotten(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    let closed = session.close();
                    self.keep(closed);
                }
            }
        }
    }

    fn event(&mut self, id: TargetId, event: &Event) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.apply(event) {
            self.forget.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        if matches!(event, Event::Cost { .. }) {
            self.show();
        }
    }

    fn gone(&mut self, id: TargetId, at_ns: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let closed = session.end(at_ns);
        self.recorded.extend(session.finish(at_ns));
        self.show();
        self.keep(closed);
        self.naming.gone(id);
        self.lock().gone += 1;
    }

    fn keep(&mut self, closed: ClosedChunk) {
        match closed.chunk {
            Some(chunk) => {
                self.outlet.take(chunk, closed.journal);
                self.lock().chunks += 1;
            }
            None if self.keep.chunks => self.outlet.nothing(closed.platform.as_str(), closed.journal),
            None => {}
        }
    }

    fn show(&self) {
        let mut progress = self.lock();
        let (gone, chunks) = (progress.gone, progress.chunks);
        *progress = Progress { gone, chunks, ..Progress::default() };
        for session in self.sessions.values() {
            progress.ticks = progress.ticks.max(session.ticks);
            progress.counters.merge(&session.counters);
            progress.stopped_us += session.stopped_us;
            progress.agent_cpu_us += session.agent_cpu_us;
            let running = session.states.values().filter(|state| !state.is_blocked()).count();
            progress.running += running;
            progress.sleeping += session.states.len() - running;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
