//! The thread between sampling and keeping: takes every output of the sampler in order, closes chunks when they are due
//! and hands them to the outlet.

mod building;
mod progress;
mod sink;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use anyhow::Context;
use profile::{chunk::SessionInfo, id::ProfilerId, record::Recorded};
use sampler::{Output, Sink, TargetId};

pub use self::progress::{Progress, SessionProgress};
use self::{progress::Shared, sink::ToPipeline, work::Work};
use crate::{
    hours::Hours,
    naming::Naming,
    outlet::Outlet,
    report::Report,
    session::{Course, Keep},
    shelf::Shelf,
};

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
    shared: Arc<Shared>,
    thread: JoinHandle<Finished>,
}

impl Pipeline {
    /// Starts the thread.
    pub fn start(keep: Keep, naming: Naming, shelf: Arc<Shelf>, hours: Arc<Hours>) -> anyhow::Result<Self> {
        let (messages, received) = channel();
        let shared = Arc::new(Shared::default());
        let mut work = Work::new(keep, naming, shelf, hours, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("sp-pipeline".to_owned());
        let thread = thread.spawn(move || work.run(&received)).context("cannot start the pipeline")?;
        Ok(Self { messages, shared, thread })
    }

    /// What the sampler writes to.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(ToPipeline::new(self.messages.clone(), Arc::clone(&self.shared)))
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
        self.shared.sessions.get().clone()
    }

    /// Who needs no samples until its board changes, since the last call.
    pub fn resting(&self) -> Vec<TargetId> {
        std::mem::take(&mut self.shared.resting.get())
    }

    /// Whose session has ended since the last call.
    pub fn ended(&self) -> Vec<TargetId> {
        std::mem::take(&mut self.shared.ended.get())
    }

    /// As of now.
    pub fn progress(&self) -> Progress {
        self.shared.progress.get().clone()
    }

    /// Waits until everything that the sampler gave is done. The sampler must have been dropped.
    pub fn finish(self) -> Finished {
        drop(self.messages);
        self.thread.join().unwrap_or_default()
    }
}
