//! The seam between what was sampled and how: for a target and a tick, which threads ran, and for each of them its
//! state, registers, a copy of its stack and of the ranges asked for beforehand.
//!
//! [`ptrace`] is the reader that works everywhere. Another one (BPF task iterators and perf events) would implement
//! [`Reader`] and change nothing above it.

pub mod eintr;
mod look;
pub mod ptrace;
mod reaper;
mod stops;
pub mod window;

use std::sync::Arc;

use profile::{counters::Counters, id::Tid, thread::State};
use runtimes::python::Process;
use unwinder::{ModuleMap, Registers};

use crate::{interpreter::PythonCapture, target::Target, threads::Threads};

/// A thread as it was at a tick: enough to unwind it without the target.
#[derive(Debug)]
pub struct Capture {
    /// All of them, or stack pointer and program counter of a sleeper.
    pub registers: Registers,
    /// What it was doing.
    pub state: State,
    /// Stack bytes from the stack pointer on.
    pub stack: Box<[u8]>,
    /// Further pages, by address.
    pub pages: Vec<(u64, Box<[u8]>)>,
    /// Which of its thread's captures it is.
    pub number: u64,
    /// Its Python stack, if it runs any.
    pub python: Option<PythonCapture>,
}

impl Capture {
    /// The copied parts of the stack, each with its address.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let pages = self.pages.iter().map(|(at, page)| (*at, &**page));
        std::iter::once((self.registers.sp().0, &*self.stack)).chain(pages)
    }
}

/// What is known of the code of a target.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its modules.
    pub modules: Arc<ModuleMap>,
    /// Its interpreter.
    pub python: Option<Arc<Process>>,
}

/// What became of a thread at a tick.
#[derive(Debug)]
pub enum Read {
    /// It was read.
    Captured(Box<Capture>),
    /// It ran, and sleeps again with the very stack it had.
    Same(State),
    /// It could not be read; the counters say why.
    Unread,
    /// It has ended.
    Ended,
}

/// One tick of one target.
#[derive(Debug, Default)]
pub struct Tick {
    /// When it began, `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Threads that did not simply stay as they were.
    pub reads: Vec<(Tid, Read)>,
    /// New threads and names.
    pub named: Vec<(Tid, String)>,
    /// Ids that a language runtime has for threads.
    pub idents: Vec<(Tid, u64)>,
    /// How many threads stand or were read.
    pub samples: u64,
    /// The process has ended: nothing was read.
    pub gone: bool,
}

/// What sampling a target cost and what went wrong, since it was last taken.
#[derive(Debug, Default)]
pub struct Account {
    /// Late, skipped, lost.
    pub counters: Counters,
    /// Time that its threads were held stopped.
    pub stopped_ns: u64,
    /// The longest of these.
    pub stop_max_ns: u64,
    /// How many stops.
    pub stops: u64,
}

/// Gives what ran.
pub trait Reader {
    /// Reads the threads of a target that ran since the last tick. `known` serves walks of deep stacks, and
    /// those of its interpreter.
    fn read(&mut self, target: &Target, threads: &mut Threads, known: &Known, account: &mut Account) -> Tick;

    /// Waits until `deadline` (`CLOCK_MONOTONIC`, ns), answering what must be answered meanwhile.
    fn idle(&mut self, deadline: u64);

    /// A target is sampled no more.
    fn forget(&mut self, target: &Target);

    /// Lets everything go: after this, nobody is stopped by us or will be. `false`: something still may be.
    fn drain(&mut self) -> bool;
}
