//! The running sampler, as others hold it: what it gives, how it samples, and what it can be told. Its thread is `ticking`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use profile::{address::RemoteAddr, board::Board, feed::Event, module::ModuleIndex};
use thiserror::Error;

use crate::{
    modules::ModuleFile, reader::ptrace::PtraceReader, target::Target, ticking::Loop, unwinding, watchdog::Heartbeat,
};

/// Ticks in flight between the two threads; beyond that the newest is dropped, and counted.
const QUEUE_MAX: usize = 256;
/// A target of this sampler: a number that is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetId(pub u32);

/// What the sampler gives.
#[derive(Debug)]
pub enum Output {
    /// Something happened.
    Event(Event),
    /// The file of a module that was announced by [`Event::Module`] just before.
    ModuleFile(ModuleIndex, ModuleFile),
    /// What a user could do for better names.
    Hint(String),
    /// The target's board is another than before; without windows, or there is none any more. Comes before the ticks at whose reading it was so.
    Board {
        /// When it was seen, `CLOCK_MONOTONIC`.
        at_ns: u64,
        /// All of it.
        board: Board,
    },
    /// The target has ended, or was let go on request; nothing follows.
    Gone {
        /// When, `CLOCK_MONOTONIC`.
        at_ns: u64,
    },
}

/// Who takes it. Called on the unwinding thread: what takes long belongs elsewhere.
pub trait Sink: Send {
    /// One output of one target, in order.
    fn output(&mut self, target: TargetId, output: Output);

    /// Asked before each tick: `true` if stacks defined so far are forgotten, so that new samples must define theirs
    /// again. Keeps long sessions from growing.
    fn forgets_stacks(&mut self, target: TargetId) -> bool {
        let _ = target;
        false
    }
}

/// What is read of threads that run code of a language with a runtime of its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Native {
    /// The language's frames, and the native ones where they really were among them.
    #[default]
    Merged,
    /// The language's frames alone; native frames only of threads that have no others.
    Off,
    /// Native frames alone: no runtime is looked for.
    Only,
}

/// How to sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Ticks a second, 1 to 1,000. 101 by default: prime, so that a target that works in periods of 10 ms is not always
    /// caught at the same spot.
    pub rate_hz: f64,
    /// Stop a sleeping thread whose stack cannot be followed without rbp, once a sleep, where its call restarts unseen.
    pub stop_for_rbp: bool,
    /// What is read of Python programs.
    pub native: Native,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate_hz: 101.0, stop_for_rbp: false, native: Native::Merged }
    }
}

/// The sampler could not start.
#[derive(Debug, Error)]
pub enum SamplerError {
    /// A thread or a descriptor could not be had.
    #[error("cannot start the sampler")]
    Start(#[source] std::io::Error),
    /// The sampling thread has ended.
    #[error("the sampler has ended")]
    Ended,
}

/// A running sampler. Dropping it lets everything go.
#[derive(Debug)]
pub struct Sampler {
    commands: Sender<Command>,
    threads: Vec<JoinHandle<()>>,
    next: u32,
    attach_cpu: Arc<AtomicU64>,
}

/// Keeps the sampler from touching anybody. See [`Sampler::hold`].
#[derive(Debug)]
pub struct Hold {
    _release: Sender<()>,
}

/// What the sampling thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Add(TargetId, Box<Target>, bool),
    Remove(TargetId),
    Pause(TargetId, bool),
    Watch(TargetId, Option<RemoteAddr>),
    Rest(TargetId),
    Every(TargetId, u32),
    Hold(Sender<bool>, Receiver<()>),
    Stop,
}

impl Sampler {
    /// Starts both threads. SIGCHLD must be blocked in the calling thread, so that it is in every other.
    pub fn start(settings: Settings, heartbeat: Arc<Heartbeat>, mut sink: Box<dyn Sink>) -> Result<Self, SamplerError> {
        let (commands, received) = channel();
        let (work, works) = sync_channel(QUEUE_MAX);
        let (learned, learning) = channel();
        let attach_cpu = Arc::new(AtomicU64::new(0));
        let spent = Arc::clone(&attach_cpu);
        let unwind = std::thread::Builder::new().name("sp-unwind".to_owned());
        let unwind = unwind
            .spawn(move || unwinding::run(&works, &learned, settings.native, &mut *sink, &spent))
            .map_err(SamplerError::Start)?;
        let (ready, started) = channel();
        let sample = std::thread::Builder::new().name("sp-sample".to_owned());
        let sample = sample
            .spawn(move || {
                heartbeat.is_mine();
                match PtraceReader::new(heartbeat, &settings) {
                    Ok(reader) => {
                        let _ = ready.send(Ok(()));
                        Loop::new(reader, settings, work, learning).run(&received);
                    }
                    Err(errno) => drop(ready.send(Err(errno))),
                }
            })
            .map_err(SamplerError::Start)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { commands, threads: vec![sample, unwind], next: 0, attach_cpu }),
            Ok(Err(errno)) => Err(SamplerError::Start(errno.into())),
            Err(_) => Err(SamplerError::Ended),
        }
    }

    /// CPU time that the first looks at targets took, nanoseconds: once for each, however seldom it is read.
    pub fn attach_cpu_ns(&self) -> u64 {
        self.attach_cpu.load(Ordering::Relaxed)
    }

    /// A number for a target that is to be added, so that the sink can know of it before its first output.
    pub fn reserve(&mut self) -> TargetId {
        let id = TargetId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Samples a target from the next tick on; `paused`: from the call of [`Self::pause`] on.
    pub fn add(&self, id: TargetId, target: Target, paused: bool) -> Result<(), SamplerError> {
        self.commands.send(Command::Add(id, Box::new(target), paused)).map_err(|_| SamplerError::Ended)
    }

    /// Lets a target go; its [`Output::Gone`] follows.
    pub fn remove(&self, id: TargetId) {
        drop(self.commands.send(Command::Remove(id)));
    }

    /// Stops or resumes reading a target without letting it go.
    pub fn pause(&self, id: TargetId, paused: bool) {
        drop(self.commands.send(Command::Pause(id, paused)));
    }

    /// Looks at a target's board from now on, at each tick in which it ran, and reads a paused target while a window is open
    /// there; `None`: looks no more. What changes is told by [`Output::Board`].
    pub fn watch(&self, id: TargetId, board: Option<RemoteAddr>) {
        drop(self.commands.send(Command::Watch(id, board)));
    }

    /// The windows that are open on a target's board need no samples: a paused one is left alone until its board changes.
    pub fn rest(&self, id: TargetId) {
        drop(self.commands.send(Command::Rest(id)));
    }

    /// Reads a target at every so many-th tick only; the others are counted as skipped.
    pub fn every(&self, id: TargetId, ticks: u32) {
        drop(self.commands.send(Command::Every(id, ticks.max(1))));
    }

    /// Waits until no stop of ours is open, and samples nothing until what is returned is dropped. `None`: a thread
    /// that was interrupted may still stop.
    pub fn hold(&self) -> Option<Hold> {
        let (reply, answer) = channel();
        let (release, released) = channel();
        self.commands.send(Command::Hold(reply, released)).ok()?;
        answer.recv_timeout(Duration::from_secs(3)).unwrap_or(false).then_some(Hold { _release: release })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.commands.send(Command::Stop));
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
